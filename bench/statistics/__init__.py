"""Intervals, tests and the paired image bootstrap; docs/statistics.md works an example of each. Imports no torch."""
