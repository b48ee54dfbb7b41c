"""What the README and docs/ say is run as it stands there; the README's numbers are the committed table's."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import PROJECT, bench

from bench.cli.main import _parser
from bench.schema.load import load_suite
from bench.schema.source import load_mapping

README = PROJECT / "README.md"
PAGES = [README, *sorted((PROJECT / "docs").glob("*.md")), PROJECT / "data" / "README.md"]
FENCE = re.compile(
    r"(?:^<!-- (?P<mark>[^\n]*) -->\n\n?)?^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
NOT_RUN, FILE, COMMANDS = "not run: ", "tutorial: ", "tutorial: commands"
WORKFLOW = "workflow"
"""The file of `docs/gate.md` whose commands are run."""
ELSEWHERE = {"own-detector": "test_own_detector.py", "own-quantizer": "test_own_quantizer.py"}
"""Pages whose COMMANDS are run by a test of their own."""
PLUGIN = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "bench.testing.plugin"}
"""So that the plugin of this checkout is loaded, and no other."""
DEFINE = 'qdet-bench() { "$PYTHON" -m bench "$@"; }; python() { "$PYTHON" "$@"; };\n'


class Block(NamedTuple):
    """A fenced block, and what the comment before it says."""

    mark: str
    language: str
    text: str

    @property
    def runs(self) -> bool:
        return self.language == "sh" and not self.mark


def blocks(page: Path) -> list[Block]:
    found = FENCE.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["mark"] or "", match["language"], match["text"]) for match in found]


def calls(block: Block) -> list[list[str]]:
    """The arguments of each `qdet-bench` in a shell block."""
    commands = [shlex.split(part, comments=True) for line in block.text.splitlines() for part in line.split("&&")]
    return [words[1:] for words in commands if words[:1] == ["qdet-bench"]]


def run_page(page: Path, root: Path) -> list[str]:
    """Write the page's files below `root` and run its shell blocks there; what each printed."""
    said = []
    for block in blocks(page):
        if block.mark.startswith(FILE) and block.mark != COMMANDS:
            file = root / block.mark.removeprefix(FILE)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif block.runs:
            said.append(run_shell(block.text, root))
    return said


def run_shell(text: str, root: Path) -> str:
    command = ["bash", "-euc", DEFINE + text]
    environment = {"PYTHON": sys.executable, "PYTHONPATH": str(PROJECT), **PLUGIN}
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, env=os.environ | environment, timeout=300)
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def a_method_is_part_of_the_identity(root: Path, said: list[str]) -> None:
    assert "2 jobs: 2 executed" in said[0] and "FP, shrunk" in said[0] and "ok" in said[0]
    # The method is what made the difference: a raised version makes its job, and only it, new.
    source = root / "my_methods.py"
    assert "has changed" not in bench(root, "plan", "mine/shrink", "--tier", "smoke").stdout
    source.write_text(f"{source.read_text()}\n# an edit without a new version\n", encoding="utf-8")
    told = bench(root, "plan", "mine/shrink", "--tier", "smoke").stdout
    again = "`qdet-bench run mine/shrink --tier smoke --rows shrunk --again`"
    assert f"my_methods:Shrink: its file has changed since: raise its `version`, or {again}" in told
    assert "1 done, 1 stale" in told
    changed = "my_methods:Shrink: its file has changed"
    ran = bench(root, "run", "mine/shrink", "--tier", "smoke").stderr
    assert f"warning: mine/shrink shrunk smoke seed 0: {changed}" in ran
    assert (
        f"inconclusive  not compared: {changed}"
        in bench(root, "check", "mine/shrink", "--tier", "smoke", expect=3).stdout
    )
    source.write_text(source.read_text().replace("version = 1", "version = 2"), encoding="utf-8")
    states = bench(root, "run", "mine/shrink", "--tier", "smoke", "--dry-run").stdout.splitlines()
    assert [line.split()[0] for line in states] == ["done", "missing"] and " shrunk " in states[1]


def the_drawings_are_a_voc_folder(_: Path, said: list[str]) -> None:
    assert "test: 8 images" in said[0] and "23 boxes" in said[0] and "mine/photos fp smoke" in said[0]


def the_better_boxes_are_found(_: Path, said: list[str]) -> None:
    assert any("external" in text and "commit 1234567" in text for text in said)


def the_workflow_runs(root: Path, _: list[str]) -> None:
    """Its commands as one shell script; all but the installation, which the README's first command is."""
    workflow = load_mapping(root / WORKFLOW).data
    (job,) = workflow["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert commands[0].startswith("pip install") and len(commands) == 3
    assert len((root / WORKFLOW).read_text(encoding="utf-8").splitlines()) == 10
    said = run_shell("\n".join(commands[1:]), root)
    assert "AP: holds" in said and "3 of 3 rows compared" in said and "passed" in said
    after = root / "after.json"
    after.write_text(after.read_text(encoding="utf-8").replace("10, 11, 40, 40", "30, 11, 40, 40"), encoding="utf-8")
    with pytest.raises(AssertionError, match="AP: fell"):
        run_shell("\n".join(commands[1:]), root)


def the_file_is_quantized(_: Path, said: list[str]) -> None:
    assert "2 jobs: 2 executed" in said[0] and "graph.stem_Conv.weight" in said[0] and "| MinMax" in said[0]


CHECKS: dict[str, Callable[[Path, list[str]], None]] = {
    "gate": the_workflow_runs,
    "own-data": the_drawings_are_a_voc_folder,
    "own-onnx": the_file_is_quantized,
    "own-method": a_method_is_part_of_the_identity,
    "predictions": the_better_boxes_are_found,
}
"""By page: what must be true after it has run."""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks(page))], ids=lambda p: p.stem
)
def test_the_page_runs(page: Path, finished_root: Path) -> None:
    said = run_page(page, finished_root)
    assert said and all(said)
    CHECKS.get(page.stem, lambda root, said: None)(finished_root, said)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}-{page.stem}")
def test_what_is_not_run_says_why_and_is_accepted(page: Path) -> None:
    """argparse takes each command of a block that is not run; a block has no mark that nothing here understands."""
    for block in blocks(page):
        if block.mark == COMMANDS:
            test = PROJECT / "tests" / ELSEWHERE[page.stem]
            assert page.name in test.read_text(encoding="utf-8") and block.language == "sh"
        elif block.language == "sh" and block.mark:
            assert block.mark.startswith(NOT_RUN) and len(block.mark) > len(NOT_RUN) + 10, block.mark
        for words in calls(block) if block.language == "sh" else []:
            accept(words)


def accept(words: list[str]) -> None:
    try:
        _parser().parse_args(words)
    except SystemExit:
        pytest.fail(f"the command line does not take: qdet-bench {shlex.join(words)}")


def test_no_shell_block_escapes() -> None:
    """Every line that opens a shell block is one that `blocks` found."""
    for page in PAGES:
        opened = len(re.findall(r"^ *```(?:sh|bash|shell|console)$", page.read_text(encoding="utf-8"), re.MULTILINE))
        assert opened == sum(block.language == "sh" for block in blocks(page)), page


def test_ci_runs_the_readme_test_command() -> None:
    commands = re.findall(r"```sh\n(python3 -m venv .*?)\n```", README.read_text(encoding="utf-8"))
    assert len(commands) == 2
    assert commands[1] in (PROJECT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def cells(text: str) -> list[list[str]]:
    """The cells of each line of the tables in `text`."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in text.splitlines() if line[:1] == "|"
    ]


def test_the_readme_has_the_committed_numbers() -> None:
    committed = cells((PROJECT / "results/hqod/table1.mini.md").read_text(encoding="utf-8"))
    rows = {(row[0], row[1]): row for row in committed if len(row) > 5 and "/" in row[1]}
    at = next(row.index("runs") for row in committed if row[0] == "method")
    told = [row for row in cells(README.read_text(encoding="utf-8")) if row[1] in ("32/32", "4/4", "2/2")]
    # The core rows, and AQD* with and without HQOD at INT4.
    assert len(told) == len(load_suite("hqod/table1", PROJECT).suite.core) + 2
    for method, bits, ap, runs in told:
        assert rows[method, bits][2] == ap and rows[method, bits][at] == runs


def test_the_answers_of_the_readme_are_the_committed_gains() -> None:
    text = README.read_text(encoding="utf-8")
    answers = text[text.index("Five lines") : text.index("It is made for")]
    line = dict(re.findall(r"(?m)^(\d)\. (.*(?:\n   .*)?)$", answers))
    told = {number: re.findall(r"[+-]\d+\.\d\d", words) for number, words in line.items()}
    aqd = "AQD\\*+HQOD beats AQD\\* at INT4"
    at_int4, at_int2 = "LSQ+HQOD beats LSQ at INT4", "LSQ+HQOD beats LSQ at INT2"
    thesis = "HQOD gains more at INT2 than in full precision"

    photos = _claims("real/bccd")
    bounds = ("lower bound", "upper bound")
    assert told["2"] == [photos[at_int4]["gain"], *(photos[at_int2][name] for name in ("gain", *bounds))]
    assert photos[at_int4]["verdict"].startswith("inconclusive") and "INT4 (inconclusive)" in line["2"]
    assert photos[at_int2]["verdict"].startswith("holds, depends on near-symmetry (") and ": holds)" in line["2"]
    assert "verdict is *holds, depends on near-symmetry*" in answers
    assert photos[at_int2]["sign test"] == "5 of 5, p 0.031" and "sign test (p 0.031)" in answers
    assert all(photos[claim]["pairs"] == "5" for claim in (at_int4, at_int2, thesis))
    assert "all five repetitions" in line["2"]
    assert told["3"][:3] == [photos[thesis][name] for name in ("gain", *bounds)]
    assert photos[thesis]["verdict"].startswith("inconclusive (") and ": inconclusive)" in line["3"]
    bccd = {(row[0], row[1]): row for row in cells((PROJECT / "results/real/bccd.mini.md").read_text("utf-8"))}
    full = ("FP+ft, as INT2", "FP+ft+HQOD, as INT2")
    plain, ours = (float(bccd[name, "32/32"][2].split(" ±")[0]) for name in full)
    assert told["3"][3] == f"{ours - plain:+.2f}"

    drawings = _claims("hqod/table1")
    told_of = [drawings[claim][name] for claim in (at_int4, aqd) for name in ("gain", *bounds)]
    assert told["4"] == [*told_of, drawings[at_int2]["gain"]]
    assert all(drawings[claim]["verdict"].startswith("holds (") for claim in (at_int4, aqd))
    assert line["4"].count(": holds)") == 2
    assert all(drawings[claim]["pairs"] == "8" for claim in (at_int4, aqd)) and "all eight repetitions" in line["4"]
    assert drawings[at_int2]["verdict"].startswith("out of regime (") and "but out of regime" in line["4"]
    assert drawings[at_int2]["sign test"].startswith("8 of 8") and "in all eight" in line["4"]
    table = (PROJECT / "results/hqod/table1.mini.md").read_text(encoding="utf-8")
    (lost,) = re.findall(r"LSQ itself loses (\S+), and the limit is 10", line["4"])
    assert f"lsq-w2a2 loses {lost} against fp-ft-w2a2, the limit is 10" in table


def _claims(suite: str) -> dict[str, dict[str, str]]:
    """The claims of a committed table, each cell by the head of its column."""
    committed = cells((PROJECT / f"results/{suite}.mini.md").read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = {}
    head: list[str] = []
    for row in committed:
        if row[0] == "claim":
            head = row
        elif head and len(row) == len(head):
            found[row[0]] = dict(zip(head, row, strict=True))
    return found


def test_the_readme_is_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 150
