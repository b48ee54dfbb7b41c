"""From a name to a checked suite: its file, its syntax, its schema, and what only the whole can tell."""

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bench.errors import UsageError
from bench.schema.author import WrittenSuite
from bench.schema.base import Spec
from bench.schema.check_claims import claim_faults
from bench.schema.check_evidence import evidence_faults
from bench.schema.check_groups import group_faults
from bench.schema.check_options import option_faults
from bench.schema.check_short import misplaced, short_faults, short_unused
from bench.schema.checks import faults, unused
from bench.schema.expand import expand
from bench.schema.faults import Fault, unknown
from bench.schema.messages import SHOWN, describe, validate, where
from bench.schema.methods import options_model
from bench.schema.publications import FOLDER, load_published
from bench.schema.source import Loc, Source, load_mapping, shown, walk
from bench.schema.suite import Suite, Tier, TierSpec

SUITES = "suites"
SOUGHT = 20
"""Problems that are worded: to look for what was meant takes its time, and a long file has many names."""


@dataclass(frozen=True)
class Located:
    """A suite, its name (`hqod/table1`), its file, and the root that paths in it are relative to."""

    name: str
    path: Path
    root: Path
    suite: Suite

    @property
    def default_tier(self) -> Tier:
        """The tier that is meant where none is named: the only one, or `mini`."""
        tiers = list(self.suite.tiers)
        return tiers[0] if len(tiers) == 1 else "mini"

    def tier(self, name: str) -> TierSpec:
        """The tier of that name; UsageError where the suite has none."""
        found = next((spec for tier, spec in self.suite.tiers.items() if tier == name), None)
        if found is None:
            raise UsageError(f"{self.path}: there is no tier {name!r}; the suite has {', '.join(self.suite.tiers)}")
        return found


def find(root: Path) -> list[str]:
    """Names of all suites below `root/suites`, sorted; OSError where a folder cannot be read."""
    base = root / SUITES
    found = (Path(parent, name) for parent, *names in walk(base) for name in chain(*names))
    files = (p for p in found if p.suffix == ".yaml" and p.name != "dvc.yaml")  # DVC names its own files so
    return sorted(p.relative_to(base).with_suffix("").as_posix() for p in files)


def load_suite(name: str, root: Path) -> Located:
    """Read a suite by name (`hqod/table1`) or by path; UsageError with file and line where it is wrong."""
    path = _resolve(name, root)
    written = load_mapping(path)
    source = _written_out(written)
    suite = validate(Suite, source)
    _refuse(source, chain(_problems(source, _faults(suite, root)), _option_problems(suite, source)))
    _refuse(source, chain(_problems(source, unused(suite)), _problems(written, short_unused(written.data))))
    try:
        short = path.resolve().relative_to((root / SUITES).resolve()).with_suffix("").as_posix()
    except ValueError:
        short = path.stem
    return Located(short, path, root, suite)


def expanded(located: Located) -> dict[str, Any]:
    """The suite's file in the whole form: no kinds, defaults or names of options, everything where it is used."""
    return _written_out(load_mapping(located.path)).data


def load_all(root: Path) -> tuple[list[Located], dict[str, UsageError]]:
    """All suites below `root/suites`: those that are right, and the errors of the others by name."""
    suites, errors = [], {}
    for name in find(root):
        try:
            suites.append(load_suite(name, root))
        except UsageError as error:
            errors[name] = error
    return suites, errors


def _resolve(name: str, root: Path) -> Path:
    """The file that a name means; it exists, or reading it says that it does not."""
    base = root / SUITES
    if name.endswith((".yaml", ".yml")):
        candidates = (Path(name), root / name, base / name)
        return next((path for path in candidates if os.path.lexists(path)), Path(name))
    path = base / f"{name}.yaml"
    if name.startswith("/") or ".." in path.parts[len(base.parts) :] or not os.path.lexists(path):
        suites = find(root)
        if name in suites:
            return path  # in a folder that may be listed, but not entered
        where = shown(base)
        if inside := [suite for suite in suites if suite.startswith(f"{name.rstrip('/')}/")]:
            raise UsageError(f"{name!r} is a folder of suites; name one: {', '.join(inside)}")
        raise UsageError(
            f"{unknown('suite', name, suites)} (looked below {where})"
            if suites
            else f"unknown suite {name!r}: there are no suites below {where}; "
            "go to the folder that holds suites/, or name it by --root"
        )
    return path


def _written_out(written: Source) -> Source:
    """The file in the whole form; UsageError where the author's form has faults."""
    _refuse(written, _problems(written, misplaced(written.data)))
    validate(WrittenSuite, written)
    _refuse(written, _problems(written, short_faults(written.data)))
    return expand(written)


def _refuse(source: Source, problems: Iterator[tuple[int, str]]) -> None:
    """UsageError with the first problems in the order of the file, if there are any."""
    first = list(islice(problems, SOUGHT))
    if first:
        lines = [f"{shown(source.path)}:{line}: {text}" for line, text in sorted(first)]
        more = ["… and more"] if len(lines) > SHOWN else []
        raise UsageError("\n".join(lines[:SHOWN] + more))


def _problems(source: Source, found: Iterable[Fault]) -> Iterator[tuple[int, str]]:
    """Line and words of each fault; of the rows that take over one wrong value the first speaks for all."""
    told: set[Loc] = set()
    for fault in found:
        at = source.origin(fault.loc)
        if at == fault.loc:
            yield fault.line(source), fault.message
        elif at not in told:
            told.add(at)
            yield fault.line(source), f"{where(at)}{fault.message}{_row_of(fault, source)}"


def _row_of(fault: Fault, source: Source) -> str:
    """Which row a value of a kind is wrong for."""
    if fault.loc[0] != "rows":
        return ""
    row = repr(source.data["rows"][fault.loc[1]]["id"])
    return "" if row in fault.message else f" (row {row})"


def _faults(suite: Suite, root: Path) -> Iterator[Fault]:
    published: Collection[str] | None = None
    # A folder of somebody's own suites need not hold the published tables.
    if suite.published is not None and (root / FOLDER).is_dir():
        file = load_published(suite.published.file, root)
        if file is None:
            path = root / FOLDER / f"{suite.published.file}.yaml"
            yield Fault(("published", "file"), f"there is no {shown(path)}")
        else:
            tables = {table.id: table for table in file.tables}
            if suite.published.table in tables:
                published = [row.id for row in tables[suite.published.table].rows]
            else:
                yield Fault(("published", "table"), unknown("table", suite.published.table, tables))
    yield from faults(suite, published)
    yield from claim_faults(suite)
    yield from evidence_faults(suite)
    yield from group_faults(suite)
    yield from option_faults(suite)


def _option_problems(suite: Suite, source: Source) -> Iterator[tuple[int, str]]:
    """Options of built-in methods against their models; a user's own method checks its own."""
    told: set[tuple[int, str]] = set()
    for i, row in enumerate(suite.rows):
        for k, use in enumerate(row.methods):
            model = options_model(use.name)
            if model is None or row.reported_only is not None:
                continue
            places: list[tuple[Loc, dict[str, Any]]] = [(("rows", i, "methods", k, "options"), use.options)]
            for tier, spec in suite.tiers.items():
                if use.name in spec.options:
                    places.append((("tiers", tier, "options", use.name), use.options | spec.options[use.name]))
            for at, options in places:
                for line, message in _option_faults(model, options, source, at):
                    if (line, message) not in told:
                        told.add((line, message))
                        yield line, message


def _option_faults(model: type[Spec], options: dict[str, Any], source: Source, at: Loc) -> Iterator[tuple[int, str]]:
    try:
        model.model_validate_json(json.dumps(options))
    except ValidationError as error:
        for text in describe(error, source, at, model):
            line, _, message = text.removeprefix(f"{shown(source.path)}:").partition(": ")
            yield int(line), message
