"""When progress is reported again, and the place among processes."""

import pytest

from bench import clock
from bench.clock import Every
from bench.processes import world


def test_progress_is_reported_when_something_is_new_or_time_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.0, 1.0, 5.0, 10.9, 11.0, 12.0, 13.0, 13.5))
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(times))
    every = Every(10)
    said = [every.due(what) for what in ("a", "a", "a", "a", "b", "a", "a")]
    assert said == [True, False, False, True, True, True, False]


def test_without_a_name_the_first_report_waits_too(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter((0.0, 9.0, 10.0, 19.0))
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(times))
    every = Every(10)
    assert [every.due(), every.due(), every.due()] == [False, True, False]


def test_the_leader_is_the_first_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert world() == (0, 1) and world().leads
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert world() == (1, 2) and not world().leads
