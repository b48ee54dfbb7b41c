"""From a file to a checked suite: syntax, schema, then what only the whole file can tell."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from bench.spec.catalog import CATALOG
from bench.errors import UsageError
from bench.spec.messages import describe, validate
from bench.spec.methods import BUILTIN, facts
from bench.spec.source import Source, load_mapping
from bench.spec.suite import Row, Suite, TierSpec

SUITES = "suites"


@dataclass(frozen=True)
class Located:
    """A suite, its name (`hqod/table1`), its file, and the root that paths in it are relative to."""

    name: str
    path: Path
    root: Path
    suite: Suite


class _Fault(NamedTuple):
    loc: tuple[str | int, ...]
    message: str


def find(root: Path) -> list[str]:
    """Names of all suites below `root/suites`, sorted."""
    base = root / SUITES
    return sorted(p.relative_to(base).with_suffix("").as_posix() for p in base.rglob("*.yaml") if p.name != "dvc.yaml")


def load_suite(name: str, root: Path) -> Located:
    """Read a suite by name (`hqod/table1`) or by path; UsageError with file and line where it is wrong."""
    base = root / SUITES
    path = base / f"{name}.yaml"
    if not path.is_file() and name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.is_absolute() or not path.is_file():
            path = root / name
    elif not path.is_file():
        known = ", ".join(find(root)) or f"none below {base}"
        raise UsageError(f"there is no suite {name!r} below {base} (suites: {known})")
    source = load_mapping(path)
    suite = validate(Suite, source)
    faults = list(_faults(suite))
    if faults:
        lines = [f"{path}:{source.line(f.loc)}: {f.message}" for f in faults[:5]]
        raise UsageError("\n".join(lines))
    _check_options(suite, source)
    try:
        short = path.resolve().relative_to(base.resolve()).with_suffix("").as_posix()
    except ValueError:
        short = path.stem
    return Located(short, path, root, suite)


def _faults(suite: Suite) -> Iterator[_Fault]:
    ids = [row.id for row in suite.rows]
    for i, row in enumerate(suite.rows):
        if ids.index(row.id) != i:
            yield _Fault(("rows", i, "id"), f"row id {row.id!r} is used twice")
        yield from (_Fault(("rows", i, *f.loc), f.message) for f in _row_faults(row, suite))
    yield from _cycles(suite)
    for tier_name, tier in suite.tiers.items():
        yield from (_Fault(("tiers", tier_name, *f.loc), f.message) for f in _tier_faults(tier, suite))


def _row_faults(row: Row, suite: Suite) -> Iterator[_Fault]:
    if row.reported_only is not None:
        if row.published is None:
            yield _Fault(("id",), f"row {row.id!r} is reported only, so it needs `published`")
        return
    if row.detector not in CATALOG:
        yield _Fault(("detector",), f"unknown detector {row.detector!r}; known: {', '.join(sorted(CATALOG))}")
    if row.start is not None and row.start not in {r.id for r in suite.rows}:
        yield _Fault(("start",), f"there is no row {row.start!r} to start from")
    elif row.start is not None and (origin := suite.row(row.start)).reported_only is not None:
        yield _Fault(("start",), f"row {origin.id!r} is reported only: it has no checkpoint to start from")
    elif row.start is not None and suite.row(row.start).detector != row.detector:
        yield _Fault(("start",), f"row {row.start!r} has another detector, {suite.row(row.start).detector!r}")
    if row.policy is not None and row.policy not in suite.policies:
        yield _Fault(("policy",), f"unknown policy {row.policy!r}; declared: {', '.join(suite.policies) or 'none'}")
    makers = []
    for k, use in enumerate(row.methods):
        try:
            if facts(use.name).makes_quantizers:
                makers.append(use.name)
        except UsageError as error:
            yield _Fault(("methods", k, "name"), str(error))
    if len(makers) > 1:
        yield _Fault(("methods",), f"{' and '.join(makers)} both make quantizers; a row may have one such method")
    if makers and row.bits.is_fp:
        yield _Fault(("bits",), f"{makers[0]} makes quantizers, but bits are {row.bits}")
    if makers and row.policy is None:
        yield _Fault(("id",), f"row {row.id!r}: {makers[0]} makes quantizers, so the row needs a `policy`")
    if not makers and not row.bits.is_fp:
        yield _Fault(("bits",), f"bits are {row.bits}, but no method of the row makes quantizers")
    for tier_name in row.pins:
        if tier_name not in suite.tiers:
            yield _Fault(("pins", tier_name), f"pins for tier {tier_name!r}, which the suite does not have")


def _cycles(suite: Suite) -> Iterator[_Fault]:
    rows = {row.id: row for row in suite.rows}
    for i, row in enumerate(suite.rows):
        seen, at = [row.id], row.start
        while at in rows and at not in seen:
            seen.append(at)
            at = rows[at].start
        if at == row.id:
            yield _Fault(("rows", i, "start"), f"cyclic dependency: {' -> '.join([*seen, row.id])}")
            return


def _tier_faults(tier: TierSpec, suite: Suite) -> Iterator[_Fault]:
    runs = [row for row in suite.rows if row.reported_only is None]
    used = {row.recipe for row in runs} - {None}
    for row in runs:
        if row.detector not in tier.detectors:
            yield _Fault(("detectors",), f"row {row.id!r} wants detector {row.detector!r}, which the tier lacks")
        if row.recipe is not None and row.recipe not in tier.recipes:
            yield _Fault(("recipes",), f"row {row.id!r} wants recipe {row.recipe!r}, which the tier lacks")
        if not row.bits.is_fp and tier.calibration is None:
            yield _Fault((), f"row {row.id!r} has quantizers, so the tier needs `calibration`")
    for name in tier.recipes.keys() - used:
        yield _Fault(("recipes", name), f"no row uses recipe {name!r}")
    for name in tier.detectors.keys() - {row.detector for row in runs}:
        yield _Fault(("detectors", name), f"no row uses detector {name!r}")


def _check_options(suite: Suite, source: Source) -> None:
    for i, row in enumerate(suite.rows):
        for k, use in enumerate(row.methods):
            if use.name not in BUILTIN or row.reported_only is not None:
                continue
            loc = ("rows", i, "methods", k, "options")
            try:
                BUILTIN[use.name].options.model_validate_json(json.dumps(use.options))
            except ValidationError as error:
                raise UsageError("\n".join(describe(error, source, loc))) from None
