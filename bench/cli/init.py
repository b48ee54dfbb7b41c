"""`qdet-bench init`: a suite for a user's own data, ready to run."""

import argparse
import re
from pathlib import Path

from bench.cli.common import add_json, print_json
from bench.errors import UsageError
from bench.schema.forms import SLUG
from bench.schema.load import SUITES


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "init",
        help="write a suite for your own data",
        description="Write suites/NAME.yaml for a folder in VOC, COCO, Roboflow or YOLO form: full precision, and LSQ "
        "at INT8 and INT4, at tiers smoke and mini. Nothing is trained.",
    )
    parser.add_argument("name", metavar="NAME", help="of the suite, such as mine/photos")
    parser.add_argument("--data", type=Path, required=True, metavar="PATH", help="the folder of the data set")
    parser.add_argument(
        "--kind", choices=("voc", "coco", "roboflow", "yolo"), help="its form (default: the first that fits)"
    )
    parser.add_argument(
        "--difficult",
        choices=("crowd", "count", "drop"),
        help="what becomes of VOC's difficult objects (default: crowd, neither target nor mistake)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0; UsageError for a wrong name, a suite that is there already, or a folder that holds no data set."""
    from bench.data.guess import guess
    from bench.data.load import kind_of
    from bench.records.files import write_text
    from bench.records.store import Store
    from bench.schema.load import load_suite
    from bench.schema.starter import starter

    file = _place(args.name, args.root)
    data = guess(args.data, args.kind, args.difficult or "crowd")
    if args.difficult and data["kind"] != "voc":
        raise UsageError(f"--difficult {args.difficult}: belongs to VOC; this is {data['kind']}")
    data = {"kind": data.pop("kind"), "path": _written(args.data, args.root), **data}
    new_folders = [folder for folder in file.parents if not folder.exists()]
    # Written first with one image, since the suite's reader makes the specification that counts them.
    write_text(file, starter(f"RetinaNet-R18 on {args.data.resolve().name}", data, 1))
    try:
        spec = load_suite(args.name, args.root).tier("mini").data
        kind = kind_of(spec, args.root)
        found = kind.read("train", Store(args.root.resolve()).data_cache, verify=False)
        if reason := kind.unusable():
            raise UsageError(reason)
    except BaseException:
        file.unlink()
        for folder in new_folders:
            folder.rmdir()
        raise
    write_text(file, starter(f"RetinaNet-R18 on {args.data.resolve().name}", data, len(found.coco["images"])))
    if args.json:
        print_json({"suite": args.name, "path": str(file), "data": data})
    else:
        counts = f"{len(found.coco['images'])} images, {len(found.coco['annotations'])} boxes to train on"
        print(f"{file}: {data['kind']}, {counts}, {len(found.classes)} classes")
        if data["kind"] == "coco" and data["train"] == data["test"]:
            print("the folder has one file: the images that are trained on are scored too, so scores say little")
        print(f"next: qdet-bench data verify {args.name}; qdet-bench run {args.name} --tier smoke")
    return 0


def _place(name: str, root: Path) -> Path:
    """Where the suite goes."""
    if name.endswith((".yaml", ".yml")):
        raise UsageError(f"{name!r}: the name of a suite is that of its file without .yaml, such as mine/photos")
    if not all(re.fullmatch(SLUG, part) for part in name.split("/")):
        raise UsageError(f"{name!r}: write lower-case letters, digits and -, such as mine/photos")
    file = root / SUITES / f"{name}.yaml"
    if file.exists():
        raise UsageError(f"{file}: there is a suite of that name; choose another name, or remove the file")
    return file


def _written(path: Path, root: Path) -> str:
    """The path as the suite has it: relative where the data lie below the root."""
    full, base = path.resolve(), root.resolve()
    text = (full.relative_to(base) if full.is_relative_to(base) else full).as_posix()
    if "${" in text or not text.isprintable():
        raise UsageError(f"--data {text!r}: such a path cannot stand in a suite; rename the folder")
    return text
