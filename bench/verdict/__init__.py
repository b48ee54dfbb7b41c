"""References, baselines and claims against records. Imports no torch."""
