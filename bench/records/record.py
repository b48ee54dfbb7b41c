"""What one job measured, with its provenance."""

import re
from typing import Any, Literal, NamedTuple

from pydantic import Field

from bench.schema.base import Spec
from bench.schema.data import Split
from bench.schema.placement import Pins


class SavedPredictions(Spec):
    """The detections that the scores were computed from."""

    digest: str
    """sha256 of their canonical content; the file may be packed otherwise by another library version."""
    count: int


class Phase(Spec):
    """Time and memory of one phase of a job."""

    wall_s: float
    cpu_s: float | None = None
    """Processor seconds of the process, which other work on the machine hardly changes; None in old records."""
    peak_mib: float
    """Largest resident memory of the process up to the end of the phase."""


class Asked(NamedTuple):
    """The job that a record was first made for; others may share it."""

    suite: str
    row: str
    tier: str
    seed: int

    @property
    def name(self) -> str:
        """As messages call it: `hqod/table1 lsq-4 mini seed 0`."""
        return f"{self.suite} {self.row} {self.tier} seed {self.seed}"

    @classmethod
    def parse(cls, name: str) -> "Asked | None":
        """From a name; None where it is none."""
        found = _NAME.fullmatch(name)
        return None if found is None else cls(found["suite"], found["row"], found["tier"], int(found["seed"]))


_NAME = re.compile(r"(?P<suite>.+) (?P<row>\S+) (?P<tier>\S+) seed (?P<seed>\d+)")


def _absent(value: object) -> bool:
    return value is None


class Provenance(Spec):
    """Where a record comes from. No part of the identity, and of no comparison."""

    commit: str | None
    """Of the checkout that ran; None outside a checkout."""
    dirty: bool | None
    """Whether `bench/` or `suites/` had changes that were not committed."""
    source: str
    """sha256 of the sources of `bench`."""
    arguments: tuple[str, ...]
    """The command line as given."""
    asked_by: str
    """`Asked.name` of the job that it was first made for."""
    # Left out where they are unknown, so that an old record that is read and written stays the same.
    suite: str | None = Field(default=None, exclude_if=_absent)
    """Of the same job; None in old records, as row, tier and seed. Ask `asked`, which knows them for both."""
    row: str | None = Field(default=None, exclude_if=_absent)
    tier: str | None = Field(default=None, exclude_if=_absent)
    seed: int | None = Field(default=None, exclude_if=_absent)

    own: dict[str, str] | None = Field(default=None, exclude_if=_absent)
    """By name of a user's own method or detector: sha256 of its file. None where there is none, and in old records."""

    @property
    def asked(self) -> Asked | None:
        """The job that it was first made for; of an old record by its name, None where that says no job."""
        if self.suite is None or self.row is None or self.tier is None or self.seed is None:
            return Asked.parse(self.asked_by)
        return Asked(self.suite, self.row, self.tier, self.seed)


class Cost(Spec):
    """Times, memory and host: outside any comparison."""

    started: str
    finished: str
    host: str
    phases: dict[str, Phase]


class Training(Spec):
    """What training left behind."""

    steps: int
    first_loss: float
    last_loss: float
    """Mean over the last 50 steps."""
    curve: tuple[float, ...] = Field(default=(), exclude_if=lambda curve: not curve)
    """Mean loss of each of so many equal parts of the training; empty in old records."""


class Evaluated(Spec):
    """The scores of a model during its training."""

    step: int
    """Optimizer steps that it had done."""
    metrics: dict[str, float]


class DataFacts(Spec):
    """Counts of what the readers found, and problems they handled."""

    pin: str
    splits: dict[str, dict[str, int]]
    problems: tuple[str, ...]
    """The first 100, as `split: kind where: detail`."""


class Record(Spec):
    """One finished job: a result, never a failure."""

    schema_version: Literal[1] = 1
    kind: Literal["measured", "external"] = "measured"
    identity: str
    protocol: dict[str, Any]
    """Everything that affects the numbers, resolved; the identity is its hash."""
    metrics: dict[str, float]
    """0 to 1; -1 where undefined."""
    per_category: dict[str, dict[str, float]]
    """The same of each category; recalls are not in old records."""
    category_images: dict[str, int] | None = Field(default=None, exclude_if=_absent)
    """By category: images with an object that counts; None in old records."""
    harmony: dict[str, float] = Field(default_factory=dict)
    """Of `bench.evaluation.harmony`, where it was computed."""
    scorer: str
    predictions: SavedPredictions
    placement: Pins | None
    placement_sites: tuple[str, ...] = ()
    """Every quantizer: name, bits, sign."""
    calibration_images: tuple[int | str, ...] = ()
    dead_sites: tuple[str, ...] = ()
    """A warning: quantizers whose tensor was zero throughout calibration."""
    facts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By method what it chose: bits, exponents, losses (its hook `facts`)."""
    data: DataFacts
    training: Training | None
    evaluations: tuple[Evaluated, ...] = ()
    """During training, where the recipe asks for them; `metrics` are those of the last step."""
    checkpoint_sha256: str | None
    start_sha256: str | None = None
    """Of the checkpoint that it started from; None where there was none, and in old records."""
    environment: dict[str, Any]
    environment_key: str
    provenance: Provenance
    cost: Cost = Field(repr=False)

    @property
    def pin(self) -> str:
        """The data pin of its protocol; `data.pin` is that of the data that were read."""
        pin: str = self.protocol["data"]["pin"]
        return pin

    @property
    def variant(self) -> str | None:
        """Variant of the metric that it was scored by; None where its protocol names none."""
        metric = self.protocol.get("metric")
        return str(metric.get("variant")) if isinstance(metric, dict) else None

    @property
    def split(self) -> Split:
        """The split that it is scored on."""
        split: Split = self.protocol.get("scored", "test")
        return split

    @property
    def is_evaluation(self) -> bool:
        """Whether a published checkpoint was scored as it is: nothing in it varies from seed to seed."""
        return not any(self.protocol.get(part) for part in ("recipe", "start", "methods"))

    def part(self, name: str) -> Any:
        """A part of its protocol as it was recorded; None where it has none."""
        return self.protocol.get(name)

    def best(self, metric: str) -> Evaluated | None:
        """The evaluation with the largest value of a metric, the last step's included; None where there are no others.

        It is chosen on the images that score it, as papers do that report their best epoch.
        """
        if not self.evaluations or self.training is None:
            return None
        last = Evaluated(step=self.training.steps, metrics=self.metrics)
        return max((*self.evaluations, last), key=lambda one: one.metrics.get(metric, -1.0))
