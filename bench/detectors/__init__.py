"""The bridge to mmdet: configurations, scaling, checkpoints. Nothing else imports mmdet."""

VERSION = 1
"""Part of every job's identity: raise it when this room computes another number."""
