"""Predictions computed elsewhere: read, scored, kept as external records. Imports no torch."""
