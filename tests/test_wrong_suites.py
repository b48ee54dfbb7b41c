"""Wrong suite files through the command line: one clear line with the exact place, exit code 2, nothing written."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import wrong_short
from conftest import children_s
from suite_text import RIGHT, SHORT, changed, write_suite
from wrong_short import REWRITTEN
from wrong_suites import CHANGED, MARK, WHOLE

from bench.cli.main import main


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a user's methods and no results."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "__init__.py").write_text("raise RuntimeError('planning runs no code')\n")
    classes = {
        "Maker": "    version = 1\n    def make_quantizers(self, placement): ...",
        "Loss": "    version = 1\n    def regulariser(self, model, batch): ...",
        "Reshaping": "    version = 1\n    def reshape_losses(self, positives): ...",
        "Unversioned": "    def make_quantizers(self, placement): ...",
    }
    text = "raise RuntimeError\n" + "\n".join(f"class {name}:\n{body}\n" for name, body in classes.items())
    (tmp_path / "mine" / "makers.py").write_text(text)
    (tmp_path / "mine" / "broken.py").write_text("\nclass class:\n")
    return tmp_path


def tree(root: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in root.rglob("*")}


def refused(root: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """First line of the refusal by `plan`; it is quick, writes nothing, and is all that is said."""
    before, path = tree(root), list(sys.path)
    start = time.process_time()
    try:
        code = main(["--root", str(root), "plan", *(arguments or ("x/y",))])
    finally:
        sys.path[:] = path
    assert time.process_time() - start < 1
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert tree(root) == before
    assert err.startswith("qdet-bench: ") and "Traceback" not in err
    return err.splitlines()[0]


def expected_line(text: str) -> int:
    """Line of the one mark."""
    assert text.count(MARK) == 1
    return text.count("\n", 0, text.index(MARK)) + 1


@pytest.mark.parametrize("form", ["whole", "short"])
@pytest.mark.parametrize("name", CHANGED)
def test_change_is_refused_at_its_line(name: str, form: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, changes = CHANGED[name]
    text = changed(*changes) if form == "whole" else changed(*REWRITTEN.get(name, changes), text=SHORT)
    path = write_suite(root, text.replace(MARK, ""))
    message = refused(root, capsys)
    assert message.startswith(f"qdet-bench: {path}:{expected_line(text)}: "), message
    assert words in message


@pytest.mark.parametrize("name", wrong_short.CHANGED)
def test_fault_of_the_short_form_is_told_once(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, changes = wrong_short.CHANGED[name]
    text = changed(*changes, text=SHORT)
    path = write_suite(root, text.replace(MARK, ""))
    assert main(["--root", str(root), "plan", "x/y"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"qdet-bench: {path}:{expected_line(text)}: ") and words in lines[0], lines


@pytest.mark.parametrize("name", WHOLE)
def test_file_is_refused_at_its_line(name: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, line, words = WHOLE[name]
    path = write_suite(root, content)
    message = refused(root, capsys)
    assert message.startswith(f"qdet-bench: {path}:{line}: ") and words in message, message


def test_right_suite_is_planned(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root)
    before = tree(root)
    assert main(["--root", str(root), "plan", "x/y"]) == 0
    assert "4 missing" in capsys.readouterr().out
    assert tree(root) == before


def test_file_that_is_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root)
    (root / "suites" / "x" / "folder.yaml").mkdir()
    (root / "suites" / "x" / "gone.yaml").symlink_to("nowhere")
    (root / "suites" / "x" / "loop.yaml").symlink_to("loop.yaml")
    (root / "outside.yaml").write_text(RIGHT)
    for name, words in {
        "x/folder": "is not a file",
        "suites/x/folder.yaml": "is not a file",
        "x/gone": "no such file",
        "x/loop": "",
        "x/z": "unknown suite 'x/z'; did you mean 'x/y'?",
        "../outside": "unknown suite '../outside'",
        "../../etc/passwd": "unknown suite",
        "/etc/passwd": "unknown suite",
        "/etc/absent.yaml": "/etc/absent.yaml: no such file",
        "": "unknown suite ''",
        "x\0y": "unknown suite",
        "x\ny.yaml": "no such file",
        "y" * 5000: "unknown suite",
    }.items():
        assert words in refused(root, capsys, name), name


def test_no_suites_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there are no suites below" in refused(tmp_path, capsys, "x/y")


def test_many_faults_are_cut_and_in_order(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"  - {{id: r{k}, label: R, detector: none, bits: 32/32, recipe: fp}}\n" for k in range(400))
    path = write_suite(root, changed(("tiers:\n", rows + "tiers:\n")))
    main(["--root", str(root), "plan", "x/y"])
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("qdet-bench: ").removeprefix(f"{path}:").split(":")[0] for line in lines[:3]] == [
        "30", "31", "32",
    ]  # fmt: skip
    assert len(lines) == 6 and lines[-1] == "… and more"
    assert "unknown detector 'none'" in refused(root, capsys)


@pytest.mark.parametrize("name", ["unknown key of a row", "unknown option", "cycle of three", "tag", "unknown module"])
def test_as_a_user_sees_it(name: str, root: Path) -> None:
    words, changes = CHANGED[name]
    text = changed(*changes)
    path = write_suite(root, text.replace(MARK, ""))
    before, start = tree(root), children_s()
    command = [sys.executable, "-m", "bench", "--root", str(root), "plan", "x/y"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert children_s() - start < 1.5
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"qdet-bench: {path}:{expected_line(text)}: ") and words in done.stderr
    assert tree(root) == before
