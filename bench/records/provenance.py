"""Commit, dirty flag and source hash of the code that ran."""

import hashlib
import subprocess
from pathlib import Path

import bench

PACKAGE = Path(bench.__file__).parent


def commit(root: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout at `root`, and whether its `bench/` or `suites/` differ from it; None outside one.

    A `dvc.lock`, which DVC writes beside a pipeline, is no change of them.
    """
    head = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "bench", "suites", ":(exclude,glob)**/dvc.lock")
    return head, None if changes is None else bool(changes)


def source_hash() -> str:
    """sha256 over the names and bytes of all sources of `bench`."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(PACKAGE).as_posix()} {len(data)}\n".encode() + data)
    return digest.hexdigest()


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
