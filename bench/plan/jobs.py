"""Suite x tier x seeds -> jobs: frozen, with everything resolved."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bench import versions
from bench.data.kind import Planned
from bench.data.load import absent_data, planned_data, remedy_of, unusable_data
from bench.data.weights import absent_checkpoint
from bench.errors import BenchError, UsageError
from bench.plan.identity import derive_seed, identity
from bench.schema.catalog import detector_facts
from bench.schema.group import with_categories
from bench.schema.load import Located
from bench.schema.methods import facts, options_model
from bench.schema.protocol import Protocol, Seeds, VersionedDetector, VersionedMethod, begins_fresh
from bench.schema.suite import MOST_SEEDS, MethodUse, Row, Tier, TierSpec


@dataclass(frozen=True)
class Job:
    """One row at one tier and repetition."""

    suite: str
    tier: Tier
    row: Row
    repetition: int
    protocol: Protocol
    """All that affects its numbers."""
    identity: str
    start: "Job | None"
    absent: tuple[str, ...]
    """Why the job cannot run: each file of its data and its published weights that is absent or unusable."""
    remedy: str | None
    """What brings the absent data, in words; None where it is not known."""
    cost_s: float | None

    @property
    def raw(self) -> dict[str, Any]:
        """The protocol as records keep it, which the identity is a hash of."""
        return self.protocol.raw

    @property
    def blocked(self) -> str | None:
        """Why the job cannot run, on one line; None where it can."""
        return "; ".join(self.absent) or None

    @property
    def name(self) -> str:
        """As messages call it: `hqod/table1 lsq-4 mini seed 0`."""
        return f"{self.suite} {self.row.id} {self.tier} seed {self.repetition}"

    @property
    def lineage(self) -> "tuple[Job, ...]":
        """The jobs whose models it inherits whole, one from the other, the first one first."""
        return () if self.start is None or self.row.start_part else (*self.start.lineage, self.start)


def plan(
    located: Located,
    tier: Tier,
    rows: tuple[str, ...] = (),
    seeds: int | None = None,
    further: Callable[[Job], bool] | None = None,
) -> list[Job]:
    """The jobs of a suite at a tier, each after the one it starts from.

    Whole repetitions come one after the other, so that work that is cut short leaves complete ones. `rows` restricts to
    these ids (and what they start from); `seeds` replaces the tier's number of repetitions; `further` says of each one
    beyond these whether it is wanted too, up to the first that is not.
    Raises UsageError for a tier or row that the suite does not have.
    """
    suite = located.suite
    if tier not in suite.tiers:
        raise UsageError(f"{located.name} has no tier {tier!r}; it has {', '.join(suite.tiers)}")
    runnable = [row for row in suite.rows if row.reported_only is None]
    for row_id in rows:
        if row_id not in {row.id for row in runnable}:
            raise UsageError(f"{located.name} runs no row {row_id!r}; it runs {', '.join(r.id for r in runnable)}")
    spec = suite.tiers[tier]
    builder = _Builder(located, tier, spec)
    for row in runnable:
        if not rows or row.id in rows:
            repeated = spec.is_repeated(row)
            number = seeds if seeds and repeated else spec.repetitions(row)
            for repetition in range(number):
                builder.job(row, repetition)
            if further is not None and repeated:
                builder.further(row, number, further)
    return sorted(builder.jobs.values(), key=lambda job: job.repetition)


class _Builder:
    def __init__(self, located: Located, tier: Tier, spec: TierSpec) -> None:
        self.located, self.tier, self.spec = located, tier, spec
        self.groups = located.suite.groups_at(tier)
        self.jobs: dict[tuple[str, int], Job] = {}
        self.data = Planned("absent", "absent")
        self.absent: tuple[str, ...] = ()
        self.remedy: str | None = None
        try:
            self.absent = absent_data(spec.data, located.root)
            self.remedy = remedy_of(spec.data, located.root, self.absent)
            if not self.absent:
                self.data = planned_data(spec.data, located.root)
                reason = unusable_data(spec.data, located.root)
                self.absent = (reason,) if reason else ()
        except BenchError as error:
            self.absent = (str(error),)

    def job(self, row: Row, repetition: int) -> Job:
        key = (row.id, repetition)
        if key not in self.jobs:
            start = None if row.start is None else self._start(self.located.suite.row(row.start), repetition)
            protocol = self._protocol(row, repetition, start)
            recipe = self.spec.recipe(row)
            self.jobs[key] = Job(
                suite=self.located.name,
                tier=self.tier,
                row=row,
                repetition=repetition,
                protocol=protocol,
                identity=identity(protocol.raw),
                start=start,
                absent=(*self.absent, *self._absent_weights(row)),
                remedy=self.remedy,
                cost_s=recipe.cost_s if recipe else None,
            )
        return self.jobs[key]

    def further(self, row: Row, repetition: int, wanted: Callable[[Job], bool]) -> None:
        """The repetitions from this one on, as far as they are wanted."""
        while repetition < MOST_SEEDS:
            before = dict(self.jobs)
            if not wanted(self.job(row, repetition)):
                self.jobs = before
                return
            repetition += 1

    def _start(self, row: Row, repetition: int) -> Job:
        own = self.spec.checkpoints == "own" and self.spec.is_repeated(row)
        return self.job(row, repetition if own else 0)

    def _absent_weights(self, row: Row) -> tuple[str, ...]:
        scale = self.spec.scale(row)
        # A graph is read from its file also where another row's weights replace the file's.
        needed = row.start is None or scale.onnx is not None
        absent = absent_checkpoint(scale.init, self.located.root) if needed else None
        return (absent,) if absent else ()

    def _options(self, use: MethodUse) -> dict[str, Any]:
        """As declared; a built-in's group of categories is written out."""
        if options_model(use.name) is None:
            return use.options
        return with_categories(use.options, self.groups, self.spec.data)

    def _protocol(self, row: Row, repetition: int, start: Job | None) -> Protocol:
        suite, spec = self.located.suite, self.spec
        quantized, recipe = not row.bits.is_fp, spec.recipe(row)
        methods = tuple(
            VersionedMethod(name=use.name, version=facts(use.name).version, options=self._options(use))
            for use in spec.methods(row)
        )
        parts = [f"data:{spec.data.kind}", f"metric:{spec.metric.variant}", "prediction"]
        parts += [f"observer:{observer.kind}" for method in methods for observer in method.observers()]
        parts += ["training"] if recipe else []
        fresh = begins_fresh(spec.scale(row).init, start is not None, row.start_part)
        parts += ["continued set"] if recipe and not fresh and detector_facts(row.detector).family.predicts_set else []
        parts += ["placement", "calibration"] if quantized else []
        return Protocol(
            data=spec.data,
            pin=self.data.pin,
            metric=spec.metric,
            scored=row.scored,
            detector=VersionedDetector(
                name=row.detector, version=detector_facts(row.detector).version, scale=spec.scale(row)
            ),
            methods=methods,
            bits=row.bits,
            policy=suite.policies.get(row.policy or "") if quantized else None,
            calibration=spec.calibration_of(row) if quantized else None,
            recipe=recipe,
            start=start.identity if start else None,
            start_part=row.start_part,
            seeds=Seeds(
                repetition=repetition,
                data=derive_seed("data", self.data.order, repetition),
                init=derive_seed("init", row.detector, repetition),
            ),
            versions=versions.of_job(parts, quantized),
        )
