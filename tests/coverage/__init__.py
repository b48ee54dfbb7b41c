"""How often intervals cover and claims hold by mistake, by simulation: `python -m tests.coverage`."""

if __name__ == "coverage":
    # pytest puts tests/ on the path, and numba, if it can import a package `coverage`, expects the one of that name.
    raise ImportError("this is tests.coverage, not the package coverage")
