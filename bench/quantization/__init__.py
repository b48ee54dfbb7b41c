"""Quantizers, and their placement in a detector."""
