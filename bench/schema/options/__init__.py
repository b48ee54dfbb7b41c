"""The models of what suites write as options of a method."""
