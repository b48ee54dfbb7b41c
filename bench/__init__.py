"""qdet-bench: the reproducibility benchmark suite for quantized object detectors."""
