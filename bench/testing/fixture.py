"""Records by the names of their rows, for assertions of a user's own."""

from pathlib import Path

import pytest

from bench.errors import UsageError
from bench.records.record import Record
from bench.schema.load import load_suite
from bench.schema.suite import Tier
from bench.testing.outcomes import Scene


class Qdet:
    """What the fixture `qdet` gives."""

    def __init__(self, root: Path, *, strict: bool = False, committed: bool = False) -> None:
        self.root, self.strict, self.committed = root, strict, committed
        self._scenes: dict[tuple[str, str], Scene] = {}

    def record(self, name: str, tier: Tier = "mini") -> Record:
        """The record of `SUITE:ROW` or `SUITE:ROW:SEED`: the local one, or else the committed one.

        Without one the test is skipped with the command that makes it, and fails under --qdet-strict. UsageError for
        a suite, row or tier that there is not.
        """
        suite, _, rest = name.partition(":")
        row, _, seed = rest.partition(":")
        if not row or not (seed or "0").isdigit():
            raise UsageError(f"{name}: must be SUITE:ROW or SUITE:ROW:SEED")
        scene = self._scene(suite, tier)
        if row not in (rows := [found.row.id for found in scene.merged.rows]):
            raise UsageError(f"{suite} has no row {row!r}; it has {', '.join(rows)}")
        for result in scene.merged.jobs:
            if (result.job.row.id, result.job.repetition) == (row, int(seed or 0)) and result.record is not None:
                return result.record
        why = f"{suite} {row} {tier} seed {seed or 0}: no record: {scene.command([row])}"
        if self.strict:
            pytest.fail(why, pytrace=False)
        pytest.skip(why)

    def _scene(self, suite: str, tier: Tier) -> Scene:
        if (suite, tier) not in self._scenes:
            located = load_suite(suite, self.root)
            located.tier(tier)
            self._scenes[suite, tier] = Scene(located, tier, self.committed)
        return self._scenes[suite, tier]
