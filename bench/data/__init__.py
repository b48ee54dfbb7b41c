"""Readers of VOC, COCO and Shapes into one in-memory form, and data pins."""

VERSION = 1
"""Part of every job's identity: raise it when this room computes another number."""
