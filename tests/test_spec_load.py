"""From a name to a checked suite, and the facts of a method's class without importing it."""

import sys
import warnings
from pathlib import Path

import pytest
from suite_text import PUBLISHED_FILE, RIGHT, changed, write_suite

from bench.errors import UsageError
from bench.schema.classes import ClassFacts, read_class
from bench.schema.faults import Fault
from bench.schema.load import find, load_all, load_suite
from bench.schema.methods import BUILTIN, facts, options_model
from bench.schema.options.training import LsqOptions
from bench.schema.source import load_mapping

PROJECT = Path(__file__).parents[1]

PUBLISHED = (
    ("policies:", "published: {file: a, table: T-A}\npolicies:"),
    ("    start: fp", "    start: fp\n    published: lsq-4"),
)


def refusal(root: Path, name: str = "x/y") -> str:
    with pytest.raises(UsageError) as caught:
        load_suite(name, root)
    return str(caught.value)


def test_suites_of_the_project_are_right() -> None:
    suites, errors = load_all(PROJECT)
    assert not errors
    assert "hqod/table1" in [suite.name for suite in suites]


def test_every_way_to_name_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_suite(tmp_path)
    outside = tmp_path / "mine.yml"
    outside.write_text(RIGHT)
    for name in ("x/y", "x/y.yaml", "suites/x/y.yaml", str(path)):
        located = load_suite(name, tmp_path)
        assert (located.name, located.path, located.root) == ("x/y", path, tmp_path)
    assert load_suite(str(outside), tmp_path).name == "mine"
    monkeypatch.chdir(tmp_path / "suites" / "x")
    assert load_suite("y.yaml", tmp_path).name == "x/y"
    monkeypatch.chdir(tmp_path)
    assert load_suite("x/y", Path()).path == Path("suites/x/y.yaml")
    (tmp_path / "suites" / "x" / "link.yaml").symlink_to("y.yaml")
    assert load_suite("x/link", tmp_path).suite == load_suite("x/y", tmp_path).suite


def test_find_and_load_all(tmp_path: Path) -> None:
    assert find(tmp_path) == []
    for name in ("b/two", "a/one", "paper/dvc", "flat", "b/wrong"):
        write_suite(tmp_path, "a: 1\n" if name == "b/wrong" else RIGHT, name)
    assert find(tmp_path) == ["a/one", "b/two", "b/wrong", "flat"]
    suites, errors = load_all(tmp_path)
    assert [suite.name for suite in suites] == ["a/one", "b/two", "flat"]
    assert list(errors) == ["b/wrong"] and 'unknown key "a"' in str(errors["b/wrong"])


def test_published_rows_must_be_there(tmp_path: Path) -> None:
    path = write_suite(tmp_path, changed(*PUBLISHED))
    # Without a folder of published tables nothing can be said.
    assert load_suite("x/y", tmp_path).suite.row("lsq").published == "lsq-4"
    folder = tmp_path / "baselines" / "published"
    folder.mkdir(parents=True)
    assert refusal(tmp_path) == f"{path}:2: there is no {folder / 'a.yaml'}"
    (folder / "a.yaml").write_text(PUBLISHED_FILE)
    assert load_suite("x/y", tmp_path).suite.published
    write_suite(tmp_path, changed(*PUBLISHED).replace("published: lsq-4", "published: lsq4"))
    assert refusal(tmp_path) == f"{path}:21: unknown published row 'lsq4'; did you mean 'lsq-4'?"
    write_suite(tmp_path, changed(*PUBLISHED).replace("table: T-A", "table: T-B"))
    assert refusal(tmp_path) == f"{path}:2: unknown table 'T-B'; did you mean 'T-A'?"
    (folder / "a.yaml").write_text(PUBLISHED_FILE.replace("trust: paper", "trust: hearsay"))
    assert f"{folder / 'a.yaml'}:6: " in refusal(tmp_path)


def test_faults_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write_suite(
        tmp_path,
        changed(("recipe: qat", "recipe: none"), ("range_test: paper", "range_test: x"), ("bits: 4/4", "bits: 4/ter")),
    )
    lines = refusal(tmp_path).splitlines()
    assert [line.removeprefix(f"{path}:").split(":")[0] for line in lines] == ["17", "24", "44"]


def test_what_no_row_uses_comes_last(tmp_path: Path) -> None:
    more = "      more:\n" + RIGHT[RIGHT.index("        unit: step") : RIGHT.index("      qat:")]
    text = changed(("    seeds: 3", more + "    seeds: 3"))
    write_suite(tmp_path, text)
    assert "no row uses recipe 'more'" in refusal(tmp_path)
    write_suite(tmp_path, text.replace("start: fp", "start: f"))
    assert "more" not in refusal(tmp_path)


def test_line_of_a_fault(tmp_path: Path) -> None:
    source = load_mapping(write_suite(tmp_path))
    assert Fault(("tiers", "mini"), "").line(source) == 31
    assert Fault(("tiers", "mini", "metric", "variant"), "").line(source) == 37
    assert Fault(("tiers", "mini", "absent"), "").line(source) == 32
    assert Fault(("rows", 1, "methods", 0), "").line(source) == 22
    assert Fault((), "").line(source) == 1


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "pkg_of_mine" / "deep"
    folder.mkdir(parents=True)
    (tmp_path / "pkg_of_mine" / "__init__.py").write_text("raise RuntimeError\n")
    return folder


def test_class_is_read_and_not_run(package: Path) -> None:
    (package / "own.py").write_text(
        "raise RuntimeError\n"
        "class A:\n    version: int = 3\n    pattern = '\\d'\n    def make_quantizers(self, placement): ...\n"
        "class B(A):\n    version = 4\n    async def calibrate(self): ...\n"
        "class C: version = True\n"
        "class D: version = 1 + 1\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        name = "pkg_of_mine.deep.own"
        assert read_class(f"{name}:A") == ClassFacts(3, frozenset({"version", "pattern", "make_quantizers"}))
        assert read_class(f"{name}:B") == ClassFacts(
            4, frozenset({"version", "pattern", "make_quantizers", "calibrate"})
        )
    assert read_class(f"{name}:C").version is None and read_class(f"{name}:D").version is None
    assert facts(f"{name}:B").makes_quantizers
    with pytest.raises(UsageError, match="version = 1"):
        facts(f"{name}:C")
    assert "pkg_of_mine" not in sys.modules


@pytest.mark.parametrize(
    ("head", "base"),
    [
        ("from bench.methods.lsq import LSQ", "LSQ"),
        ("from bench.methods.lsq import LSQ as Base", "Base"),
        ("import bench.methods.lsq", "bench.methods.lsq.LSQ"),
        ("import bench.methods.lsq as lsq", "lsq.LSQ"),
        ("from bench.methods import lsq", "lsq.LSQ"),
        ("from . import other", "other.Other"),
        ("from .other import Other", "Other"),
        ("from ..deep.other import Other", "Other[int]"),
    ],
)
def test_hooks_are_inherited(head: str, base: str, package: Path) -> None:
    (package / "other.py").write_text("class Other:\n    def make_quantizers(self, placement): ...\n")
    (package / "own.py").write_text(f"{head}\nclass Own({base}):\n    version = 2\n")
    assert facts("pkg_of_mine.deep.own:Own") == ("pkg_of_mine.deep.own:Own", 2, True, False, False)


def test_empty_hooks_of_the_protocol_do_not_count(package: Path) -> None:
    text = "from bench.methods.protocol import Method\nclass Own(Method):\n    version = 1\n"
    (package / "own.py").write_text(text)
    assert not facts("pkg_of_mine.deep.own:Own").makes_quantizers


def test_bases_that_cannot_be_followed(package: Path) -> None:
    (package / "own.py").write_text(
        "import gone\nfrom gone import Gone\n"
        "class A(Gone, gone.Gone, gone.make(), object, B):\n    version = 1\n"
        "class B(A):\n    version = 1\n    def make_quantizers(self): ...\n"
    )
    assert facts("pkg_of_mine.deep.own:A").makes_quantizers


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("absent_package:A", "no module absent_package "),
        ("pkg_of_mine.absent.own:A", "no module pkg_of_mine.absent.own "),
        ("pkg_of_mine.deep:A", "no module pkg_of_mine.deep "),
        ("pkg_of_mine..deep:A", "no module"),
        (".deep:A", "no module"),
        ("sys:A", "no module sys with Python source"),
        ("json:Absent", "has no class Absent"),
        ("bench.absent:A", "no module bench.absent"),
        ("bench:A", "no module bench "),
        ("json.decoder.deeper:A", "no module json.decoder.deeper"),
    ],
)
def test_class_that_is_nowhere(target: str, words: str, package: Path) -> None:
    with pytest.raises(LookupError, match=words):
        read_class(target)


@pytest.mark.parametrize(("text", "words"), [("x = (\n", ":1: "), ("x\0", "own.py"), ("(" * 5000, "own.py")])
def test_source_that_cannot_be_read(text: str, words: str, package: Path) -> None:
    (package / "own.py").write_text(text)
    with pytest.raises(UsageError, match=words):
        facts("pkg_of_mine.deep.own:Own")


def test_builtin_methods() -> None:
    for name, method in BUILTIN.items():
        assert facts(name).version >= 1
        assert options_model(name) is options_model(method.target) is method.options
    assert options_model("lsq") is LsqOptions and options_model("mine.own:Own") is None
    assert facts("lsq").makes_quantizers
