"""Quantizers, observers and their placement in a detector."""

VERSION = 1
"""Part of every job's identity: raise it when this room computes another number."""
