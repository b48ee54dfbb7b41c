"""A suite's claims against its records: differences over seeds, paired within one environment key."""

from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, NamedTuple

from bench.evaluation.metric import metric_of
from bench.schema.claim import Claim, Limit
from bench.statistics.paired import interaction
from bench.statistics.rules import Answer, Question, judge_claims
from bench.verdict.faults import fault, taint
from bench.verdict.gather import Results

Status = Literal["holds", "fails", "inconclusive", "out of regime", "not run"]


@dataclass(frozen=True)
class ClaimVerdict:
    """What is said of one claim at one tier; it never makes a command fail."""

    claim: Claim
    status: Status
    answer: Answer
    environment_keys: tuple[str, ...]
    """Of its pairs: both sides of a pair share one."""
    repetitions: tuple[int, ...]
    message: str = ""
    """Why the status is no plain reading of the bounds."""
    taint: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For `--json`; points of the metric."""
        return {
            **self.claim.model_dump(mode="json"),
            "status": self.status,
            **{key: value for key, value in self.answer._asdict().items() if key != "status"},
            "environment_keys": list(self.environment_keys),
            "repetitions": list(self.repetitions),
            "message": self.message,
            "tainted": self.taint,
        }


class _Pairs(NamedTuple):
    lacking: str
    """Why there are none, or fewer than runs; empty where nothing is lacking."""
    differences: tuple[float, ...] = ()
    keys: tuple[str, ...] = ()
    repetitions: tuple[int, ...] = ()
    taint: str | None = None


def judge(results: Results) -> list[ClaimVerdict]:
    """All claims of the suite in order, with Holm's correction over those that can be tested and are in the regime.

    External records have no seed of ours and are never paired.
    """
    claims = results.located.suite.claims
    pairs = [_pairs(results, claim) for claim in claims]
    outside = [_outside(results, claim) for claim in claims]
    tested = [i for i in range(len(claims)) if outside[i] is None and pairs[i].differences]
    questions = [Question(pairs[i].differences, claims[i].published) for i in tested]
    answers = dict(zip(tested, judge_claims(questions), strict=True))
    if results.tier != "paper":
        # On other data a gain has another size.
        answers = {i: answer._replace(size=None) for i, answer in answers.items()}
    return [_verdict(claim, pairs[i], outside[i], answers.get(i)) for i, claim in enumerate(claims)]


def _verdict(claim: Claim, pairs: _Pairs, outside: "_Outside | None", answer: Answer | None) -> ClaimVerdict:
    if answer is None:
        (answer,) = judge_claims([Question(pairs.differences, None)])
    facts = (answer, pairs.keys, pairs.repetitions)
    if not pairs.differences:
        return ClaimVerdict(claim, "not run", *facts, pairs.lacking)
    if outside is not None:
        return ClaimVerdict(claim, outside.status, *facts, outside.why, pairs.taint)
    message = pairs.lacking
    if answer.n < 2:
        message = "; ".join(filter(None, ["one pair has no interval over seeds", pairs.lacking]))
    return ClaimVerdict(claim, answer.status, *facts, message, pairs.taint)


def _pairs(results: Results, claim: Claim) -> _Pairs:
    """The seeds at which all rows of the claim have a sound run in one environment, which may be another at each."""
    runs = {row: _runs(results, row, claim.metric) for row in dict.fromkeys(claim.rows)}
    seeded = sorted({n for row, found in runs.items() if not _is_start(results, row) for n in found})
    for row, found in runs.items():
        if _is_start(results, row) and 0 in found:
            # Every seed starts from this one checkpoint, so it is compared with each.
            runs[row] = dict.fromkeys(seeded or found, found[0])
    if empty := [row for row, found in runs.items() if not found]:
        return _Pairs(f"no result of {', '.join(empty)}")
    pairs: dict[int, str] = {}
    every = sorted(set[int]().union(*runs.values()))
    for repetition in every:
        sides = [found[repetition] for found in runs.values() if repetition in found]
        # A pair across environments is none: they differ by more than the method.
        if len(sides) == len(runs) and (key := _shared(sides)) is not None:
            pairs[repetition] = key
    if not pairs:
        return _Pairs("no seed has a result of every row in one environment")
    others = len(every) - len(pairs)
    seeds = "1 seed" if others == 1 else f"{others} seeds"
    lacking = f"{seeds} skipped: some row has no result in the same environment" if others else ""
    points = [[runs[row][repetition].points for row in claim.rows] for repetition in pairs]
    taints = [run.taint for found in runs.values() for n, run in found.items() if n in pairs and run.taint]
    keys = tuple(dict.fromkeys(pairs.values()))
    return _Pairs(lacking, _differences(claim, points), keys, tuple(pairs), taints[0] if taints else None)


def _differences(claim: Claim, points: list[list[float]]) -> tuple[float, ...]:
    """By seed, from the points of the claim's two rows or four."""
    gains = [row[0] - row[1] for row in points]
    if claim.kind == "difference":
        return tuple(gains)
    others = [row[2] - row[3] for row in points]
    if claim.kind == "interaction":
        return tuple(interaction(gains, others))
    return tuple((one + other) / 2 for one, other in zip(gains, others, strict=True))


def _is_start(results: Results, row: str) -> bool:
    return results.located.suite.row(row).start is None


class _Run(NamedTuple):
    points: float
    key: str
    environment: dict[str, Any]
    quantized: bool
    taint: str | None

    @property
    def kernels(self) -> Any:
        return self.environment.get("kernels")

    @property
    def elsewhere(self) -> dict[str, Any]:
        """The environment without its kernels."""
        return {name: value for name, value in self.environment.items() if name != "kernels"}


def _shared(sides: list[_Run]) -> str | None:
    """The key of the environment that all sides share, None where they do not.

    A row without quantizers runs none of their kernels, so its environment may differ from the others' in these alone.
    """
    keys = {run.key for run in sides if run.quantized} or {run.key for run in sides}
    if len(keys) > 1:
        return None
    (key,) = keys
    model = next(run for run in sides if run.key == key)
    others = [run for run in sides if run.key != key]
    same = all(run.elsewhere == model.elsewhere and run.kernels != model.kernels for run in others)
    return key if same else None


def _runs(results: Results, row: str, metric: str) -> dict[int, _Run]:
    """The sound runs of a row that have the metric, by repetition."""
    found = {}
    for result in (result for r in results.rows if r.row.id == row for result in r.jobs):
        record = result.record
        if record is None or fault(result) is not None:
            continue
        value = (record.metrics | record.harmony).get(metric, -1.0)
        if value >= 0:
            found[result.job.repetition] = _Run(
                100 * value, record.environment_key, record.environment, record.placement is not None, taint(record)
            )
    return found


class _Outside(NamedTuple):
    status: Status
    why: str


def _outside(results: Results, claim: Claim) -> _Outside | None:
    """Whether a limit of the claim's regime is passed, or cannot be checked."""
    limits = {limit.row: limit for limit in results.located.suite.regime}
    unknown = None
    for limit in (limits[row] for row in claim.within):
        loss = _loss(results, limit)
        if loss is None:
            unknown = _Outside("inconclusive", f"no result of {limit.row} or {limit.reference} to tell the regime by")
        elif loss > limit.loses_at_most:
            why = f"{limit.row} loses {loss:.2f} against {limit.reference}, the limit is {limit.loses_at_most:g}"
            return _Outside("out of regime", why)
    return unknown


def _loss(results: Results, limit: Limit) -> float | None:
    """Difference of the means over all sound runs, in points of the headline metric."""
    metric = metric_of(results.located.suite.tiers[results.tier].metric).headline
    means = []
    for row in (limit.reference, limit.row):
        values = [run.points for run in _runs(results, row, metric).values()]
        if not values:
            return None
        means.append(fmean(values))
    return means[0] - means[1]
