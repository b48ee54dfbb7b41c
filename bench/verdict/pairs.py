"""Runs of several rows, paired by repetition within one environment; which runs count for a claim, and why not."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from bench.records.record import Record
from bench.schema.group import NO_GROUPS, Groups
from bench.schema.metric_names import parts
from bench.schema.suite import Suite, Tier
from bench.verdict.faults import fault, taint
from bench.verdict.gather import JobResult, Results
from bench.verdict.numbers import numbers


class Run(NamedTuple):
    """A sound run of a row that counts."""

    points: float
    key: str
    """Of its environment."""
    environment: dict[str, Any]
    quantized: bool
    start: str | None
    """Identity of the job whose model it started from."""
    source: str
    """sha256 of the sources that ran."""
    taint: str | None
    record: Record

    @property
    def kernels(self) -> Any:
        """The quantization kernels of its environment."""
        return self.environment.get("kernels")

    @property
    def elsewhere(self) -> dict[str, Any]:
        """The environment without its kernels."""
        return {name: value for name, value in self.environment.items() if name != "kernels"}


class Pair(NamedTuple):
    """Runs of one repetition, one a row in the order asked for."""

    repetition: int
    key: str
    runs: tuple[Run, ...]

    @property
    def points(self) -> list[float]:
        """Of the runs, in their order."""
        return [run.points for run in self.runs]


class Pairs(NamedTuple):
    """All pairs of some rows."""

    pairs: tuple[Pair, ...]
    lacking: str
    """Why there are none, or fewer than runs; empty where nothing is lacking."""


def planned_number(suite: Suite, tier: Tier) -> int | None:
    """The repetitions that the plan of the evidence asks for; None where no plan is declared, so all count."""
    return suite.tiers[tier].seeds if suite.evidence is not None else None


def runs_of(results: Results, row: str, metric: str, groups: Groups = NO_GROUPS) -> dict[int, Run]:
    """The runs of a row that count and have the metric, by repetition; none beyond the plan of the evidence."""
    found = {}
    for result in _jobs(results, row):
        record = result.record
        if record is None or uncounted(results, result) is not None:
            continue
        value = (numbers(record, groups) | record.harmony).get(metric, -1.0)
        if value >= 0:
            found[result.job.repetition] = run_of(record, value)
    return found


def pair_up(results: Results, rows: Sequence[str], metric: str, groups: Groups = NO_GROUPS) -> Pairs:
    """The repetitions at which all rows have a run in one environment, which may be another at each.

    `groups` are those that the metric may be of.
    """
    runs = {row: runs_of(results, row, metric, groups) for row in dict.fromkeys(rows)}
    spec = results.located.suite.tiers[results.tier]
    once = {row for row in runs if not spec.is_repeated(results.located.suite.row(row))}
    repeated = sorted({n for row, found in runs.items() if row not in once for n in found})
    for row in once:
        if 0 in runs[row]:
            # Every repetition starts from this one model, so it is compared with each.
            runs[row] = dict.fromkeys(repeated or runs[row], runs[row][0])
    aside = _aside(results, [*runs])
    if empty := [row for row, found in runs.items() if not found]:
        what = "result" if parts(metric).group is None else metric
        return Pairs((), "; ".join([f"no {what} of {', '.join(empty)}", *aside]))
    pairs, skipped = [], Counter[str]()
    for n in sorted(set[int]().union(*runs.values())):
        sides = [found[n] for found in runs.values() if n in found]
        key, why = _shared(sides) if len(sides) == len(runs) else (None, "some row has no result in it")
        if key is None:
            skipped[why] += 1
        else:
            pairs.append(Pair(n, key, tuple(runs[row][n] for row in rows)))
    lacking = [f"{_repetitions(number)} skipped: {why}" for why, number in skipped.items()] + aside
    return Pairs(*_chosen(results, pairs, lacking))


def uncounted(results: Results, result: JobResult) -> str | None:
    """Why a run counts for no claim, though it may be a sound result; None where it counts."""
    record, job = result.record, result.job
    if record is None or fault(result) is not None:
        return "no sound result"
    most = planned_number(results.located.suite, results.tier)
    if most is not None and job.repetition >= most:
        return "beyond the plan of the evidence"
    if record.provenance.dirty:
        return "of a tree with changes that were not committed"
    if job.blocked is None and record.identity != job.identity:
        return "of an earlier protocol"
    models = list(_models(results, result))
    if models and models[0].identity != record.part("start"):
        return "from another start than the plan's"
    if any(model.provenance.dirty for model in models):
        return "from a model of a tree with changes that were not committed"
    return None


def _models(results: Results, result: JobResult) -> Iterator[Record]:
    """The runs whose checkpoint a run began with, that one's own start, and so on."""
    origin = result.job.start
    while origin is not None and result.record is not None and result.record.part("start") is not None:
        found = next((r for r in results.jobs if _same(r, origin.row.id, origin.repetition)), None)
        if found is None or found.record is None:
            return
        yield found.record
        result, origin = found, found.job.start


def _same(result: JobResult, row: str, repetition: int) -> bool:
    return (result.job.row.id, result.job.repetition) == (row, repetition)


def _jobs(results: Results, row: str) -> Iterator[JobResult]:
    return (result for r in results.rows if r.row.id == row for result in r.jobs)


def run_of(record: Record, value: float) -> Run:
    """A record with its value of the metric, a fraction."""
    return Run(
        100 * value,
        record.environment_key,
        record.environment,
        record.placement is not None,
        record.part("start"),
        record.provenance.source,
        taint(record),
        record,
    )


def _aside(results: Results, rows: Sequence[str]) -> list[str]:
    """How many records of the rows are set aside, by reason."""
    jobs = [result for row in rows for result in _jobs(results, row) if result.record is not None]
    found = Counter(why for result in jobs if (why := uncounted(results, result)) is not None)
    return [f"{number} {'run' if number == 1 else 'runs'} set aside: {why}" for why, number in found.items()]


def _shared(sides: Sequence[Run]) -> tuple[str | None, str]:
    """The key of the environment that all sides share; None and the reason where they are no pair.

    A row without quantizers runs none of their kernels, so its environment may differ from the others' in these alone.
    A row that another one starts from may have been run by other sources: its checkpoint is what they share.
    """
    elsewhere = "some row has no result in the same environment"
    keys = {run.key for run in sides if run.quantized} or {run.key for run in sides}
    if len(keys) > 1:
        return None, elsewhere
    (key,) = keys
    model = next(run for run in sides if run.key == key)
    others = [run for run in sides if run.key != key]
    if not all(run.elsewhere == model.elsewhere and run.kernels != model.kernels for run in others):
        return None, elsewhere
    started = {run.record.start_sha256 for run in sides} - {None}
    if len({run.source for run in sides if run.record.checkpoint_sha256 not in started}) > 1:
        return None, "its rows were run by different sources"
    return key, ""


def _chosen(results: Results, pairs: list[Pair], lacking: list[str]) -> tuple[tuple[Pair, ...], str]:
    evidence = results.located.suite.evidence
    if evidence is not None and evidence.environments == "one" and len({pair.key for pair in pairs}) > 1:
        (key, number), *_ = Counter(pair.key for pair in pairs).most_common()
        lacking = [*lacking, f"{_repetitions(len(pairs) - number)} skipped: of another environment than most"]
        pairs = [pair for pair in pairs if pair.key == key]
    if not pairs:
        return (), "; ".join(["no repetition has a result of every row in one environment", *lacking])
    return tuple(pairs), "; ".join(lacking)


def _repetitions(number: int) -> str:
    return "1 repetition" if number == 1 else f"{number} repetitions"
