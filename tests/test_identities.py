"""Which identities have changed since 7386d63, and by which named mend; every other job's records still count."""

from pathlib import Path

import pytest
from conftest import PROJECT

from bench.plan.identity import identity
from bench.plan.jobs import Job, plan
from bench.schema.load import load_all

BEFORE = dict(
    line.rsplit(" ", 1) for line in (Path(__file__).parent / "identities_7386d63.txt").read_text().splitlines()
)
"""What `python -m tests.identities` printed there."""
MENDS = ("placement", "calibration", "training", "data:coco", "continued set")
"""Parts whose version was raised: a signed image, one observation of a tensor, cheaper steps (last bits), boxes without
extent, which count in scoring, and DETRs whose training goes on from another row."""
TUNED_ANEW = ("hqod/table1", "hqod/tuning")
"""Suites with another image size, width and schedule at tier mini."""
DETRS = ("deformable-detr-refine-r50", "detr-r50", "dab-detr-r50")
"""No longer trained on eighty classes."""


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    suites, errors = load_all(PROJECT)
    assert not errors
    return {job.name: job for located in suites for tier in located.suite.tiers for job in plan(located, tier)}


def renamed(name: str) -> str | None:
    """Today's name of a job of 7386d63; None where it was dropped or tuned anew."""
    suite, row, tier, _, _ = name.split()
    if (suite in TUNED_ANEW and tier == "mini") or (suite == "detectors/shapes_coco" and row in DETRS):
        return None
    if suite == "hqod/table1" and row in ("fp-ft", "fp-ft-hqod"):
        return name.replace(f" {row} ", f" {row}-w4a4 ")  # its control of INT2 came beside it
    return name


def taken_back(job: Job) -> str:
    """The identity without the named mends, its own and those of what it starts from."""
    raw = {**job.raw, "versions": {part: n for part, n in job.raw["versions"].items() if part not in MENDS}}
    if job.start is not None:
        raw["start"] = taken_back(job.start)
    if job.protocol.policy is not None:
        raw["policy"] = {**job.raw["policy"]}
        raw["policy"].pop("readers", None)
        if job.suite == "hqod/tuning_yolox":
            raw["policy"]["unsigned_after"] = []
    return identity(raw)


def test_no_job_was_lost(jobs: dict[str, Job]) -> None:
    assert not {now for name in BEFORE if (now := renamed(name)) is not None} - jobs.keys()


def test_jobs_changed_by_the_named_mends_alone(jobs: dict[str, Job]) -> None:
    compared = 0
    for name, before in BEFORE.items():
        now = renamed(name)
        if now is None or (now.startswith("real/") and jobs[now].protocol.pin == "absent"):
            continue
        assert taken_back(jobs[now]) == before, name
        compared += 1
    assert compared > 300
