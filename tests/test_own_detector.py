"""A detector from outside: what docs/own-detector.md says is run as it stands there, and wrong classes are refused."""

import json
import re
import shlex
from pathlib import Path

import pytest
from conftest import PROJECT, bench

from bench.errors import UsageError
from bench.schema.catalog import detector_facts

PAGE = (PROJECT / "docs" / "own-detector.md").read_text(encoding="utf-8")
FILES = ("my_detectors.py", "suites/mine/fcos.yaml")


def block(name: str) -> str:
    found = re.search(rf"<!-- tutorial: {re.escape(name)} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found.group(1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(block(name), encoding="utf-8")
    return tmp_path


def test_the_tutorial_adds_a_detector_without_touching_bench(root: Path) -> None:
    outputs = [bench(root, *shlex.split(line)[1:]).stdout for line in block("commands").splitlines()]
    assert "2 jobs: 2 executed" in outputs[0]
    assert "bbox_head.conv_centerness.weight" in outputs[1]
    assert "LSQ" in outputs[2] and "ok" in outputs[2]
    # Its version is part of the identity.
    module = root / "my_detectors.py"
    module.write_text(module.read_text().replace("version = 1", "version = 2"), encoding="utf-8")
    plan = json.loads(bench(root, "plan", "mine/fcos", "--tier", "smoke", "--json").stdout)
    assert {job["state"] for job in plan["jobs"]} == {"stale"}
    assert "detector.version 1 -> 2" in plan["jobs"][0]["reasons"]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("", "has no class FCOS"),
        ("class FCOS:\n    def configure(self, model, scale, classes): ...\n", "version = 1"),
        ("class FCOS:\n    version = 1\n", r"needs a method `configure\(self, model, scale, classes\)`"),
    ],
)
def test_wrong_classes_are_refused_by_name(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "wrong_detectors.py").write_text(source, encoding="utf-8")
    with pytest.raises(UsageError, match=words):
        detector_facts("wrong_detectors:FCOS")
    with pytest.raises(UsageError, match="did you mean 'retinanet-r18'"):
        detector_facts("retinanet-r8")


def test_a_configuration_that_is_nowhere_is_named(root: Path) -> None:
    module = root / "my_detectors.py"
    module.write_text(module.read_text().replace("fcos/fcos_r50", "fcos/fcos_r5"), encoding="utf-8")
    done = bench(root, "run", "mine/fcos", "--tier", "smoke", "--rows", "fp", expect=1)
    assert "FCOS: mmdet has no configuration 'fcos/fcos_r5-caffe" in done.stdout
