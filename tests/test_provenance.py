"""What a record says of the code that ran."""

import json
import subprocess
import time
from pathlib import Path

import pytest

from bench.data.dataset import Dataset, Problem
from bench.records.build import Stopwatch, data_facts, provenance
from bench.records.provenance import commit
from bench.records.record import Asked, Provenance


def test_a_lock_of_dvc_is_no_change_of_the_code(tmp_path: Path) -> None:
    suites = tmp_path / "suites" / "paper"
    suites.mkdir(parents=True)
    (suites / "one.yaml").write_text("title: one\n", encoding="utf-8")
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    head, changed = commit(tmp_path)
    assert head is not None and len(head) == 40 and changed is False
    (suites / "dvc.lock").write_text("schema: '2.0'\n", encoding="utf-8")
    assert commit(tmp_path) == (head, False)
    (suites / "one.yaml").write_text("title: two\n", encoding="utf-8")
    assert commit(tmp_path) == (head, True)


def test_outside_a_checkout_nothing_is_said(tmp_path: Path) -> None:
    assert commit(tmp_path) == (None, None)


OLD = {"commit": None, "dirty": None, "source": "b" * 64, "arguments": [], "asked_by": "a b/table1 lsq mini seed 3"}


def test_an_old_record_says_by_its_name_what_it_was_made_for() -> None:
    found = Provenance.model_validate_json(json.dumps(OLD))
    assert found.asked == Asked("a b/table1", "lsq", "mini", 3) and found.asked.name == found.asked_by
    assert found.model_dump(mode="json") == OLD, "what is read and written stays the same"
    assert Provenance.model_validate_json(json.dumps({**OLD, "asked_by": "somebody"})).asked is None


def test_a_new_record_says_it_in_fields(tmp_path: Path) -> None:
    asked = Asked("x/y", "row", "smoke", 1)
    made = provenance(tmp_path, ("run", "x/y", "\udcff"), asked)
    kept = Provenance.model_validate_json(made.model_dump_json())
    assert (kept.asked, kept.asked_by, kept.arguments) == (asked, asked.name, ("run", "x/y", "?"))
    assert json.loads(made.model_dump_json())["seed"] == 1


def test_a_record_keeps_the_first_problems_of_each_split() -> None:
    problems = tuple(Problem("kind", f"place {n}", "detail") for n in range(150))
    coco = {"images": [{"id": 1}], "annotations": [], "categories": []}
    data = {name: Dataset(name, Path(), coco, problems) for name in ("train", "test")}
    found = data_facts("sha256:0", data)
    assert len(found.problems) == 100 and found.problems[0] == "train: kind place 0: detail"
    assert found.splits["test"] == {"images": 1, "boxes": 0, "crowd": 0, "empty_images": 1, "kind": 150}


def test_a_stopwatch_keeps_the_phases_that_ended() -> None:
    watch = Stopwatch()
    with watch.phase("sleep"):
        time.sleep(0.02)
    with pytest.raises(ValueError, match="no end"), watch.phase("broken"):
        raise ValueError("no end")
    cost = watch.cost()
    assert set(cost.phases) == {"sleep"} and cost.phases["sleep"].wall_s >= 0.02 and cost.started <= cost.finished
