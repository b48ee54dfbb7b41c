"""Parts of mmdet's detectors that cost less and compute the same.

`exchange` gives a built model these subclasses in place of mmdet's own classes. Anchors, assignments and targets are
equal to mmdet's; the focal loss is but for its last bits.
"""
