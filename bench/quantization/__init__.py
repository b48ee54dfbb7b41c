"""Quantizers, observers and their placement in a detector."""
