"""How far a run is, what it made, and which suites `list` shows."""

import io
from pathlib import Path
from typing import Any

import pytest
from factories import located, measure_all, suite_data
from rich.console import Console
from rich.progress import Progress, TextColumn

from bench.cli import display, remaining
from bench.cli.made import tell_made
from bench.cli.main import main
from bench.cli.remaining import Remaining, duration
from bench.plan.jobs import Job, plan
from bench.records.store import Store
from bench.run.scheduler import Outcome


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """FP, and two rows that start from it, of 100 s each."""
    data = suite_data()
    data["tiers"]["mini"]["recipes"]["short"]["cost_s"] = 100
    return plan(located(tmp_path, data), "mini")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    class Clock:
        now = 1000.0

    monkeypatch.setattr(remaining.time, "monotonic", lambda: Clock.now)
    return Clock


def test_the_time_left_is_first_that_of_the_suite_then_the_measured_one(jobs: list[Job], clock: Any) -> None:
    fp, *others = jobs
    left = Remaining(jobs, 2)
    # FP alone, then the two at once.
    assert (left.seconds(), left.ended, left.share) == (200.0, 0, 0.0)
    left.started()
    clock.now += 30
    left.progress(fp, "train", 1, 4)
    assert left.share == pytest.approx(25 / 300)
    assert left.seconds() == pytest.approx(30 * 275 / 25)
    left.progress(fp, "predict", 1, 9)
    clock.now += 20
    left.finished(Outcome(fp, "executed"))
    assert left.words() == "1 of 3 jobs, about 2 min left"
    assert left.seconds() == pytest.approx(50 * 200 / 100)
    for job in others:
        left.finished(Outcome(job, "executed"))
    assert (left.seconds(), left.share, left.words()) == (0.0, 1.0, "3 of 3 jobs")


def test_what_was_done_before_or_failed_is_no_work(jobs: list[Job], clock: Any) -> None:
    left = Remaining(jobs, 1)
    left.finished(Outcome(jobs[0], "done"))
    assert (left.share, left.ended, left.seconds()) == (0.0, 1, 200.0)
    left.finished(Outcome(jobs[1], "failed", "why"))
    left.started()
    clock.now += 40
    left.progress(jobs[2], "train", 2, 4)
    assert (left.share, left.seconds()) == (0.5, 40.0)


def test_without_declared_costs_nothing_is_promised(tmp_path: Path) -> None:
    left = Remaining(plan(located(tmp_path), "mini"), 1)
    assert (left.seconds(), left.words()) == (None, "0 of 3 jobs")


def test_durations() -> None:
    assert [duration(s) for s in (4, 300, 4000, 20000)] == ["4 s", "5 min", "67 min", "5.6 h"]


def test_a_bar_for_all_jobs_stands_beside_those_of_each(jobs: list[Job]) -> None:
    out = io.StringIO()
    with Progress(TextColumn("{task.description} {task.fields[news]}"), console=Console(file=out)) as bars:
        live = display._Live(bars, Remaining(jobs, 1))
        live.started(jobs[0])
        live.progress(jobs[0], "train", 1, 4, 0.5)
        (whole, one) = bars.tasks
        assert (whole.description, whole.fields["news"]) == ("all jobs", "0 of 3 jobs, about 5 min left")
        assert whole.completed == pytest.approx(25 / 300)
        assert one.fields["news"] == "train 1/4 loss 0.5000"
        live.finished(Outcome(jobs[0], "executed"))
        assert [task.description for task in bars.tasks] == ["all jobs"]


def test_plain_lines_say_how_much_is_left(jobs: list[Job], capsys: pytest.CaptureFixture[str]) -> None:
    lines = display._Lines(Remaining(jobs, 1))
    lines.started(jobs[0])
    lines.finished(Outcome(jobs[0], "executed"))
    assert "executed (1 of 3 jobs, about 3 min left)" in capsys.readouterr().out


def test_what_was_made_is_told_with_the_next_command(tmp_path: Path, jobs: list[Job]) -> None:
    suite = located(tmp_path, suite_data())
    measure_all(suite, fp=0.5, lsq=0.4)
    found = plan(suite, "mini")
    outcomes = [Outcome(job, "executed" if job.row.id != "fp-ft" else "done") for job in found]
    title, table, following = tell_made(outcomes, Store(tmp_path))
    assert title.strip() == "made of toy/table1, tier mini:"
    assert [line.split() for line in table.splitlines()[2:]] == [
        ["fp", "32/32", "1", "50.00", "9", "s"],
        ["lsq", "2/2", "1", "40.00", "9", "s"],
    ]
    assert "`qdet-bench table toy/table1 --tier mini`" in following
    assert not [*tell_made([Outcome(job, "done") for job in found], Store(tmp_path))]


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--paper", "toy"], ["toy/table1"]),
        (["--paper", "other"], ["other/mine"]),
        (["--tier", "smoke"], ["other/mine"]),
        (["--state", "done"], ["toy/table1"]),
        (["--state", "missing", "--tier", "mini"], ["other/mine"]),
        (["--state", "failed"], []),
        ([], ["other/mine", "toy/table1"]),
    ],
)
def test_list_shows_what_is_asked_for(
    tmp_path: Path, options: list[str], shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = suite_data()
    data["tiers"]["mini"]["data"]["images"]["train"] = 9  # else its jobs are those of the other suite
    data["tiers"]["smoke"] = data["tiers"]["mini"] | {"seeds": 2}
    located(tmp_path, data, "other/mine")
    measure_all(located(tmp_path))
    assert main(["--root", str(tmp_path), "list", *options]) == 0
    out = capsys.readouterr().out
    assert [line.split()[0] for line in out.splitlines() if "Toy: " in line] == shown
    assert ("None of 2 suites is of that kind" in out) == (not shown)
    if "--tier" in options and shown:
        assert (
            len([line for line in out.splitlines() if line.startswith("  smoke:") or line.startswith("  mini:")]) == 1
        )


def test_list_names_the_folders_where_one_is_misspelt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    located(tmp_path)
    assert main(["--root", str(tmp_path), "list", "--paper", "yot"]) == 2
    assert "--paper yot: there is no such folder below suites/; there are toy" in capsys.readouterr().err
