"""A suite's claims against its records: the plan of the evidence, the regime, then the rules of the statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, NamedTuple

from bench.schema.check_evidence import differing
from bench.schema.claim import Claim
from bench.schema.metric_names import parts
from bench.statistics import claims as rules
from bench.statistics.claims import Answer, Question, common_level, judge_claim
from bench.statistics.environments import p_of_no_difference
from bench.statistics.paired import interaction
from bench.statistics.regime import Regime
from bench.statistics.signs import collapsed
from bench.verdict.gather import Results
from bench.verdict.groups import Resolved, known, lacking, resolve
from bench.verdict.pairs import Pairs, pair_up, planned_number
from bench.verdict.regime import judge_regime

Status = Literal["not run", "survey", "interim", "out of regime"] | rules.Status


class Environment(NamedTuple):
    """What one environment says of a claim."""

    key: str
    pairs: int
    mean: float


@dataclass(frozen=True)
class ClaimVerdict:
    """What is said of one claim at one tier; it never makes a command fail."""

    claim: Claim
    status: Status
    answer: Answer
    family: str | None
    """The family that it is tested in; None in a survey."""
    planned: int | None
    """Repetitions that the plan asks for; None without a plan."""
    checkpoints: str
    regime: Regime
    regime_why: str
    environments: tuple[Environment, ...]
    environments_p: float | None
    """Of no difference between environments; None where that cannot be told."""
    repetitions: tuple[int, ...]
    differences: tuple[float, ...]
    """One a repetition, points; positive in the direction that the paper claims."""
    collapsed: int
    """Runs of its rows that lie far below the others of the row."""
    message: str = ""
    """What a reader of the verdict must know beside it."""
    taint: str | None = None

    @property
    def words(self) -> str:
        """The verdict as it is printed."""
        match self.status:
            case "interim":
                return f"interim ({self.answer.n} of {self.planned})"
            case "survey":
                return "not tested (a survey)"
            case "not run" | "out of regime":
                return self.status
            case _:
                return self.answer.words + (", regime borderline" if self.regime == "borderline" else "")

    def as_json(self) -> dict[str, Any]:
        """For `--json`; points of the metric."""
        return {
            **self.claim.model_dump(mode="json"),
            "status": self.status,
            "verdict": self.words,
            **{key: value for key, value in self.answer._asdict().items() if key != "status"},
            "so_far": self.answer.words,
            "family": self.family,
            "planned": self.planned,
            "checkpoints": self.checkpoints,
            "regime": self.regime,
            "regime_why": self.regime_why,
            "environments": [environment._asdict() for environment in self.environments],
            "environments_p": self.environments_p,
            "repetitions": list(self.repetitions),
            "differences": list(self.differences),
            "collapsed": self.collapsed,
            "message": self.message,
            "tainted": self.taint,
        }


def judge(results: Results) -> list[ClaimVerdict]:
    """All claims of the suite in order. External records have no repetition of ours and are never paired."""
    groups = resolve(results) if results.located.suite.groups_at(results.tier) else {}
    return [_judge(results, claim, groups) for claim in results.located.suite.claims]


def _judge(results: Results, claim: Claim, groups: Mapping[str, Resolved]) -> ClaimVerdict:
    suite, found = results.located.suite, pair_up(results, claim.rows, claim.metric, known(groups))
    if why := lacking(groups).get(parts(claim.metric).group or ""):
        found = Pairs((), f"group {parts(claim.metric).group}: {why}")
    family = suite.family(claim.id)
    planned = planned_number(suite, results.tier)
    differences = _differences(claim, found)
    answer = judge_claim(_question(claim, differences, family))
    if results.tier != "paper":
        # On other data a gain has another size.
        answer = answer._replace(size=None)
    regime = judge_regime(results, claim, known(groups))
    status: Status = answer.status
    if not found.pairs:
        status = "not run"
    elif family is None:
        status = "survey"
    elif planned is not None and len(found.pairs) < planned:
        status = "interim"
    elif regime.regime == "out":
        status = "out of regime"
    by_key: dict[str, list[float]] = {}
    for pair, difference in zip(found.pairs, differences, strict=True):
        by_key.setdefault(pair.key, []).append(difference)
    taints = [run.taint for pair in found.pairs for run in pair.runs if run.taint]
    return ClaimVerdict(
        claim,
        status,
        answer,
        family[0] if family else None,
        planned,
        suite.tiers[results.tier].checkpoints,
        regime.regime,
        regime.why,
        tuple(Environment(key, len(values), fmean(values)) for key, values in by_key.items()),
        p_of_no_difference(list(by_key.values())),
        tuple(pair.repetition for pair in found.pairs),
        tuple(differences),
        _collapsed(claim, found),
        "; ".join(filter(None, _said(results, claim, answer, found))),
        taints[0] if taints else None,
    )


def _question(claim: Claim, differences: list[float], family: Any) -> Question:
    if family is None:
        return Question(differences, claim.published)
    plan = family[1]
    return Question(differences, claim.published, common_level(len(plan.claims), plan.level), plan.margin)


def _differences(claim: Claim, found: Pairs) -> list[float]:
    """By repetition, from the points of the claim's two rows or four."""
    gains = [pair.points[0] - pair.points[1] for pair in found.pairs]
    if claim.kind == "difference":
        return gains
    return interaction(gains, [pair.points[2] - pair.points[3] for pair in found.pairs])


def _collapsed(claim: Claim, found: Pairs) -> int:
    rows = {row: [pair.points[i] for pair in found.pairs] for i, row in enumerate(claim.rows)}
    return sum(collapsed(runs) for runs in rows.values())


def _said(results: Results, claim: Claim, answer: Answer, found: Pairs) -> list[str]:
    """What lacks, and what the rows differ in beside what is claimed."""
    if not found.pairs:
        return [found.lacking]
    one = "one pair has no interval" if answer.n == 1 else ""
    return [one, found.lacking, differing(results.located.suite, claim) or ""]
