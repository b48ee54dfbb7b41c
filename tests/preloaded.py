"""What a job imports, imported once: the process that tests/forked.py forks its commands from starts with this."""

import bench.engine.inspect
import pytest  # noqa: F401  (multiprocessing imports the main module again in each process)

import bench.cli.main
import bench.cli.run
import bench.engine.execute
import bench.quantization.kernels.numba_path
import bench.run.scheduler  # noqa: F401
from bench.detectors.compat import load_mmdet

load_mmdet()
