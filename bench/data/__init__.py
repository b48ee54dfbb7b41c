"""Readers of VOC, COCO and Shapes into one in-memory form, and data pins."""
