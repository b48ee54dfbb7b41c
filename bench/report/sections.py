"""What a report shows: the suites at each tier that has records, ordered by the paper that they are of."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from bench.records.store import Store
from bench.report.table import Table, build, has_run
from bench.schema.load import SUITES, Located
from bench.schema.suite import Tier
from bench.verdict.baseline import baseline_file, load
from bench.verdict.committed import gather_committed
from bench.verdict.gather import Results, gather
from bench.verdict.references import published_table

Origin = Literal["committed", "local"]
"""The records of `baselines/`, or those that were measured here (`results/local/`)."""


@dataclass(frozen=True)
class Section:
    """One suite at one tier, from one origin."""

    results: Results
    table: Table
    origin: Origin
    before: Table | None = None
    """The same of another revision, where one is compared with."""

    @property
    def name(self) -> str:
        """Of the suite, such as `hqod/table1`."""
        return self.results.located.name

    @property
    def tier(self) -> Tier:
        """The scale of the runs."""
        return self.results.tier

    @property
    def slug(self) -> str:
        """Its anchor in the page."""
        here = "-here" if self.origin == "local" else ""
        return f"{self.name}-{self.tier}{here}".replace("/", "-").replace(".", "-")

    @property
    def with_runs(self) -> frozenset[str]:
        """The rows that have a run to show, be it one that failed."""
        return frozenset(row.row.id for row in self.results.rows if has_run(row))

    def anchor(self, row: str) -> str | None:
        """Of the runs of a row in the page; None where there are none."""
        return f"{self.slug}--{row}" if row in self.with_runs else None


@dataclass(frozen=True)
class Group:
    """The suites of one folder, which is one paper or none."""

    slug: str
    title: str
    of_paper: bool
    """Whether published numbers belong to one of its suites."""
    sections: tuple[Section, ...]

    @property
    def short(self) -> str:
        """The title without what stands behind a colon or in brackets."""
        return re.split(r":| \(", self.title)[0]


def find_sections(
    suites: Sequence[Located], origins: Sequence[Origin], tier: Tier | None = None, before: Path | None = None
) -> list[Section]:
    """All suites and tiers that have a record; of a `before` (another checkout) the committed table beside each."""
    found: list[Section] = []
    for suite in suites:
        for each in suite.suite.tiers:
            # Tier smoke tests the machinery: its numbers are no results, so it is shown only where it is asked for.
            if each == tier or (tier is None and each != "smoke"):
                found += _of(suite, each, origins, before)
    return found


def _of(suite: Located, tier: Tier, origins: Sequence[Origin], before: Path | None) -> Iterator[Section]:
    earlier = None if before is None else committed_table(replace(suite, root=before), tier)
    if "committed" in origins and baseline_file(suite, tier).exists():
        results = gather_committed(suite, tier)
        yield Section(results, build(results, published_table(suite), None, committed=True), "committed", earlier)
    if "local" in origins and Store(suite.root).folders():
        results = gather(suite, tier)
        if any(job.record is not None and not job.restored for job in results.jobs):
            yield Section(results, build(results, published_table(suite), load(suite, tier)), "local", earlier)


def committed_table(suite: Located, tier: Tier) -> Table | None:
    """The table of committed records; None where there are none."""
    if not baseline_file(suite, tier).exists():
        return None
    return build(gather_committed(suite, tier), published_table(suite), None, committed=True)


def grouped(sections: Sequence[Section]) -> list[Group]:
    """By folder below `suites/`. What has published numbers comes first, then what claims something; likewise in a
    folder what claims something, of that what has run, and of that what the paper prints too."""
    folders = dict.fromkeys(section.name.rpartition("/")[0] for section in sections)
    groups = []
    for folder in folders:
        own = tuple(sorted((one for one in sections if one.name.rpartition("/")[0] == folder), key=_silent))
        of_paper = any(section.results.located.suite.published is not None for section in own)
        groups.append(Group(folder.replace("/", "-") or "suites", _title(own[0], folder), of_paper, own))
    return sorted(groups, key=lambda group: (not group.of_paper, min(map(_silent, group.sections))))


def _silent(section: Section) -> tuple[bool, bool, bool]:
    """What has claims, then what has run, then what has published numbers is less so than others."""
    published = section.results.located.suite.published is not None
    return not section.table.judged, not section.table.standing.done, not published


def _title(section: Section, folder: str) -> str:
    """The first heading of the folder's README."""
    try:
        lines = (section.results.located.root / SUITES / folder / "README.md").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line[2:].strip() for line in lines if line.startswith("# ")), folder or "Suites")
