"""Small archives and the pins of them."""

import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from bench.data.pins.pin import Pin, load_pin

FILES = {"VOCdevkit/VOC2007/a.txt": b"a", "VOCdevkit/VOC2007/b/c.bin": bytes(range(256)) * 2000, "d": b""}


def tar_of(files: dict[str, bytes] = FILES) -> bytes:
    """A tar file, as VOC's are: not compressed."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: dict[str, bytes] = FILES) -> bytes:
    """A deflated zip file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def sums_digest(files: dict[str, bytes]) -> str:
    """What `sha256sum $(files in order) | sha256sum` prints."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def facts(archive: bytes, name: str = "small", file: str = "small.tar") -> dict[str, Any]:
    """A right pin of the archive, to change at will."""
    return {
        "md5": "a" * 32,
        "frozen": True,
        "desc": "small",
        "deps": [{"path": f"http://127.0.0.1:9/{file}"}],
        "outs": [
            {
                "path": f"downloads/{name}/{file}",
                "hash": "md5",
                "cache": False,
                "md5": hashlib.md5(archive).hexdigest(),
                "size": len(archive),
            }
        ],
        "meta": {
            "archive": file,
            "sha256": hashlib.sha256(archive).hexdigest(),
            "home": "http://example.org/x",
            "licence": "none",
            "provenance": {"md5": "here", "sha256": "here", "size": "here"},
        },
    }


def folder_facts(files: dict[str, bytes], name: str = "small", file: str = "small.zip") -> dict[str, Any]:
    """A pin of contents, as BCCD's: nothing is known of the archive."""
    found = facts(b"", name, file)
    size = sum(map(len, files.values()))
    found["outs"] = [{"path": name, "hash": "md5", "cache": False, "size": size, "nfiles": len(files)}]
    found["meta"] |= {
        "sha256": None,
        "at_most": 1 << 20,
        "inside": "*/BCCD",
        "contents": {"files": len(files), "bytes": size, "sha256": sums_digest(files)},
        "provenance": {"contents": "here", "size": "here"},
    }
    del found["meta"]["sha256"]
    return found


def put_pin(root: Path, values: dict[str, Any], name: str = "small") -> Pin:
    """Write the pin below `root` and read it."""
    (root / "data").mkdir(exist_ok=True)
    (root / "data" / f"{name}.dvc").write_text(json.dumps(values), encoding="utf-8")
    return load_pin(name, root)
