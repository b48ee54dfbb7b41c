"""A suite's claims against its records: the plan of the evidence, the regime, then the rules of the statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, NamedTuple

from bench.schema.check_evidence import differing
from bench.schema.claim import Claim
from bench.schema.evidence import Family
from bench.schema.metric_names import parts
from bench.statistics import claims as rules
from bench.statistics.claims import Answer, Question, common_level, judge_claim, judge_images
from bench.statistics.environments import p_of_no_difference
from bench.statistics.paired import interaction
from bench.statistics.regime import Regime
from bench.statistics.signs import collapsed
from bench.verdict.gather import Results
from bench.verdict.groups import Resolved, known, lacking, resolve
from bench.verdict.over_images import Bootstrap, pairs_over_images, range_beside
from bench.verdict.pairs import Pairs, pair_up, planned_number
from bench.verdict.regime import judge_regime, too_low

Status = Literal["no result", "survey", "interim", "out of regime"] | rules.Status


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
    over: Literal["repetitions", "images"]
    """What its bounds are over."""
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
    collapsed: int | None
    """Runs of its rows that lie far below the others of the row; None over images."""
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
            case "no result" | "out of regime":
                return self.status
            case _:
                return self.answer.words + (", regime borderline" if self.regime == "borderline" else "")

    @property
    def has_condition(self) -> bool:
        """Whether something is added to the verdict, such as `depends on near-symmetry`."""
        return self.status in ("holds", "equivalent", "fails", "inconclusive") and self.words != self.status

    def as_json(self) -> dict[str, Any]:
        """For `--json`; points of the metric."""
        return {
            **self.claim.model_dump(mode="json"),
            "status": self.status,
            "verdict": self.words,
            **{key: value for key, value in self.answer._asdict().items() if key != "status"},
            "so_far": self.answer.words,
            "family": self.family,
            "over": self.over,
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
    """All claims of the suite in order. Only claims over images may be about predictions from elsewhere."""
    groups = resolve(results) if results.located.suite.groups_at(results.tier) else {}
    bootstrap = Bootstrap(results)
    return [_judge(results, claim, groups, bootstrap) for claim in results.located.suite.claims]


def keep_differences(results: Results) -> list[Path]:
    """Copy what claims over images rest on to where it is committed, so that a clone makes the same table."""
    groups = known(resolve(results)) if results.located.suite.groups_at(results.tier) else {}
    bootstrap, kept = Bootstrap(results), []
    for claim in results.located.suite.claims:
        family = results.located.suite.family(claim.id)
        if family is None or family[1].over != "images" or parts(claim.metric).group not in {None, *groups}:
            continue
        if pairs := pairs_over_images(results, claim, groups).pairs:
            asked = (claim, family[1], _level(family[1]), pairs[0], groups)
            bootstrap.measure(*asked)
            path = bootstrap.commit(*asked)
            kept += [path] if path.is_file() else []
    return kept


def _judge(results: Results, claim: Claim, groups: Mapping[str, Resolved], bootstrap: Bootstrap) -> ClaimVerdict:
    suite, tested = results.located.suite, results.located.suite.family(claim.id)
    family = None if tested is None else tested[1]
    images = family is not None and family.over == "images"
    if why := lacking(groups).get(parts(claim.metric).group or ""):
        found = Pairs((), f"group {parts(claim.metric).group}: {why}")
    elif images:
        found = pairs_over_images(results, claim, known(groups))
    else:
        found = pair_up(results, claim.rows, claim.metric, known(groups))
    differences = _differences(claim, found)
    # Over images the first repetition decides.
    deciding = found._replace(pairs=found.pairs[:1]) if images else found
    planned = 1 if images else planned_number(suite, results.tier)
    question, said = _question(claim, differences, family), []
    if family is not None and images and found.pairs:
        measured = bootstrap.measure(claim, family, question.level, found.pairs[0], known(groups))
        answer = judge_images(measured.found, question)
        said = [measured.lacking, range_beside(differences), *_said(results, claim, found)]
    else:
        answer = judge_claim(question)
        said = ["one pair has no interval" if answer.n == 1 else "", *_said(results, claim, found)]
    if results.tier != "paper":
        # On other data a gain has another size.
        answer = answer._replace(size=None)
    regime = judge_regime(results, claim, known(groups), one=images)
    regime = too_low(deciding, claim, None if family is None else family.least) or regime
    status: Status = answer.status
    if not found.pairs:
        # Its rows may have runs, none of which counts, or the metric may be absent: the message says so.
        status = "no result"
    elif family is None:
        status = "survey"
    elif planned is not None and len(found.pairs) < planned:
        status = "interim"
    elif regime.regime == "out":
        status = "out of regime"
    by_key: dict[str, list[float]] = {}
    for pair, difference in zip(deciding.pairs, differences, strict=False):
        by_key.setdefault(pair.key, []).append(difference)
    taints = [run.taint for pair in deciding.pairs for run in pair.runs if run.taint]
    return ClaimVerdict(
        claim,
        status,
        answer,
        tested[0] if tested else None,
        "images" if images else "repetitions",
        planned,
        suite.tiers[results.tier].checkpoints,
        regime.regime,
        regime.why,
        tuple(Environment(key, len(values), fmean(values)) for key, values in by_key.items()),
        p_of_no_difference(list(by_key.values())),
        tuple(pair.repetition for pair in found.pairs),
        tuple(differences),
        None if images else _collapsed(claim, found),
        "; ".join(filter(None, said)),
        taints[0] if taints else None,
    )


def _question(claim: Claim, differences: list[float], family: Family | None) -> Question:
    if family is None:
        return Question(differences, claim.published)
    return Question(differences, claim.published, _level(family), family.margin)


def _level(family: Family) -> float:
    return common_level(len(family.claims), family.level)


def _differences(claim: Claim, found: Pairs) -> list[float]:
    """By repetition, from the points of the claim's two rows or four."""
    gains = [pair.points[0] - pair.points[1] for pair in found.pairs]
    if claim.kind == "difference":
        return gains
    return interaction(gains, [pair.points[2] - pair.points[3] for pair in found.pairs])


def _collapsed(claim: Claim, found: Pairs) -> int:
    rows = {row: [pair.points[i] for pair in found.pairs] for i, row in enumerate(claim.rows)}
    return sum(collapsed(runs) for runs in rows.values())


def _said(results: Results, claim: Claim, found: Pairs) -> list[str]:
    """What lacks, and what the rows differ in beside what is claimed."""
    if not found.pairs:
        return [found.lacking]
    return [found.lacking, differing(results.located.suite, claim) or ""]
