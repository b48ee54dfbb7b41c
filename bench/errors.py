"""Errors that a user sees as one line. Everything else is a fault of ours and keeps its traceback."""


class BenchError(Exception):
    """Something failed or is absent; the message is one line that names the thing and the mend (exit 1)."""


class UsageError(BenchError):
    """Wrong usage or a wrong suite file (exit 2)."""
