"""Quantizers from data: observers, searches of step sizes, and the passes that feed them."""
