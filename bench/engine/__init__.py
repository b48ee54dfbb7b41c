"""One job from end to end, and the scheduler that runs many in parallel processes."""

VERSION = 1
"""Part of every job's identity: raise it when this room computes another number."""
