"""The numbers of a committed table once more, from the raw runs, by numpy and scipy alone.

It imports neither `bench.statistics` nor `bench.verdict` nor `bench.report`: the rules of docs/statistics.md, written a
second time. Of the suite it takes what is declared, and from the plan which identity each repetition would have.
"""

import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.stats import binomtest, f_oneway, nct, norm, t

from bench.plan.jobs import plan
from bench.schema.load import load_suite
from bench.schema.suite import Row, Suite, TierSpec

METRICS = {"coco": ("AP", "AP50", "AP75"), "voc07": ("mAP",), "voc12": ("mAP",)}
DAGGER = "†"
DIFFERENCES = Path(__file__).parents[1] / "baselines" / "differences"


class Committed(NamedTuple):
    """A suite and its raw runs."""

    suite: Suite
    tier: TierSpec
    runs: dict[tuple[str, int], dict[str, Any]]
    """Records by row and repetition."""
    counted: dict[tuple[str, int], dict[str, Any]]
    """Those that a claim may use, with those of predictions that were computed elsewhere."""
    submitted: dict[tuple[str, int], dict[str, Any]]
    """Records of such predictions alone."""


def committed(root: Path, name: str, tier: Any) -> Committed:
    """Read both."""
    located = load_suite(name, root)
    spec = located.suite.tiers[tier]
    entries = json.loads((root / "baselines" / f"{name}.{tier}.json").read_text(encoding="utf-8"))["entries"]
    rows = {row.id for row in located.suite.rows}
    kept: dict[tuple[str, int], dict[str, Any]] = {}
    for entry in entries:
        # Of several environments the first accepted record is shown.
        if entry["row"] in rows:
            kept.setdefault((entry["row"], entry["repetition"]), entry["record"])
    jobs = {(j.row.id, j.repetition): j for j in plan(located, tier, seeds=max(spec.seeds, *(n + 1 for _, n in kept)))}
    runs = {key: kept[key] for key in kept if key in jobs and _reached(key, kept, jobs, spec)}
    most = spec.seeds if located.suite.evidence is not None else 100
    counted = {}
    for key, record in runs.items():
        job = jobs[key]
        origin = None if job.start is None else runs.get((job.start.row.id, job.start.repetition))
        started = record["protocol"].get("start")
        same = job.blocked is not None or job.identity == record["identity"]
        right = origin is None or started is None or origin["identity"] == started
        if key[1] < most and same and right and not _dirty(key, runs, jobs):
            counted[key] = record
    elsewhere = root / "baselines" / f"{name}.{tier}.external.json"
    entries = json.loads(elsewhere.read_text(encoding="utf-8"))["entries"] if elsewhere.is_file() else []
    submitted = {(entry["row"], entry["repetition"]): entry["record"] for entry in entries}
    return Committed(located.suite, spec, runs, counted | submitted, submitted)


def _dirty(key: tuple[str, int], runs: Any, jobs: Any) -> bool:
    """Whether it, or a model that it goes back to, was run from a tree with changes."""
    if key not in runs:
        return False
    start = jobs[key].start if runs[key]["protocol"].get("start") is not None else None
    own = bool(runs[key]["provenance"]["dirty"])
    return own or (start is not None and _dirty((start.row.id, start.repetition), runs, jobs))


def _reached(key: tuple[str, int], kept: Any, jobs: Any, spec: TierSpec) -> bool:
    """Planned, or one of those that follow without a gap."""
    planned = spec.seeds if (key[0], 1) in jobs else 1
    return key[1] < planned or all((key[0], n) in kept for n in range(planned, key[1]))


def mean_cell(records: list[dict[str, Any]], metric: str) -> str:
    """Mean and half its 95 % interval."""
    values = np.array([100 * r["metrics"][metric] for r in records if r["metrics"].get(metric, -1) >= 0])
    if not len(values):
        return ""
    if len(values) == 1:
        evaluated = not any(records[0]["protocol"].get(part) for part in ("recipe", "start", "methods"))
        return f"{values[0]:.2f}" if evaluated else f"{values[0]:.2f} {DAGGER}"
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.2f} ± {half:.2f}"


def best_cell(records: list[dict[str, Any]], metric: str) -> str:
    """Mean of the best evaluations."""
    if not records or not all(r.get("evaluations") and r["training"] for r in records):
        return ""
    every = [[e["metrics"].get(metric, -1) for e in r["evaluations"]] + [r["metrics"][metric]] for r in records]
    return f"{100 * np.mean([max(values) for values in every]):.2f}"


def row_cells(found: Committed, row: Row) -> dict[str, str]:
    """By heading what stands in a measured row, or in one that another tool predicted."""
    every = found.runs | found.submitted
    records = [every[key] for key in sorted(every) if key[0] == row.id]
    names = METRICS[found.tier.metric.variant]
    cells = {name: mean_cell(records, name) for name in names}
    planned = min(row.repetitions or found.tier.seeds, found.tier.seeds) if _repeated(found, row.id) else 1
    whole = len(records) >= planned or row.reported_only is not None
    ran = str(len(records)) if whole else f"{len(records)} of {planned}"
    return {**cells, f"best {names[0]}": best_cell(records, names[0]), "runs": ran}


def pairs(found: Committed, rows: tuple[str, ...], metric: str) -> list[tuple[str, list[float]]]:
    """Environment and points of each repetition at which all rows have a run that counts."""
    by_row: dict[str, dict[int, dict[str, Any]]] = {}
    for row in dict.fromkeys(rows):
        own = {n: r for (name, n), r in found.counted.items() if name == row}
        by_row[row] = {n: r for n, r in own.items() if _value(found, r, metric) >= 0}
    once = [row for row in by_row if not _repeated(found, row)]
    others = sorted({n for row, own in by_row.items() if row not in once for n in own})
    for row in once:
        if 0 in by_row[row]:
            by_row[row] = dict.fromkeys(others or by_row[row], by_row[row][0])
    result = []
    for n in sorted({n for own in by_row.values() for n in own}):
        if all(n in own for own in by_row.values()):
            sides = [own[n] for own in by_row.values()]
            key = _environment(sides)
            if key is not None and len({side["provenance"]["source"] for side in sides}) == 1:
                records = [by_row[row][n] for row in rows]
                result.append((key, [100 * _value(found, r, metric) for r in records]))
    evidence = found.suite.evidence
    if evidence is not None and evidence.environments == "one" and result:
        most = Counter(key for key, _ in result).most_common(1)[0][0]
        result = [pair for pair in result if pair[0] == most]
    return result


def _value(found: Committed, record: dict[str, Any], metric: str) -> float:
    group, _, name = metric.rpartition(".")
    return _of_group(found, record, group, name) if group else _plain(record, metric)


def _plain(record: dict[str, Any], metric: str) -> float:
    return float((record["metrics"] | record.get("harmony", {})).get(metric, -1))


def _of_group(found: Committed, record: dict[str, Any], group: str, metric: str) -> float:
    """The mean over the group's categories, or over all where there is no group, of those that have the metric."""
    own = found.suite.groups_at("mini")[group].fixed(found.tier.data).categories if group else record["per_category"]
    values = [v for k in own if (v := record["per_category"][k][metric]) >= 0]
    return float(np.mean(values)) if values else -1.0


def _repeated(found: Committed, row: str) -> bool:
    declared = found.suite.row(row)
    if declared.start is not None or not declared.bits.is_fp:
        return True
    return found.tier.checkpoints == "own" and found.tier.recipe(declared) is not None


def _environment(sides: list[dict[str, Any]]) -> str | None:
    """Rows without quantizers may differ from the others in the kernels alone."""
    keys = {s["environment_key"] for s in sides if s["placement"]} or {s["environment_key"] for s in sides}
    if len(keys) > 1:
        return None
    (key,) = keys
    bare = [json.dumps({k: v for k, v in s["environment"].items() if k != "kernels"}, sort_keys=True) for s in sides]
    model = next(i for i, s in enumerate(sides) if s["environment_key"] == key)
    kernels = sides[model]["environment"].get("kernels")
    for i, side in enumerate(sides):
        if side["environment_key"] != key and (bare[i] != bare[model] or side["environment"].get("kernels") == kernels):
            return None
    return key


def claim_cells(found: Committed, claim: Any) -> dict[str, str]:
    """By heading what stands in the line of a claim; its verdict is only the word of the statistics."""
    over = next((f for f in _families(found.suite) if claim.id in f.claims and f.over == "images"), None)
    if over is not None:
        return _over_images(found, claim, over)
    measured = pairs(found, claim.rows, claim.metric)
    points = np.array([values for _, values in measured])
    published = "" if claim.published is None else f"+{claim.published:g}"
    empty = dict.fromkeys(("gain", "lower bound", "upper bound", "pairs", "sign test", "collapsed", "detectable"), "")
    if not len(points):
        return {**empty, "paper gain": published, "word": "no result"}
    gains = points[:, 0] - points[:, 1]
    if claim.kind == "interaction":
        gains = gains - (points[:, 2] - points[:, 3])
    n = len(gains)
    cells = {**empty, "gain": _points(gains.mean()), "pairs": str(n), "paper gain": published}
    cells["collapsed"] = str(sum(_collapsed(points[:, i]) for i in range(len({*claim.rows}))))
    family = _family(found.suite, claim.id)
    if family is None:
        return {**cells, "word": "not tested (a survey)"}
    number, together, margin = family
    up, down = int((gains > 0).sum()), int((gains < 0).sum())
    p = f"{_sign(up, down):.2g}" if up + down else "1"
    cells["sign test"] = f"{up} of {n}, p {p}"
    level = together / number
    word = "inconclusive"
    if len({*gains}) > 1:
        error = gains.std(ddof=1) / np.sqrt(n)
        quantile = t.ppf(1 - level, n - 1)
        lower, upper = gains.mean() - quantile * error, gains.mean() + quantile * error
        power = brentq(lambda c: nct.sf(quantile, n - 1, c) - 0.8, 0.0, 1000.0)
        cells |= {"lower bound": _points(lower), "upper bound": _points(upper), "detectable": f"{power * error:.2f}"}
        word = _word(gains, lower, upper, level, claim.published, margin)
    most = found.tier.seeds if found.suite.evidence is not None else None
    return {**cells, "word": f"interim ({n} of {most})" if most is not None and n < most else word}


def _over_images(found: Committed, claim: Any, family: Any) -> dict[str, str]:
    """The gain from the categories of the first repetition's runs; the bounds are those that were kept with them.

    Bounds come from predictions, which are not committed: tests/test_resample.py derives the bootstrap a second time.
    """
    empty = dict.fromkeys(("gain", "lower bound", "upper bound", "images", "sign test", "collapsed", "detectable"), "")
    if not all((row, 0) in found.counted for row in claim.rows):
        return {**empty, "collapsed": "-", "paper gain": "", "word": "no result"}
    sides = [found.counted[row, 0] for row in claim.rows]
    ours = [row for row in claim.rows if found.suite.row(row).reported_only is None]
    if len({found.counted[row, 0]["provenance"]["source"] for row in ours}) > 1:
        return {**empty, "collapsed": "-", "paper gain": "", "word": "no result"}
    group, _, metric = claim.metric.rpartition(".")
    own = found.suite.groups_at("mini")[group].fixed(found.tier.data).categories if group else None
    points = [100 * _of_group(found, side, group, metric) for side in sides]
    categories = None if own is None else sorted(own)
    asked = [side["predictions"]["digest"] for side in sides]
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(DIFFERENCES.glob("*.json"))]
    cells = {
        "gain": _points(points[0] - points[1]),
        "images": str(sides[0]["data"]["splits"]["test"]["images"]),
        "paper gain": "",
    }
    cells |= dict.fromkeys(("lower bound", "upper bound", "detectable"), "") | {"sign test": "-", "collapsed": "-"}
    level = family.level / len(family.claims)
    fits = [
        one
        for one in kept
        if one["of"]["predictions"] == asked
        and (one["of"]["categories"], one["of"]["level"]) == (categories, level)
        and (one["of"]["replicates"], one["of"]["seed"]) == (family.replicates, family.seed)
    ]
    word = "inconclusive"
    if fits and fits[0]["error"]:
        lower, upper, error = (100 * fits[0][name] for name in ("lower", "upper", "error"))
        assert abs(100 * fits[0]["difference"] - (points[0] - points[1])) < 1e-9 and lower < upper
        power = (norm.ppf(1 - level) + norm.ppf(0.8)) * error
        cells |= {"lower bound": _points(lower), "upper bound": _points(upper), "detectable": f"{power:.2f}"}
        word = _of_bounds(lower, upper, claim.published, family.margin)
    return {**cells, "word": word}


def environments(found: Committed, claim: Any) -> tuple[list[tuple[str, str]], str] | None:
    """Means of a claim by environment, and p of no difference; None where all pairs are of one."""
    groups: dict[str, list[float]] = {}
    for key, values in pairs(found, claim.rows, claim.metric):
        first, second, *others = values
        groups.setdefault(key, []).append(first - second - (others[0] - others[1] if others else 0.0))
    if len(groups) < 2:
        return None
    spread = any(len({*group}) > 1 for group in groups.values())
    p = f"{f_oneway(*groups.values()).pvalue:.3f}" if spread else ""
    return [(f"{np.mean(group):+.2f}", str(len(group))) for group in groups.values()], p


def _families(suite: Suite) -> list[Any]:
    return [] if suite.evidence is None else list(suite.evidence.families.values())


def _family(suite: Suite, claim: str) -> tuple[int, float, float] | None:
    if suite.evidence is None:
        return len(suite.claims), 0.03, 0.5
    return next(((len(f.claims), f.level, f.margin) for f in _families(suite) if claim in f.claims), None)


def _of_bounds(lower: float, upper: float, published: float | None, margin: float) -> str:
    within = -margin < lower and upper < margin
    if lower > 0:
        return "holds" + (", perhaps negligible" if lower < 0.2 else "")
    if upper < (0.2 if published is None else min(0.2, published / 2)):
        return "fails" + (", equivalent to none" if within else "")
    return "equivalent" if within else "inconclusive"


def _points(value: float) -> str:
    """With its sign; nothing has none."""
    return f"{value:+.2f}" if round(value, 2) else "0.00"


def _word(gains: Any, lower: float, upper: float, level: float, published: float | None, margin: float) -> str:
    fails = 0.2 if published is None else min(0.2, published / 2)

    def above(value: float) -> bool:
        return _sign(int((gains > value).sum()), int((gains < value).sum())) <= level

    def below(value: float) -> bool:
        return _sign(int((gains < value).sum()), int((gains > value).sum())) <= level

    word = _of_bounds(lower, upper, published, margin)
    agree = {
        "holds": above(0),
        "fails": below(fails),
        "equivalent": above(-margin) and below(margin),
        "inconclusive": not above(0) and not below(fails),
    }
    return word if agree[word.split(",")[0]] else f"{word}, depends on near-symmetry"


def _sign(hits: int, misses: int) -> float:
    return float(binomtest(hits, hits + misses, alternative="greater").pvalue) if hits + misses else 1.0


def _collapsed(runs: Any) -> int:
    if len(runs) < 4:
        return 0
    number = 0
    for i, others in zip(reversed(range(len(runs))), itertools.combinations(runs, len(runs) - 1), strict=True):
        middle = np.median(others)
        number += bool(runs[i] < middle - 5 * 1.4826 * np.median(np.abs(np.array(others) - middle)))
    return number
