"""Suite x tier x seeds -> jobs, their dependencies, identities and expected cost. Imports no torch."""
