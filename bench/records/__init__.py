"""What one job measured, with its provenance, and the store on disk. Imports no torch."""
