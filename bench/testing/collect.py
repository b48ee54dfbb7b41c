"""Suite files as pytest collects them: one test for each row, pin, claim, published number and committed table."""

import sys
import warnings
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError
from bench.report.make import table_file
from bench.schema.load import Located, load_suite
from bench.schema.source import Source, load_mapping
from bench.schema.suite import Tier
from bench.testing.outcomes import Outcome, Scene
from bench.testing.plugin import root_of
from bench.verdict.baseline import baseline_file
from bench.verdict.references import published_row, published_table


class QdetWarning(pytest.PytestWarning):
    """A test passed, but not for a record of the suite as it is now."""


class NotMetError(Exception):
    """Why a test of a suite failed."""


class SuiteFile(pytest.File):
    """One suite file, at all tiers that it declares."""

    scenes: dict[Tier, Scene]
    source: Source

    def collect(self) -> "Iterator[SuiteTest]":
        """The tests, by tier; pytest's CollectError where the file is wrong."""
        root = root_of(self.config)
        if str(root) not in sys.path:
            sys.path.insert(0, str(root))  # a user's own methods are found beside her suites
        try:
            located = load_suite(str(self.path), root)
            self.source = load_mapping(self.path)
            self.scenes = {}
            for tier in located.suite.tiers:
                if not self.config.getoption("qdet_committed") or baseline_file(located, tier).exists():
                    yield from self._tier(located, tier)
        except BenchError as error:
            raise self.CollectError(str(error)) from None

    def _tier(self, located: Located, tier: Tier) -> "Iterator[SuiteTest]":
        suite, table = located.suite, published_table(located)
        self.scenes[tier] = self.scene(located, tier)
        rows = [row for row in suite.rows if row.reported_only is None]
        for row in rows:
            yield self._test(located, tier, "row", row.id)
        for row in rows:
            if tier in row.pins:
                yield self._test(located, tier, "pins", row.id)
        for claim in suite.claims if tier != "smoke" else ():
            yield self._test(located, tier, "claim", claim.id)
        for row in rows if tier == "paper" else ():
            if published_row(row, table) is not None:
                yield self._test(located, tier, "reference", row.id)
        if baseline_file(located, tier).exists() and table_file(located, tier).exists():
            yield self._test(located, tier, "table", "committed")

    def _line(self, part: str, about: str) -> int:
        """Where an entry of a list stands, counted from 0; the top where it has none."""
        entries = enumerate(self.source.data.get(part, []))
        index = next((index for index, entry in entries if entry.get("id") == about), None)
        return 0 if index is None else self.source.line((part, index)) - 1

    def scene(self, located: Located, tier: Tier) -> Scene:
        """What there is at a tier, read when it is first asked for."""
        options = self.config.getoption
        return Scene(located, tier, options("qdet_committed"), options("qdet_update_baselines"))

    def _test(self, located: Located, tier: Tier, kind: str, about: str) -> "SuiteTest":
        test = SuiteTest.from_parent(self, name=f"{tier}:{kind}:{about}")
        test.tier, test.kind, test.about = tier, kind, about
        test.qdet_address = f"{located.name}:{test.name}"
        test.line = self._line("claims" if kind == "claim" else "rows", about)
        test.add_marker(f"qdet_{tier}")
        test.add_marker(f"qdet_{kind}")
        for line in self.config.getini("qdet_xfail"):
            pattern, reason = line.split(None, 1)
            if fnmatchcase(test.qdet_address, pattern):
                test.add_marker(pytest.mark.xfail(reason=reason, strict=True, raises=NotMetError))
        if kind in ("row", "pins"):
            test.user_properties.append(("qdet", f"{located.name} {tier} {about}"))
        return test


class SuiteTest(pytest.Item):
    """One question to the records."""

    parent: SuiteFile
    tier: Tier
    kind: str
    about: str
    qdet_address: str
    """`SUITE:TIER:KIND:ID`."""
    line: int
    """Of the suite's file, from 0."""

    def runtest(self) -> None:
        """Pass, skip with the command that would help, or raise NotMetError."""
        outcome = self._outcome()
        if outcome.status == "missing" and self.config.getoption("qdet_run"):
            self._run()
            outcome = self._outcome()
        if outcome.warning is not None:
            warnings.warn(QdetWarning(outcome.warning), stacklevel=1)
        if outcome.status == "failed" or (outcome.status == "missing" and self.config.getoption("qdet_strict")):
            raise NotMetError(outcome.message)
        if outcome.status != "passed":
            raise pytest.skip.Exception(outcome.message, _use_item_location=True)

    def _outcome(self) -> Outcome:
        scene = self.parent.scenes[self.tier]
        asked = (scene.row, scene.pins, scene.claim, scene.reference, scene.table)
        return next(ask for ask in asked if ask.__name__ == self.kind)(self.about)

    def _run(self) -> None:
        from bench.testing.train import train

        scene = self.parent.scenes[self.tier]
        if self.kind in ("row", "pins", "reference"):
            train(scene.located, self.tier, self.about)
        self.parent.scenes[self.tier] = self.parent.scene(scene.located, self.tier)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The reason alone; a traceback only of a fault of ours."""
        if isinstance(excinfo.value, NotMetError | BenchError):
            return f"{self.qdet_address}: {excinfo.value}"
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where in the suite's file stands what the test is about; lines count from 0."""
        return self.path, self.line, self.qdet_address
