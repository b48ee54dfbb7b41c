"""Where published weights are found and where they come from. Imports no torch: planning asks it."""

import os
import re
from pathlib import Path

from bench.data.paths import expand
from bench.schema.detector import Init
from bench.schema.publications import published_path

VARIABLE = "QDET_CHECKPOINTS"
"""Environment variable that names the folder of published weights."""
DEFAULT = Path("data", "checkpoints")
"""Below the root, where the variable is not set."""
PUBLISHED = "mmdet_zoo"
"""The published numbers that name the files of mmdet's model zoo."""
TORCHVISION = "https://download.pytorch.org/models/"
TORCHVISION_FILES = frozenset(
    {
        "resnet18-5c106cde.pth",
        "resnet18-f37072fd.pth",
        "resnet34-b627a593.pth",
        "resnet50-0676ba61.pth",
        "resnet50-11ad3fa6.pth",
        "resnet50-19c8e357.pth",
        "resnet101-63fe2227.pth",
    }
)


def checkpoint_path(init: Init, root: Path) -> Path | None:
    """Where the file that FP training starts from is looked for; None where it starts from nothing."""
    if init.path is not None:
        return expand(init.path, root)
    if init.file is None:
        return None
    folder = os.environ.get(VARIABLE)
    return (Path(folder) if folder else root / DEFAULT) / init.file


def expected_hash(init: Init) -> str:
    """The first hex digits, 8 at least, of the sha256 that the declared file must have."""
    if init.sha256 is not None:
        return init.sha256
    return (init.file or "").removesuffix(".pth")[-8:]


def absent_checkpoint(init: Init, root: Path) -> str | None:
    """What to fetch from where, in one line; None where the file is there or none is needed."""
    path = checkpoint_path(init, root)
    if path is None or path.is_file():
        return None
    if path.exists():
        return f"{path}: the checkpoint is not a file"
    if init.path is not None:
        return f"{path}: there is no such ONNX file; put it there, or mend `path` in the suite"
    address = _address(path.name, root)
    source = f"get it from {address}" if address else "its address is not known here"
    return (
        f"{path}: the checkpoint is absent; {source} (sha256 {expected_hash(init)}…), or set {VARIABLE} to its folder"
    )


def _address(file: str, root: Path) -> str | None:
    if file in TORCHVISION_FILES:
        return TORCHVISION + file
    published = published_path(PUBLISHED, root)
    if not published.is_file():
        return None
    # Searched as text: to parse the file would take longer than the whole of `plan`.
    found = re.search(rf"https://[^\s'\"]*/{re.escape(file)}(?=['\"\s])", published.read_text(encoding="utf-8"))
    return found[0] if found else None
