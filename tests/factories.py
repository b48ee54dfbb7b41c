"""Small suites, jobs and records for tests: a folder with everything that `check` and `table` read."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from bench.cli.main import _parser
from bench.plan.jobs import Job, plan
from bench.records.files import write_json, write_text
from bench.records.record import Record
from bench.records.store import Store
from bench.schema.load import Located, load_suite
from bench.schema.source import load_mapping
from bench.schema.suite import Tier

NAME = "toy/table1"
PINS = {"weights": 3, "activations": 5, "edge": 2, "unsigned": 4}
ENVIRONMENT = {
    "packages": {"torch": "2.11.0", "mmdet": "3.3.0", "pycocotools": "2.0.10"},
    "processor": "Example CPU avx2",
    "device": "cpu",
    "kernels": "eager",
    "threads": 1,
}
PUBLISHED = Path(__file__).parents[1] / "baselines" / "published"


def suite_data(**changes: Any) -> dict[str, Any]:
    """A suite of three run rows and one that is reported only, beside HQOD's Table III."""
    detector = {
        "input": {"size": [64, 64]},
        "test": {"batch": 4, "score_threshold": 0.0, "nms_iou": 0.5},
        "init": {"kind": "scratch"},
    }
    recipe = {
        "unit": "step",
        "length": 4,
        "batch": 2,
        "optimizer": {"kind": "sgd", "lr": 0.01, "weight_decay": 0.0},
        "decay": {"kind": "constant"},
    }
    tier = {
        "data": {"kind": "shapes-voc", "side": 64, "images": {"train": 8, "test": 4}, "difficult": "crowd"},
        "metric": {"variant": "coco", "area_side": 64},
        "detectors": {"retinanet-r18": detector},
        "recipes": {"short": recipe},
        "calibration": {"images": 2},
    }
    policy = {"layers": ["conv"], "first": ["a"], "last": ["b"], "parts": ["backbone"]}
    observer = {"kind": "minmax"}
    options = {"range_test": "paper", "grad_scale": "batch", "weights": observer, "activations": observer}
    fp = {"detector": "retinanet-r18", "bits": "32/32", "recipe": "short"}
    lsq = {
        "id": "lsq",
        "label": "LSQ",
        "detector": "retinanet-r18",
        "bits": "2/2",
        "recipe": "short",
        "start": "fp",
        "policy": "all",
        "methods": [{"name": "lsq", "options": options}],
        "pins": {"mini": PINS},
        "published": "retinanet-r18-lsq-w2a2",
    }
    hardet = {
        "id": "hardet",
        "label": "LSQ+HarDet*",
        "detector": "retinanet-r18",
        "bits": "2/2",
        "published": "retinanet-r18-lsq-hardet-w2a2",
        "reported_only": "no recipe was released",
    }
    suite = {
        "title": "Toy: RetinaNet-R18",
        "published": {"file": "hqod", "table": "T-HQOD-3"},
        "policies": {"all": policy},
        "rows": [
            {"id": "fp", "label": "FP", "published": "retinanet-r18-fp", **fp},
            {"id": "fp-ft", "label": "FP+ft", "start": "fp", "note": "not in the paper", **fp},
            lsq,
            hardet,
        ],
        "tiers": {"mini": tier},
    }
    return suite | changes


@cache
def published_text() -> str:
    """HQOD's Table III alone, which reads faster than the four."""
    tables = load_mapping(PUBLISHED / "hqod.yaml").data["tables"]
    return json.dumps({"tables": [table for table in tables if table["id"] == "T-HQOD-3"]})


def located(root: Path, data: dict[str, Any] | None = None, name: str = NAME) -> Located:
    """Write a suite below `root`, with the published numbers beside it, and read it."""
    # JSON is YAML.
    write_text(root / "suites" / f"{name}.yaml", json.dumps(suite_data() if data is None else data))
    write_text(root / "baselines" / "published" / "hqod.yaml", published_text())
    return load_suite(name, root)


def record_data(job: Job, ap: float = 0.5, **changes: Any) -> dict[str, Any]:
    """A sound record of a job, as JSON; `changes` replace whole fields."""
    record = {
        "identity": job.identity,
        "protocol": job.raw,
        "metrics": {"AP": ap, "AP50": ap + 0.2, "AP75": ap + 0.05, "AP_S": -1.0},
        "per_category": {"circle": {"AP": ap}},
        "scorer": "pycocotools 2.0.10",
        "predictions": {"digest": f"{int(ap * 1e6):064x}", "count": 12},
        "placement": None if job.row.bits.is_fp else PINS,
        "data": {
            "pin": job.raw["data"]["pin"],
            "splits": {"test": {"images": 4, "boxes": 9}},
            "problems": [],
        },
        "training": {"steps": 4, "first_loss": 2.0, "last_loss": 1.0},
        "checkpoint_sha256": "c" * 64,
        "environment": ENVIRONMENT,
        "environment_key": "e" * 16,
        "provenance": {
            "commit": "a" * 40,
            "dirty": False,
            "source": "b" * 64,
            "arguments": ["run", job.suite],
            "asked_by": job.name,
        },
        "cost": {
            "started": "2026-01-01T00:00:00+00:00",
            "finished": "2026-01-01T00:00:09+00:00",
            "host": "example",
            "phases": {
                "train": {"wall_s": 8.0, "peak_mib": 100.0},
                "score": {"wall_s": 1.0, "peak_mib": 100.0},
            },
        },
    }
    return record | changes


def record(job: Job, ap: float = 0.5, **changes: Any) -> Record:
    """A sound record of a job."""
    return Record.model_validate_json(json.dumps(record_data(job, ap, **changes)))


def store_record(suite: Located, job: Job, ap: float = 0.5, **changes: Any) -> None:
    """Leave a record of the job in the local store."""
    write_json(Store(suite.root).folder(job.identity).record_file, record_data(job, ap, **changes))


def job_of(suite: Located, row: str, repetition: int = 0, tier: Tier = "mini") -> Job:
    """One planned job."""
    return next(j for j in plan(suite, tier) if (j.row.id, j.repetition) == (row, repetition))


def measure_all(suite: Located, tier: Tier = "mini", **ap: float) -> None:
    """Leave a record of every job; `ap` by row id, `_` for `-`."""
    for job in plan(suite, tier):
        store_record(suite, job, ap.get(job.row.id.replace("-", "_"), 0.5) + job.repetition / 100)


def call(suite: Located, command: str, *options: str) -> int:
    """Run `qdet-bench COMMAND SUITE OPTIONS` here; its exit code. Errors are raised, not printed."""
    args = _parser().parse_args(["--root", str(suite.root), command, suite.name, *options])
    code: int = args.run(args)
    return code
