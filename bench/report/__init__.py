"""Tables from records and verdicts. Imports no torch."""
