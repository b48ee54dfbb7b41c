"""The commands that read: `list`, `show`, `plan` and `data`; what they print, import, and how long they take."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import children_s
from suite_text import LSQ_ROW, PUBLISHED_FILE, RIGHT, changed, write_suite

from bench.cli.main import main
from bench.cli.words import cost_words, yaml_lines
from bench.data.shapes.classes import class_names
from bench.plan.jobs import plan
from bench.records.store import Store
from bench.schema.load import load_suite

SLOW = ("torch", "torchvision", "numpy", "scipy", "mmdet", "mmengine", "mmcv", "matplotlib", "pandas", "PIL", "rich")
REPORTED = "  - {id: told, label: T, detector: any, bits: 4/4, published: told, reported_only: no code}\n"
DATA = RIGHT[RIGHT.index("    data:\n") : RIGHT.index("    metric:")]
VOC = "    data: {kind: voc, path: voc, train: [a], tune: [a], test: [b], difficult: crowd}\n"


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` puts the root on the path."""
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    more = (("policies:", "published: {file: a, table: T-A}\npolicies:"), ("tiers:\n", REPORTED + "tiers:\n"))
    write_suite(tmp_path, changed(*more))
    return tmp_path


class Said:
    """What one command said."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> None:
        assert main(["--root", str(root), *arguments]) == code
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def test_list(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Said(root, capsys, "list").out
    assert "x/y  A table\n  rows: fp lsq\n  reported only: told\n" in text
    assert "  mini: 4 missing; time to run: 5.0 min on one core, 4.0 min on two\n" in text
    facts = Said(root, capsys, "list", "--json").json
    assert facts["errors"] == {}
    suite = facts["suites"][0]
    assert (suite["name"], suite["path"]) == ("x/y", str(root / "suites/x/y.yaml"))
    assert suite["tiers"]["mini"]["jobs"] == {"done": 0, "missing": 4, "stale": 0, "failed": 0, "blocked": 0}
    assert suite["tiers"]["mini"]["cost"] == {"jobs": 4, "total_s": 300, "elapsed_s": 240, "unknown": 0}
    assert [row["reported_only"] for row in suite["rows"]] == [None, None, "no code"]


def test_list_hides_nothing_behind_a_wrong_file(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = write_suite(root, "title: T\nrows: 1\n", "a/wrong")
    (root / "suites" / "gone.yaml").symlink_to("nowhere")
    text = Said(root, capsys, "list", code=2).out
    assert "x/y  A table" in text and f"\na/wrong: wrong\n  {wrong}:" in text and "\ngone: wrong\n" in text
    facts = Said(root, capsys, "list", "--json", code=2).json
    assert list(facts["errors"]) == ["a/wrong", "gone"] and len(facts["suites"]) == 1


def test_list_without_suites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"There are no suites below {tmp_path / 'suites'}" in Said(tmp_path, capsys, "list").out
    assert Said(tmp_path, capsys, "list", "--json").json == {"suites": [], "errors": {}}


def test_plan(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = plan(load_suite("x/y", root), "mini")
    Store(root).folder(jobs[0].identity).fail("loss is NaN", "2026")
    lines = Said(root, capsys, "plan", "x/y").out.splitlines()
    assert lines[0].split() == ["suite", "row", "tier", "seed", "state", "min", "why"]
    assert lines[1].split() == ["x/y", "fp", "mini", "0", "failed", "2.0", "loss", "is", "NaN"]
    assert lines[2].split() == ["x/y", "lsq", "mini", "0", "to", "2", "missing", "1.0"]
    assert lines[-1] == "3 missing, 1 failed; time to run: 5.0 min on one core, 4.0 min on two"
    facts = Said(root, capsys, "plan", "x/y", "--rows", "lsq", "--seeds", "1", "--json").json
    assert [(job["row"], job["seed"]) for job in facts["jobs"]] == [("fp", 0), ("lsq", 0)]
    assert facts["jobs"][1]["start"] == facts["jobs"][0]["identity"] == jobs[0].identity
    assert facts["jobs"][0]["reasons"] == ["loss is NaN"]
    assert facts["counts"] == {"done": 0, "missing": 1, "stale": 0, "failed": 1, "blocked": 0}


def test_plan_names_absent_data(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, changed((DATA, VOC)))
    text = Said(root, capsys, "plan", "x/y").out
    assert "blocked" in text and f"{root / 'voc'}" in text
    assert text.endswith("4 blocked; time to run: 0.0 min on one core, 0.0 min on two\n")


def test_plan_of_two_suites_pays_shared_jobs_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, changed((LSQ_ROW, LSQ_ROW + LSQ_ROW.replace("id: lsq", "id: b").replace("4/4", "3/3"))), "x/z")
    facts = Said(root, capsys, "plan", "all", "--json").json
    assert len(facts["jobs"]) == 4 + 7 and facts["cost"]["jobs"] == 7


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan", "x/y", "--seeds", "0"], "--seeds 0: must be at least 1"),
        (["--root", "/dev/null", "list"], "--root /dev/null: no such folder"),
        (["plan", "all", "x/y"], "`all` stands alone"),
        (["run", "x/y", "--manifest", "/tmp"], "--manifest /tmp: is a folder; the name of a file is wanted"),
        (["run", "x/y", "--manifest", ""], "--manifest .: is a folder; the name of a file is wanted"),
        (["table", "x/y", "--output", ""], "--output .: is a folder; the name of a file is wanted"),
        (["plan", "x/y", "--seeds", "101"], "--seeds 101: must be at most 100"),
        (["run", "x/y", "--seeds", "9" * 20], f"--seeds {'9' * 20}: must be at most 100"),
        (["plan", "x/y", "--tier", "midi"], "no tier 'midi'"),
        (["plan", "x/y", "--rows", "told"], "runs no row 'told'; it runs fp, lsq"),
        (["show", "x/y", "--tier", "paper"], "no tier 'paper'"),
        (["show", "x/w"], "did you mean 'x/y'?"),
        (["data", "make", "shapes-voc-1-1-1-1-v1"], "no suite names data"),
        (["data", "verify", "x/w"], "did you mean 'x/y'?"),
    ],
)
def test_wrong_usage(arguments: list[str], words: str, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = Said(root, capsys, *arguments, code=2)
    assert said.err.startswith("qdet-bench: ") and words in said.err and said.out == ""


def test_show(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = plan(load_suite("x/y", root), "mini")
    facts = Said(root, capsys, "show", "x/y", "--json").json
    assert (facts["suite"], facts["tier"], facts["blocked"]) == ("x/y", "mini", [])
    fp, lsq, told = facts["rows"]
    assert [job["identity"] for job in lsq["jobs"]] == [job.identity for job in jobs[1:]]
    assert lsq["jobs"][2]["seeds"] == jobs[3].raw["seeds"]
    assert lsq["protocol"] | {"seeds": jobs[1].raw["seeds"]} == jobs[1].raw
    assert (fp["start"], lsq["start"]) == (None, "x/y fp mini seed 0")
    assert told["reported_only"] == "no code" and "protocol" not in told
    # The text is the same, as YAML.
    said = yaml.safe_load(Said(root, capsys, "show", "x/y").out)
    assert json.loads(json.dumps(said)) == facts


def test_show_published_numbers(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "baselines" / "published").mkdir(parents=True)
    (root / "baselines" / "published" / "a.yaml").write_text(PUBLISHED_FILE.replace("id: lsq-4", "id: told"))
    published = Said(root, capsys, "show", "x/y", "--json").json["rows"][2]["published"]
    assert published["metrics"] == {"AP": 50.2} and published["trust"] == "paper"


def test_yaml_lines() -> None:
    values = {
        "plain": ["a", "b-1", "a.b", "true", "No", "1", "1e5", "", "a: b", "é", "x\ny", None, True, 1, 0.5],
        "empty": [{}, []],
        "long": [{"k" * 30: "v" * 60, "l": {"m": ["x" * 50, "y" * 50]}}, ["z" * 60, "z" * 60]],
    }
    assert yaml.safe_load("\n".join(yaml_lines(values))) == values


def test_show_quantizers(capsys: pytest.CaptureFixture[str]) -> None:
    project = Path(__file__).parents[1]
    facts = Said(project, capsys, "show", "hqod/table1", "--tier", "smoke", "--quantizers", "--json").json
    row = next(row for row in facts["rows"] if row["id"] == "lsq-w4a4")
    assert row["pins"] == row["pinned"]
    assert len(row["weights"]) == row["pins"]["weights"] and len(row["activations"]) == row["pins"]["activations"]
    grid = {"bits": 8, "signed": True, "scheme": "uniform, symmetric", "granularity": "tensor"}
    assert row["weights"][0] == {"site": "backbone.conv1.weight", "module": "backbone.conv1", **grid}
    image = row["activations"][0]
    made = {"tensor": "image", "producer": "input", "quantized": "by its readers"}
    readers = [{"module": "backbone.conv1", "call": 0}]
    assert image == {"site": "backbone.conv1.input", **grid, **made, "readers": readers, "operations": []}
    # A residual block's input: its first convolution and its addition read it behind the block before.
    block = next(site for site in row["activations"] if site["tensor"] == "backbone.layer1.0.relu#1")
    assert block["quantized"] == "behind backbone.layer1.0" and block["producer"] == "relu"
    assert block["readers"] == [{"module": "backbone.layer1.1.conv1", "call": 0}]
    assert block["operations"] == ["add#0@backbone.layer1.1[1]"]
    apart = next(row for row in facts["rows"] if row["id"] == "lsq-layers-w4a4")
    assert {site["quantized"] for site in apart["activations"]} == {"by its readers"}
    assert not any(site["operations"] for site in apart["activations"])
    tqt = next(row for row in facts["rows"] if row["id"] == "tqt-w4a4")
    assert tqt["weights"][0]["scheme"] == "uniform, symmetric, power of two"
    shared = [site for site in row["activations"] if len(site["readers"]) > 1]
    assert shared and all(reader.keys() == {"module", "call"} for reader in shared[0]["readers"])
    assert "backbone.bn1.weight" in row["full_precision"]


def test_data_list(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, RIGHT, "x/z")
    write_suite(root, changed((DATA, VOC)), "x/voc")
    sets = Said(root, capsys, "data", "list", "--json").json["data"]
    assert [(s["name"], s["kind"], s["used_by"]) for s in sets] == [
        ("shapes-voc-64-16-0-8-v1", "shapes-voc", ["x/y:mini", "x/z:mini"]),
        ("voc", "voc", ["x/voc:mini"]),
    ]
    text = Said(root, capsys, "data", "list").out
    assert "qdet-bench data make shapes-voc-64-16-0-8-v1" in text and "no such folder" in text


def test_data_make_and_verify(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = Said(root, capsys, "data", "verify", "x/y", code=1)
    assert "not generated yet" in said.err
    folder = root / "data" / "shapes" / "shapes-voc-64-16-0-8-v1"
    assert Said(root, capsys, "data", "make", "x/y", "--json").json == {"name": folder.name, "path": str(folder)}
    assert len(list(folder.rglob("*.png"))) == 24
    assert Said(root, capsys, "data", "make", folder.name).out == f"{folder.name}: present, {folder}\n"
    assert Said(root, capsys, "data", "list", "--json").json["data"][0]["absent"] is None
    splits = Said(root, capsys, "data", "verify", folder.name, "--json").json["splits"]
    assert [(s["split"], s["counts"]["images"]) for s in splits] == [("train", 16), ("test", 8)]
    assert all(s["readable"] and s["problems"] == [] for s in splits)
    assert splits[0]["digest"] != splits[1]["digest"]
    # A box that the reader drops is told, but the data can be read.
    annotation = sorted(folder.rglob("*.xml"))[0]
    corners = "<xmin>5</xmin><ymin>5</ymin><xmax>5</xmax><ymax>9</ymax>"
    flat = f"<object><name>{class_names('voc')[0]}</name><bndbox>{corners}</bndbox></object>"
    annotation.write_text(annotation.read_text().replace("</annotation>", f"{flat}</annotation>"))
    assert "degenerate-box" in Said(root, capsys, "data", "verify", "x/y").out
    # A truncated image is found, though its header is whole.
    image = sorted(folder.rglob("*.png"))[0]
    image.write_bytes(image.read_bytes()[:-100])
    text = Said(root, capsys, "data", "verify", "x/y", code=1).out
    assert "unreadable-image" in text and image.name in text


def test_data_that_are_not_generated(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, changed((DATA, VOC)))
    assert "only Shapes are generated" in Said(root, capsys, "data", "make", "x/y", code=2).err
    assert "no such folder" in Said(root, capsys, "data", "verify", "x/y", code=1).err
    (root / "voc").mkdir()
    text = Said(root, capsys, "data", "verify", "x/y", code=1).out
    assert [line.split(":")[0] for line in text.splitlines()] == ["train", "tune", "test"]


def test_data_of_a_suite_are_those_of_its_only_tier(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, RIGHT.replace("mini:", "smoke:"))
    assert "not generated yet" in Said(root, capsys, "data", "verify", "x/y", code=1).err


def loaded(root: Path, *arguments: str) -> set[str]:
    """Names of the modules that a command has imported when it ends."""
    script = (
        "import sys\nfrom bench.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "--root", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stderr.split()}


COMMANDS = [["--help"], ["list"], ["plan", "x/y"], ["show", "x/y"], ["data", "list"], ["plan", "--help"]]
COMMANDS += [["show", "x/y", "--expanded"], ["schema"]]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_nothing_slow_is_imported(arguments: list[str], root: Path) -> None:
    assert not loaded(root, *arguments) & set(SLOW)


@pytest.mark.parametrize("arguments", COMMANDS[:5], ids=" ".join)
def test_answers_within_a_second(arguments: list[str], root: Path) -> None:
    command = [sys.executable, "-m", "bench", "--root", str(root), *arguments]
    times = []
    for _ in range(3):
        start = children_s()
        subprocess.run(command, capture_output=True, check=True, env={**os.environ, "COLUMNS": "100"})
        times.append(children_s() - start)
    assert min(times) < 1


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [(">&-", 0, ""), (">/dev/full", 1, "qdet-bench: No space left on device\n"), ("| head -c 1", 0, "")],
)
def test_output_that_cannot_be_written(root: Path, output: str, code: int, said: str) -> None:
    command = f'set -o pipefail; "{sys.executable}" -m bench --root "{root}" show x/y {output}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, said)


def test_output_that_is_not_utf8(root: Path) -> None:
    write_suite(root, changed(("title: A table", 'title: "A täble"')))
    command = [sys.executable, "-m", "bench", "--root", str(root), "list"]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert b"A t\\xe4ble" in done.stdout


@pytest.mark.parametrize("command", [["list"], ["plan", "x/y"], ["run", "x/y", "--dry-run"]], ids=" ".join)
def test_a_file_in_the_place_of_results(root: Path, capsys: pytest.CaptureFixture[str], command: list[str]) -> None:
    (root / "results").write_text("no folder")
    said = Said(root, capsys, *command, code=1).err
    assert said == f"qdet-bench: {root / 'results'}: is a file where a folder is wanted; move it away\n"


def test_a_manifest_that_cannot_be_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, changed((DATA, VOC)))
    said = Said(root, capsys, "run", "x/y", "--manifest", "/proc/m.json", code=1)
    assert "4 jobs: " in said.out
    assert said.err == "qdet-bench: /proc/m.json: cannot be written: No such file or directory\n"


def test_a_dry_run_writes_no_manifest(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_suite(root, changed((DATA, VOC)))
    said = Said(root, capsys, "run", "x/y", "--dry-run", "--manifest", str(root / "m.json"), code=2)
    assert "a dry run has no states to write" in said.err and not (root / "m.json").exists()


def test_a_cost_that_nobody_declared_is_not_zero() -> None:
    cost = {"jobs": 3, "total_s": 0.0, "elapsed_s": 0.0, "unknown": 3}
    assert cost_words(cost) == "unknown, no job declares any"
    assert cost_words(cost | {"jobs": 4, "total_s": 60.0, "elapsed_s": 60.0}) == (
        "1.0 min on one core, 1.0 min on two (without 3 jobs that declare none)"
    )
