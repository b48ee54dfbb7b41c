"""The categories of a suite with groups: its groups, and what each quantized row changes in each category."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

from bench.report.grid import Column, Grid
from bench.report.wording import grouped
from bench.schema.group import FEW, Groups
from bench.schema.suite import Row
from bench.verdict.gather import JobResult, Results
from bench.verdict.groups import Change, Resolved, changes, known, resolve
from bench.verdict.numbers import numbers
from bench.verdict.regime import full_precision_row

SHOWN = 5
"""Categories that a row hurts most which are named."""
TITLE = "Change of each category against full precision, points of AP"


class Changed(NamedTuple):
    """What a quantized row changes."""

    row: Row
    reference: str
    """The full-precision row that it comes from."""
    changes: dict[str, Change]

    @property
    def hurt(self) -> list[str]:
        """The categories that lose most, the worst first, among those on images enough to tell."""
        lost = [name for name, one in self.changes.items() if one.mean < 0 and (one.images or 0) >= FEW]
        return sorted(lost, key=lambda name: self.changes[name].mean)[:SHOWN]


class Categories(NamedTuple):
    """All of it; empty for a suite without groups."""

    groups: dict[str, Resolved]
    changed: tuple[Changed, ...] = ()

    @property
    def columns(self) -> Groups:
        """The groups whose categories are known."""
        return known(self.groups)

    def notes(self) -> Iterator[str]:
        """What the groups are, and what each row hurts most."""
        for name, group in self.groups.items():
            yield f"Group {name}: {', '.join(group.categories) or group.lacking} ({group.source})."
        found = [
            (one.row.id, ", ".join(f"{name} {one.changes[name].mean:+.2f}" for name in one.hurt))
            for one in self.changed
            if one.hurt
        ]
        # Rows are named however many there are; those of one allocation are one model.
        yield from grouped(
            ((row, f"of categories on {FEW} images or more, {lost} lose most.") for row, lost in found), 0
        )

    def grid(self) -> Grid | None:
        """A line a category, a column a row, or several that change the same, as those of one allocation do; a change
        in brackets rests on too few images to tell."""
        names = list(dict.fromkeys(name for one in self.changed for name in one.changes))
        alike: dict[tuple[tuple[str, Change], ...], list[str]] = {}
        for one in self.changed:
            alike.setdefault(tuple(one.changes.items()), []).append(one.row.id)
        shown = [dict(changes) for changes in alike]
        if not names:
            return None
        columns = (Column("category"), *(Column(", ".join(rows), numeric=True) for rows in alike.values()))
        images = [self._images(name) for name in names]
        if not any(images):
            lines = tuple((name, *(_points(one.get(name)) for one in shown)) for name in names)
            return Grid(columns, lines, f"{TITLE}; on how many images each rests is unknown")
        counted = tuple(
            (name, count, *(_cell(one.get(name)) for one in shown)) for name, count in zip(names, images, strict=True)
        )
        columns = (columns[0], Column("images", numeric=True), *columns[1:])
        return Grid(
            columns, counted, f"{TITLE}; in brackets: fewer than {FEW} images, or a number of them that is unknown"
        )

    def _images(self, name: str) -> str:
        counts = (one.changes[name].images for one in self.changed if name in one.changes)
        return str(next((count for count in counts if count is not None), ""))

    def as_json(self) -> dict[str, Any]:
        """Groups by name, and changes by row."""
        if not self.groups:
            return {}
        return {
            "groups": {name: group._asdict() for name, group in self.groups.items()},
            "categories": {
                one.row.id: {
                    "reference": one.reference,
                    "changes": {name: change._asdict() for name, change in one.changes.items()},
                    "hurt_most": one.hurt,
                }
                for one in self.changed
            },
        }


def categories(results: Results) -> Categories:
    """Of the suite at its tier."""
    if not results.located.suite.groups_at(results.tier):
        return Categories({})
    found = []
    for row in (row.row for row in results.rows):
        reference = None if row.bits.is_fp else full_precision_row(results, row)
        if reference is None or results.located.suite.row(reference).scored != row.scored:
            continue
        if moved := changes(results, reference, row.id):
            found.append(Changed(row, reference, moved))
    return Categories(resolve(results), tuple(found))


def enriched(results: Results, groups: Groups) -> Results:
    """The same, with the numbers of the groups among the metrics of each record."""

    def of_job(result: JobResult) -> JobResult:
        return result if result.record is None else replace(result, record=_enriched(result.record, groups))

    rows = (
        replace(
            row,
            jobs=tuple(map(of_job, row.jobs)),
            external=tuple(
                one if one.record is None else replace(one, record=_enriched(one.record, groups))
                for one in row.external
            ),
        )
        for row in results.rows
    )
    return replace(results, rows=tuple(rows)) if groups else results


def _enriched(record: Any, groups: Groups) -> Any:
    return record.model_copy(update={"metrics": numbers(record, groups)})


def _points(change: Change | None) -> str:
    return "" if change is None else f"{change.mean:+.2f}"


def _cell(change: Change | None) -> str:
    text = _points(change)
    return text if change is None or (change.images or 0) >= FEW else f"({text})"
