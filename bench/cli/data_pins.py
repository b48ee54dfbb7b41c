"""What `qdet-bench data` does with pins: list them, get them, verify them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.cli.common import print_json
from bench.errors import Exit

if TYPE_CHECKING:
    from bench.data.pins.pin import Pin


def is_pin(name: str, root: Path) -> bool:
    """Whether a pin has that name; everything else that `data verify` takes is a suite's."""
    from bench.data.pins.pin import names

    return name in names(root)


def facts(pin: "Pin") -> dict[str, Any]:
    """For JSON."""
    from bench.data.pins.get import state

    return {
        "name": pin.name,
        "description": pin.file.desc,
        "state": state(pin),
        "path": str(pin.folder),
        "urls": list(pin.urls),
        "size": pin.size,
        "md5": pin.md5,
        "sha256": pin.meta.sha256,
        "licence": pin.meta.licence,
        "unknown": list(pin.meta.unknown),
    }


def get(args: argparse.Namespace) -> int:
    """0; BenchError where the data cannot be had."""
    from bench.cli.data_progress import Bar
    from bench.data.pins.get import get as bring
    from bench.data.pins.pin import load_pin

    pin = load_pin(args.name, args.root.resolve())
    with Bar() as bar:
        fresh = bring(pin, args.url, progress=bar)
    if args.json:
        print_json({"name": pin.name, "path": str(pin.folder), "fresh": fresh})
    else:
        print(f"{pin.name}: {'unpacked to' if fresh else 'present,'} {pin.folder}")
    return 0


def verify(args: argparse.Namespace) -> int:
    """0, or 1 where the archive or a file is not what it was."""
    from bench.cli.data_progress import Bar
    from bench.data.pins.get import problems
    from bench.data.pins.pin import load_pin

    pin = load_pin(args.name, args.root.resolve())
    with Bar() as bar:
        found = problems(pin, bar)
    there = {"archive": pin.archive.exists(), "folder": pin.folder.exists()}
    if args.json:
        print_json({"name": pin.name, **there, "problems": found})
    elif found:
        print("\n".join(found))
    else:
        checked = " and ".join(part for part, present in there.items() if present)
        print(f"{pin.name}: {checked} as pinned")
    return Exit.FAILED if found else Exit.OK
