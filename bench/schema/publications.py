"""Reading `baselines/published/<file>.yaml`: that below the root, else the one that comes with the package."""

from functools import lru_cache
from pathlib import Path

from bench.schema.messages import validate
from bench.schema.published import PublishedFile
from bench.schema.source import load_mapping
from bench.shipped import shipped

FOLDER = Path("baselines/published")
"""Below the root."""


def load_published(file: str, root: Path) -> PublishedFile | None:
    """All tables of one source, by the name of its file without suffix; None where there is no such file.

    Raises UsageError with file and line where it is wrong.
    """
    path = published_path(file, root)
    return _load(path, path.stat().st_mtime_ns) if path.is_file() else None


def published_path(file: str, root: Path) -> Path:
    """Where a source's file is; it need not exist."""
    own = root / FOLDER / f"{file}.yaml"
    return own if own.is_file() else shipped("published") / f"{file}.yaml"


@lru_cache
def _load(path: Path, changed: int) -> PublishedFile:
    return validate(PublishedFile, load_mapping(path))
