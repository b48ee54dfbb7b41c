"""COCO and VOC metrics from saved predictions. Imports no mmdet."""

VERSION = 1
"""Part of every job's identity: raise it when this room computes another number."""
