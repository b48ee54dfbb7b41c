"""The environment key: within one, results are promised to be equal to the bit."""

import hashlib
import json
import os
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from bench.processes import cores
from bench.records.canonical import canonical

PACKAGES = ("torch", "torchvision", "mmdet", "mmengine", "mmcv", "mmcv-lite", "numpy", "pillow", "opencv-python",
            "opencv-python-headless", "pycocotools")  # fmt: skip

_NVIDIA = Path("/dev/nvidiactl")


def environment(
    kernels: str, threads: int, workers: int, processes: int = 1, device: str = "cpu", extras: tuple[str, ...] = ()
) -> dict[str, Any]:
    """All that may move a float: library versions, processor, threads, processes, loader workers, kernel path.

    `extras` are packages that this job alone used.
    """
    together = {} if processes == 1 else {"processes": processes}
    return {
        **together,
        "packages": {name: found for name in (*PACKAGES, *extras) if (found := _version(name)) is not None},
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        "processor": processor(),
        "device": device,
        "kernels": kernels,
        "threads": threads,
        "loader_workers": workers,
    }


def environment_key(facts: dict[str, Any]) -> str:
    """16 hex digits that name an environment."""
    return hashlib.sha256(canonical(facts).encode()).hexdigest()[:16]


@cache
def processor() -> str:
    """Model and vector extensions of the processor: libraries choose their kernels by them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(part.split(":", 1) for line in lines if (part := line.replace("\t", "")) and ":" in part)
    flags = sorted(flag for flag in facts.get("flags", "").split() if flag.startswith(("avx", "amx", "fma", "sse4")))
    identity = [facts.get(key, "").strip() for key in ("model name", "cpu family", "model")]
    return " ".join([*identity, *flags])


def jobs_at_once() -> int:
    """One a core; one where there is a GPU, whose memory they would share."""
    return 1 if _NVIDIA.exists() and os.environ.get("CUDA_VISIBLE_DEVICES") != "" else cores()


def _version(name: str) -> str | None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    # What was installed from a repository says of which commit it is.
    commit = json.loads(found.read_text("direct_url.json") or "{}").get("vcs_info", {}).get("commit_id")
    return f"{found.version} {commit}" if commit else found.version
