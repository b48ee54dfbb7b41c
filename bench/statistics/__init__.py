"""Intervals, tests and the paired image bootstrap; README.md has each rule with a worked example. Imports no torch."""
