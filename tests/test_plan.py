"""Jobs: what their identity hangs on, their seeds, where they stand, and what they cost."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from suite_text import FP_ROW, LSQ_ROW, RIGHT, changed, write_suite

from bench import versions
from bench.data import shapes
from bench.errors import UsageError
from bench.plan.changes import changes
from bench.plan.cost import elapsed, to_pay
from bench.plan.identity import derive_seed, identity
from bench.plan.jobs import Job, plan
from bench.plan.standing import Standing, standings
from bench.processes import cores
from bench.records import environment
from bench.records.record import Cost, DataFacts, Provenance, Record, SavedPredictions
from bench.records.store import Store
from bench.schema.catalog import CATALOG, Entry
from bench.schema.load import load_suite
from bench.schema.suite import Tier

ROOMS = [(versions, "DATA"), (shapes, "VERSION"), *((versions, name) for name in ("DETECTORS", "ENGINE", "EVALUATION"))]
OWN = "class Own:\n    version = {}\n    def make_quantizers(self, placement): ...\n"


def jobs(root: Path, text: str = RIGHT, tier: Tier = "mini", **options: Any) -> dict[tuple[str, int], Job]:
    write_suite(root, text)
    return {(job.row.id, job.repetition): job for job in plan(load_suite("x/y", root), tier, **options)}


def identities(root: Path, text: str = RIGHT) -> dict[tuple[str, int], str]:
    return {key: job.identity for key, job in jobs(root, text).items()}


UNCHANGING = {
    "label": [("label: LSQ", "label: Other")],
    "title": [("title: A table", "title: Another")],
    "id": [("id: lsq", "id: other")],
    "note": [("    start: fp", "    start: fp\n    note: of no matter")],
    "reconstruction": [("    start: fp", "    start: fp\n    reconstruction: ours")],
    "cost": [("cost_s: 60", "cost_s: 600"), ("cost_s: 120", "cost_s: 1")],
    "order": [(FP_ROW + LSQ_ROW, LSQ_ROW + FP_ROW)],
    "published": [
        ("    start: fp", "    start: fp\n    published: any"),
        ("policies:", "published: {file: a, table: T-A}\npolicies:"),
    ],
    "pins": [("weights: 38", "weights: 39")],
    "written defaults": [("{train: 16,", "{train: 16, tune: 0,"), ("length: 2,", "length: 2 ,")],
    "name of a recipe": [("recipe: qat", "recipe: q"), ("      qat:", "      q:")],
    "name of a policy": [("policy: all", "policy: every"), ("  all:", "  every:")],
}


@pytest.mark.parametrize("name", UNCHANGING)
def test_identity_is_unchanged(name: str, tmp_path: Path) -> None:
    assert sorted(identities(tmp_path).values()) == sorted(identities(tmp_path, changed(*UNCHANGING[name])).values())


# name: (change, whether the FP job changes too)
CHANGING = {
    "lr": (("lr: 0.01\n", "lr: 0.02\n"), False),
    "weight decay": (("weight_decay: 0.0001", "weight_decay: 0.0002"), False),
    "method option": (("range_test: paper", "range_test: mqbench"), False),
    "bits": (("bits: 4/4", "bits: 4/3"), False),
    "policy": (("parts: [backbone, neck, bbox_head]", "parts: [backbone, neck, bbox_head]\n    edge_bits: 6"), False),
    "calibration": (("{images: 8,", "{images: 4,"), False),
    "start": (("lr: 0.001,", "lr: 0.002,"), True),
    "data": (("side: 64\n", "side: 96\n"), True),
    "images": (("train: 16", "train: 17"), True),
    "difficult": (("difficult: crowd", "difficult: drop"), True),
    "metric": (("variant: coco, area_side: 64", "variant: coco, area_side: 65"), True),
    "test": (("score_threshold: 0.0", "score_threshold: 0.1"), True),
    "input": (("size: [64, 64]", "size: [96, 64]"), True),
}


@pytest.mark.parametrize("name", CHANGING)
def test_identity_is_changed(name: str, tmp_path: Path) -> None:
    change, fp_too = CHANGING[name]
    before, after = identities(tmp_path), identities(tmp_path, changed(change))
    assert before.keys() == after.keys()
    assert all(before[key] != after[key] for key in before if key[0] == "lsq")
    assert (before["fp", 0] != after["fp", 0]) == fp_too


@pytest.mark.parametrize(("room", "name"), ROOMS)
def test_version_of_a_room_counts(room: Any, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identities(tmp_path)
    monkeypatch.setattr(room, name, getattr(room, name) + 1)
    after = identities(tmp_path)
    assert not set(before.values()) & set(after.values())


def test_version_of_quantization_spares_fp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identities(tmp_path)
    monkeypatch.setattr(versions, "QUANTIZATION", versions.QUANTIZATION + 1)
    after = identities(tmp_path)
    assert {key[0] for key in before if before[key] != after[key]} == {"lsq"}


@pytest.mark.parametrize(
    ("part", "stale"),
    [
        ("data:shapes-voc", {"fp", "lsq"}),
        ("data:coco", set()),
        ("metric:coco", {"fp", "lsq"}),
        ("metric:voc07", set()),
        ("observer:ema_mse", {"lsq"}),
        ("observer:std", set()),
        ("calibration", {"lsq"}),
        ("training", {"fp", "lsq"}),
    ],
)
def test_a_raised_part_makes_the_jobs_stale_that_use_it(
    part: str, stale: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identities(tmp_path)
    monkeypatch.setitem(versions.PARTS, part, 9)
    after = identities(tmp_path)
    # What starts from a stale row is stale with it.
    assert {key[0] for key in before if before[key] != after[key]} == stale


def test_version_of_a_detector_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = identities(tmp_path)
    entry = CATALOG["retinanet-r18"]
    monkeypatch.setitem(CATALOG, "retinanet-r18", Entry(entry.config, entry.family, entry.version + 1))
    assert not set(before.values()) & set(identities(tmp_path).values())


def test_version_of_a_method_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = changed(("- name: lsq", "- name: own_method:Own"))
    file = tmp_path / "own_method.py"
    found = []
    for stamp, version in enumerate((1, 2, 1), start=1):
        file.write_text(OWN.format(version))
        os.utime(file, ns=(stamp * 10**9, stamp * 10**9))
        found.append(identities(tmp_path, text))
    assert found[0] == found[2]
    assert {key[0] for key in found[0] if found[0][key] != found[1][key]} == {"lsq"}


def test_data_of_the_user_count_by_their_bytes(tmp_path: Path) -> None:
    data = RIGHT[RIGHT.index("    data:\n") : RIGHT.index("    metric:")]
    coco = "    data:\n      kind: coco\n      path: {}\n"
    for split in ("train", "test"):
        coco += f"      {split}: {{{{annotations: {split}.json, images: .}}}}\n"
    blocked = jobs(tmp_path, changed((data, coco.format("mine"))))["fp", 0]
    assert blocked.blocked is not None and "mine: no such folder" in blocked.blocked
    for folder in ("mine", "copy"):
        (tmp_path / folder).mkdir()
        for split in ("train", "test"):
            (tmp_path / folder / f"{split}.json").write_text('{"images": []}')
    first = identities(tmp_path, changed((data, coco.format("mine"))))
    assert first == identities(tmp_path, changed((data, coco.format("copy"))))
    (tmp_path / "mine" / "test.json").write_text('{"images": [] }')
    assert not set(first.values()) & set(identities(tmp_path, changed((data, coco.format("mine")))).values())


def test_identity_is_stable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # If this changes, every record of every user becomes stale: raise a version on purpose, or undo the change.
    for room, name in ROOMS:
        monkeypatch.setattr(room, name, 1)
    monkeypatch.setattr(versions, "PARTS", {})
    assert identities(tmp_path)["lsq", 1] == "ed237d40e69ee8c667318ab14accc9adf64af17d00dc78306e1aed9b3aea3a3a"
    assert identity({"b": [1, None], "a": 0.1}) == "23c650579e142adcb3275e4cad3ea03a7d0c388dcda94dde62f53199440430fe"
    assert derive_seed("data", "sha256:0", 1) == 187143758


def test_jobs_and_seeds(tmp_path: Path) -> None:
    text = changed(("tiers:\n", LSQ_ROW.replace("id: lsq", "id: again").replace("4/4", "3/3") + "tiers:\n"))
    found = jobs(tmp_path, text)
    assert list(found) == [("fp", 0), *((row, k) for k in range(3) for row in ("lsq", "again"))]
    seeds = {key: job.raw["seeds"] for key, job in found.items()}
    for k in range(3):
        # Paired rows see the same images in the same order.
        assert seeds["lsq", k] == seeds["again", k]
        assert found["lsq", k].start == found["fp", 0]
    assert seeds["fp", 0]["data"] == seeds["lsq", 0]["data"]
    assert len({seeds["lsq", k]["data"] for k in range(3)}) == 3
    assert len({seeds["lsq", k]["init"] for k in range(3)}) == 3
    assert len({job.identity for job in found.values()}) == 7
    assert all(0 <= value < 2**31 for seed in seeds.values() for value in seed.values())
    assert found["lsq", 2].name == "x/y lsq mini seed 2"


def test_rows_and_seeds_asked_for(tmp_path: Path) -> None:
    assert list(jobs(tmp_path, rows=("lsq",), seeds=1)) == [("fp", 0), ("lsq", 0)]
    assert list(jobs(tmp_path, rows=("fp",), seeds=5)) == [("fp", 0)]
    with pytest.raises(UsageError, match="runs no row 'x'; it runs fp, lsq"):
        jobs(tmp_path, rows=("x",))
    with pytest.raises(UsageError, match="has no tier 'paper'; it has mini"):
        jobs(tmp_path, tier="paper")


def record(job: Job, finished: str = "2026-01-01T00:00:00+00:00", asked_by: str | None = None) -> Record:
    return Record(
        identity=job.identity,
        protocol=job.raw,
        metrics={"AP": 0.5},
        per_category={f"class{k}": {"AP": 0.5, "AP50": 0.6, "AP75": 0.4} for k in range(20)},
        scorer="pycocotools",
        predictions=SavedPredictions(digest="0", count=0),
        placement=None,
        placement_sites=tuple(f"backbone.layer{k}.conv1.weight int4" for k in range(100)),
        data=DataFacts(pin="0", splits={}, problems=()),
        training=None,
        checkpoint_sha256="0",
        environment={},
        environment_key="0",
        provenance=Provenance(commit=None, dirty=None, source="0", arguments=(), asked_by=asked_by or job.name),
        cost=Cost(started=finished, finished=finished, host="h", phases={}),
    )


def keep(store: Store, record: Record) -> Path:
    folder = store.folder(record.identity)
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.record_file.write_text(record.model_dump_json(indent=1))
    folder.checkpoint.touch()
    return folder.record_file


def states(found: list[Standing]) -> list[str]:
    return [standing.state for standing in found]


def test_standings(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = list(jobs(tmp_path).values())
    assert states(standings(planned, store)) == ["missing"] * 4
    file = keep(store, record(planned[0]))
    store.folder(planned[1].identity).fail("loss is NaN at step 3", "2026")
    found = standings(planned, store)
    assert states(found) == ["done", "failed", "missing", "missing"]
    assert found[1].reasons == ("loss is NaN at step 3",)
    file.write_text("{}")
    found = standings(planned, store)
    assert found[0].state == "failed" and "not a record" in found[0].reasons[0]


def test_stale_says_why(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for job in jobs(tmp_path).values():
        keep(store, record(job))
    text = changed(("lr: 0.01\n", "lr: 0.02\n"), ("range_test: paper", "range_test: mqbench"))
    found = standings(list(jobs(tmp_path, text).values()), store)
    assert states(found) == ["done", *["stale"] * 3]
    assert found[1].reasons == (
        "methods[0].options.range_test paper -> mqbench",
        "recipe.optimizer.lr 0.01 -> 0.02",
    )
    text = changed(("lr: 0.001,", "lr: 0.002,"))
    found = standings(list(jobs(tmp_path, text).values()), store)
    assert [standing.reasons for standing in found] == [
        ("recipe.optimizer.lr 0.001 -> 0.002",),
        *[("start: row fp has changed",)] * 3,
    ]
    text = changed(("side: 64\n", "side: 96\n"))
    reasons = standings(list(jobs(tmp_path, text).values()), store)[0].reasons
    assert reasons[0] == "data.side 64 -> 96" and reasons[1].startswith("data.pin ") and len(reasons) == 2


def test_an_own_method_whose_file_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old records do not know the file, and stay done."""
    store, job = Store(tmp_path), jobs(tmp_path)["lsq", 0]
    monkeypatch.setattr(type(job.protocol), "own_sources", lambda _: {"mine:Method": "b"})
    for own, state in ((None, "done"), ({"mine:Method": "b"}, "done"), ({"mine:Method": "a"}, "stale")):
        old = record(job)
        keep(store, old.model_copy(update={"provenance": old.provenance.model_copy(update={"own": own})}))
        (found,) = standings([job], store)
        assert found.state == state
    assert found.reasons[0].startswith(
        "mine:Method: its file has changed since: raise its `version`, or `qdet-bench run "
    )
    assert to_pay([found]).jobs == 1


def test_stale_compares_with_the_newest(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for lr, day in ((0.03, 2), (0.04, 3), (0.05, 1)):
        job = jobs(tmp_path, changed(("lr: 0.01\n", f"lr: {lr}\n")))["lsq", 0]
        keep(store, record(job, f"2026-01-0{day}"))
    other = jobs(tmp_path, changed(("lr: 0.01\n", "lr: 0.06\n")))["lsq", 0]
    keep(store, record(other, "2026-02-01", asked_by="z/z lsq mini seed 0"))
    found = standings([jobs(tmp_path)["lsq", 0]], store)
    assert found[0].reasons == ("recipe.optimizer.lr 0.04 -> 0.01",)


def test_broken_neighbours_do_no_harm(tmp_path: Path) -> None:
    store = Store(tmp_path)
    job = jobs(tmp_path)["lsq", 0]
    name = json.dumps(job.name)
    for k, text in enumerate(["", "[]", "{", name, f'{{"provenance": {name}}}', "\0"]):
        folder = store.jobs / f"broken{k}"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(text)
    (store.jobs / "file").write_text("")
    (store.jobs / "empty").mkdir()
    assert states(standings([job], store)) == ["missing"]


def test_many_records_are_read_fast(tmp_path: Path) -> None:
    store = Store(tmp_path)
    texts = [changed(("lr: 0.01\n", f"lr: 0.{k}\n"), ("seeds: 3", "seeds: 10")) for k in range(11, 41)]
    for text in texts:
        for job in jobs(tmp_path, text).values():
            keep(store, record(job))
    planned = [job for text in texts[:20] for job in jobs(tmp_path, text).values()]
    planned += jobs(tmp_path, changed(("seeds: 3", "seeds: 10"))).values()
    start = time.process_time()
    found = standings(planned, store)
    assert time.process_time() - start < 1
    assert states(found).count("done") == 221 and states(found).count("stale") == 10


def test_blocked(tmp_path: Path) -> None:
    data = RIGHT[RIGHT.index("    data:\n") : RIGHT.index("    metric:")]
    voc = "    data: {kind: voc, path: '${QDET_ABSENT}', train: [a], test: [b], difficult: crowd}\n"
    found = standings(list(jobs(tmp_path, changed((data, voc))).values()), Store(tmp_path))
    assert set(states(found)) == {"blocked"}
    assert "QDET_ABSENT" in found[0].reasons[0]
    assert to_pay(found).jobs == 0


def test_changes() -> None:
    before = {"a": 1, "b": {"c": [1, 2], "d": None}, "seeds": {"data": 1}, "only": "x" * 80, "f": 1}
    after = {"a": 1, "b": {"c": [1, 3], "d": {}}, "seeds": {"data": 2}, "new": [1], "f": 1.0}
    assert changes(before, after) == [
        "b.c[1] 2 -> 3",
        "b.d null -> {}",
        f"only {'x' * 47}… -> (absent)",
        "f 1 -> 1.0",
        "new (absent) -> [1]",
    ]
    assert changes({"seeds": {"data": 1}}, {"seeds": {"data": 2}}) == ["seeds.data 1 -> 2"]
    assert changes({"l": [1]}, {"l": [1, 2]}) == ["l [1] -> [1,2]"]
    assert changes(before, before) == []


def test_cost(tmp_path: Path) -> None:
    store = Store(tmp_path)
    planned = list(jobs(tmp_path).values())
    cost = to_pay(standings(planned, store))
    # FP 120 s alone, then three of 60 s on two cores.
    assert (cost.jobs, cost.total_s, cost.elapsed_s, cost.unknown) == (4, 300, 240, 0)
    # A job that two suites share is paid once.
    assert to_pay([*standings(planned, store)] * 2) == cost
    keep(store, record(planned[0]))
    cost = to_pay(standings(planned, store))
    assert (cost.jobs, cost.total_s, cost.elapsed_s) == (3, 180, 120)
    assert elapsed([], 2) == 0 and elapsed(planned, 1) == 300 and elapsed(planned, 9) == 180
    text = changed(("        cost_s: 60\n", ""))
    cost = to_pay(standings(list(jobs(tmp_path, text).values()), Store(tmp_path / "other")))
    assert (cost.total_s, cost.unknown) == (120, 3)


def test_jobs_share_cores_but_no_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for there, visible, jobs in ((False, None, cores()), (True, None, 1), (True, "", cores()), (True, "0", 1)):
        monkeypatch.setattr(environment, "_NVIDIA", tmp_path / ("" if there else "absent"))
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert environment.jobs_at_once() == jobs
