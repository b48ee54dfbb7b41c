"""The pins themselves: their facts, their form, and that DVC agrees with them and works without them."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import PROJECT, bench
from pin_files import facts, put_pin, sums_digest, tar_of, zip_of

from bench.cli.main import main
from bench.data.pins.get import get, problems
from bench.data.pins.pin import Pin, load_pin, names
from bench.errors import UsageError

NAMES = [
    "bccd", "coco2017-annotations", "coco2017-panoptic", "coco2017-train", "coco2017-val",
    "voc2007-test", "voc2007-trainval", "voc2012-trainval",
]  # fmt: skip
ARCHIVES = [name for name in NAMES if name != "bccd"]


def test_there_are_these_pins() -> None:
    assert names(PROJECT) == NAMES


@pytest.mark.parametrize("name", ARCHIVES)
def test_facts_are_those_of_the_literature_overview(name: str, shared: Path) -> None:
    pin = load_pin(name, PROJECT)
    overview = shared / "papers.md"
    if not overview.is_file():
        pytest.skip(f"no {overview}")
    row = rf"^\| (?:\S+/)?{re.escape(pin.meta.archive)} \| (\d+) \| (NOT FOUND|\w+) \| (\w+) \|$"
    match = re.search(row, overview.read_text(encoding="utf-8"), re.MULTILINE)
    assert match is not None
    assert [str(pin.size), pin.md5 or "NOT FOUND", pin.meta.sha256] == list(match.groups())
    assert all(url.endswith(pin.meta.archive) for url in pin.urls)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_known_is_said(name: str) -> None:
    pin = load_pin(name, PROJECT)
    unknown = " ".join(pin.meta.unknown)
    if pin.md5 is None:
        assert "md5" in unknown or "hashes of the archive" in unknown
    if pin.meta.contents.sha256 is None:
        assert "contents" in unknown
    assert pin.meta.sha256 or pin.meta.contents.sha256
    assert pin.meta.commit is None or len(pin.meta.commit) == 40 or "full commit" in unknown


def changed(edit: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    values = facts(tar_of())
    edit(values)
    return values


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda v: v["deps"][0].update(path="file:///etc/hostname"), "deps"),
        (lambda v: v["meta"].update(mirrors=["ftp://x.org/y"]), "mirrors"),
        (lambda v: v["meta"].pop("sha256"), "needs the sha256"),
        (lambda v: v["meta"].update(sha256="b" * 63), "sha256"),
        (lambda v: v["outs"][0].update(md5="c" * 31), "md5"),
        (lambda v: v["outs"][0].pop("size"), "at_most"),
        (lambda v: v["outs"][0].update(path="../small.tar"), "must be downloads/small/small.tar"),
        (lambda v: v["meta"].update(archive="../x.tar"), "archive"),
        (lambda v: v["meta"].update(archive="x.tar.xz"), "archive"),
        (lambda v: v["meta"]["provenance"].pop("md5"), "where md5 was read"),
        (lambda v: v["meta"].update(extra=1), "extra"),
        (lambda v: v.update(frozen=False), "frozen"),
        (lambda v: v["outs"].append(v["outs"][0]), "outs"),
    ],
)
def test_a_wrong_pin_gets_its_file_and_line(
    tmp_path: Path, edit: Callable[[dict[str, Any]], object], words: str
) -> None:
    with pytest.raises(UsageError, match=r"small\.dvc:") as caught:
        put_pin(tmp_path, changed(edit))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["voc", "../small", "", "small.dvc"])
def test_an_unknown_name_is_refused(tmp_path: Path, name: str) -> None:
    put_pin(tmp_path, facts(tar_of()))
    with pytest.raises(UsageError, match=r"no data pin .*; the pins are small"):
        load_pin(name, tmp_path)


@pytest.fixture
def pin(tmp_path: Path) -> Pin:
    """A pin in a DVC repository of its own, its archive here and not yet unpacked."""
    for folder in (".dvc", "data"):
        (tmp_path / folder).mkdir()
    shutil.copy(PROJECT / ".dvc" / "config", tmp_path / ".dvc" / "config")
    shutil.copy(PROJECT / "data" / ".dvcignore", tmp_path / "data" / ".dvcignore")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    pin = put_pin(tmp_path, facts(tar_of()))
    pin.archive.parent.mkdir(parents=True)
    pin.archive.write_bytes(tar_of())
    return pin


def said(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["--root", str(root), "data", *arguments]) == code
    return "".join(capsys.readouterr())


def test_commands(pin: Pin, capsys: pytest.CaptureFixture[str]) -> None:
    root = pin.root
    assert " archive " in said(root, capsys, "list")
    assert said(root, capsys, "get", "small").startswith(f"small: unpacked to {pin.folder}\n")
    assert json.loads(said(root, capsys, "get", "small", "--json"))["fresh"] is False
    assert "archive and folder as pinned" in said(root, capsys, "verify", "small")
    (listed,) = json.loads(said(root, capsys, "list", "--json"))["pins"]
    assert listed["state"] == "present" and listed["sha256"] == pin.meta.sha256
    (pin.folder / "d").write_text("d")
    assert "d: sha256 is" in said(root, capsys, "verify", "small", code=1)
    assert "was unpacked" in said(root, capsys, "verify", "small", code=1)
    shutil.rmtree(pin.folder)
    pin.archive.unlink()
    assert "`qdet-bench data get small` downloads it" in said(root, capsys, "verify", "small", code=1)
    assert "--url file:///x" in said(root, capsys, "get", "small", "--url", "file:///x", code=2)
    assert "no data pin 'x'; the pins are small" in said(root, capsys, "get", "x", code=2)
    (root / "data" / "bad.dvc").write_text("frozen: true\n")
    assert "bad.dvc:" in said(root, capsys, "list", code=2)


def test_listing_pins_imports_nothing_slow(tmp_path: Path) -> None:
    put_pin(tmp_path, facts(tar_of()))
    code = "import sys; from bench.cli.main import main; main(sys.argv[1:]); print([m for m in sys.modules])"
    command = [sys.executable, "-c", code, "--root", str(tmp_path), "data", "list"]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT).stdout
    assert "'bench.data.pins.pin'" in loaded
    assert not re.search("'(torch|mmdet|dvc|scipy)'", loaded)


def dvc(root: Path, *arguments: str) -> str:
    """DVC's words; it must end well."""
    binary = Path(sys.executable).parent / "dvc"
    environment = {**os.environ, "PATH": f"{binary.parent}{os.pathsep}{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run([binary, *arguments], cwd=root, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_dvc_agrees_with_the_archive(pin: Pin) -> None:
    found = json.loads(dvc(pin.root, "status", "--json"))["data/small.dvc"]
    assert "changed checksum" in found  # the test's pin has no digest of its own stage
    assert not any("changed outs" in part for part in found)
    assert get(pin)
    pin.archive.write_bytes(b"x" * len(tar_of()))
    found = json.loads(dvc(pin.root, "status", "--json"))["data/small.dvc"]
    assert {"changed outs": {"data/downloads/small/small.tar": "modified"}} in found


def test_the_projects_pins_in_dvc(tmp_path: Path, shared: Path) -> None:
    """Without their data DVC works; with BCCD's folder, as the archive would bring it, DVC finds its own md5."""
    source = shared / "data" / "bccd"
    if not source.is_dir():
        pytest.skip(f"no {source}")
    root = tmp_path / "clone"
    for part in (".dvc", "data"):
        (root / part).mkdir(parents=True)
    shutil.copy(PROJECT / ".dvc" / "config", root / ".dvc" / "config")
    for file in [*PROJECT.glob("data/*.dvc"), PROJECT / "data/.dvcignore", PROJECT / "data/.gitignore"]:
        shutil.copy(file, root / "data")
    stages = "stages:\n  one:\n    cmd: echo one > one\n    outs: [one]\n"
    (root / "dvc.yaml").write_text(stages, encoding="utf-8")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    assert "one" in dvc(root, "repro") and (root / "one").exists()
    found = json.loads(dvc(root, "status", "--json"))
    for name in NAMES:
        pin = load_pin(name, root)
        checked = (pin.folder if pin.checks_folder else pin.archive).relative_to(root).as_posix()
        assert found.pop(f"data/{name}.dvc") == [{"changed outs": {checked: "deleted"}}]
    assert found == {}

    pin = load_pin("bccd", root)
    wanted = {
        f"Repo-1/BCCD/{path.relative_to(source).as_posix()}": path.read_bytes()
        for path in source.rglob("*")
        if path.is_file() and path.name != "LICENSE"
    }
    assert sums_digest({name.removeprefix("Repo-1/BCCD/"): data for name, data in wanted.items()}) == (
        pin.meta.contents.sha256
    )
    pin.archive.parent.mkdir(parents=True)
    pin.archive.write_bytes(zip_of(wanted))
    assert get(pin) and problems(pin) == []
    assert f"data/{pin.name}.dvc" not in json.loads(dvc(root, "status", "--json"))


@pytest.mark.parametrize("file", ["dvc.yaml", "suites/dvc.yaml"])
def test_the_pipeline_does_not_depend_on_pins(file: str) -> None:
    assert not re.search(r"data/|\.dvc\b", (PROJECT / file).read_text(encoding="utf-8"))


def test_help_names_the_command(tmp_path: Path) -> None:
    assert "--url" in bench(tmp_path, "data", "get", "--help").stdout
