"""Errors that a user sees as one line, and exit codes. Any other exception is a bug and keeps its traceback."""

from enum import IntEnum


class BenchError(Exception):
    """Something failed or is absent; the message is one line that names the thing and the mend (exit 1)."""


class UsageError(BenchError):
    """Wrong usage or a wrong suite file (exit 2)."""


class Exit(IntEnum):
    """How a command ends."""

    OK = 0
    FAILED = 1
    """Something failed or fell outside its tolerance."""
    USAGE = 2
    """Wrong usage or a wrong suite file."""
    INCOMPLETE = 3
    """Ran well, but results are absent."""
    INTERRUPTED = 130
    """By Ctrl-C; a shell's own code for it."""
