"""Which identities have changed since 7386d63, and by which named mend; every other job's records still count."""

from pathlib import Path

import pytest
from conftest import PROJECT

from bench.plan.jobs import Job, plan
from bench.schema.load import load_all

BEFORE = dict(
    line.rsplit(" ", 1) for line in (Path(__file__).parent / "identities_7386d63.txt").read_text().splitlines()
)
"""What `python -m tests.identities` printed there."""


@pytest.fixture(scope="module")
def jobs() -> dict[str, Job]:
    suites, errors = load_all(PROJECT)
    assert not errors
    return {job.name: job for located in suites for tier in located.suite.tiers for job in plan(located, tier)}


def is_quantized(job: Job) -> bool:
    return any(one.protocol.policy is not None for one in (job, *job.lineage))


def before_cheaper_steps(job: Job) -> str:
    """The identity without the raises for cheaper steps: `training`, and YOLOX with PyTorch's SiLU."""
    from bench.plan.identity import identity

    raw = {**job.raw, "versions": {**job.raw["versions"]}, "detector": {**job.raw["detector"]}}
    raw["versions"].pop("training", None)
    if raw["detector"]["name"].startswith("yolox-"):
        raw["detector"]["version"] = 1
    if job.start is not None:
        raw["start"] = before_cheaper_steps(job.start)
    return identity(raw)


def test_no_job_was_lost(jobs: dict[str, Job]) -> None:
    assert not BEFORE.keys() - jobs.keys()


def test_jobs_without_quantizers_changed_by_cheaper_steps_alone(jobs: dict[str, Job]) -> None:
    here = {name: job for name, job in jobs.items() if not job.name.startswith("real/") or job.protocol.pin != "absent"}
    plain = [name for name in BEFORE if name in here and not is_quantized(here[name])]
    assert len(plain) > 100
    assert [name for name in plain if before_cheaper_steps(here[name]) != BEFORE[name]] == []
    trained = [name for name in plain if here[name].protocol.recipe is not None]
    assert all(here[name].identity != BEFORE[name] for name in trained) and len(trained) > 50


def test_quantized_ones_changed_by_placement_calibration_and_cheaper_steps_alone(jobs: dict[str, Job]) -> None:
    """`readers: all`, a signed image, one observation of a tensor: taken back, the identities are the old ones."""
    from bench.plan.identity import identity

    changed = 0
    for name in BEFORE:
        job = jobs[name]
        if job.protocol.policy is None or (is_quantized(job) and job.start and is_quantized(job.start)):
            continue
        if job.suite.startswith("real/") and job.protocol.pin == "absent":
            continue
        raw = {**job.raw, "policy": dict(job.raw["policy"]), "versions": dict(job.raw["versions"])}
        raw["policy"].pop("readers", None)
        if job.suite == "hqod/tuning_yolox":
            raw["policy"]["unsigned_after"] = []
        for part in ("placement", "calibration"):
            raw["versions"].pop(part)
        raw["versions"].pop("training", None)
        if raw["detector"]["name"].startswith("yolox-"):
            raw["detector"] = {**raw["detector"], "version": 1}
        if job.start is not None:
            raw["start"] = before_cheaper_steps(job.start)
        assert identity(raw) == BEFORE[name], name
        changed += job.identity != BEFORE[name]
    assert changed > 100
