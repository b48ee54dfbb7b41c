"""The Method protocol and one file a method, each reading like its paper."""
