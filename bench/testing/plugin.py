"""Options, collection and the fixture, as pytest finds them by the entry point `qdet`.

It is loaded by every run of pytest where the package is installed, so what costs time is imported where it is used.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from bench.testing.fixture import Qdet

TIERS = ("smoke", "mini", "midi", "paper")
KINDS = {
    "row": "a row against its baseline",
    "pins": "where a row has its quantizers",
    "claim": "a claim of the suite",
    "reference": "a published number, at tier paper",
    "table": "the committed table against its records",
}
"""What a test of a suite is about."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """All options and settings are called `qdet`."""
    group = parser.getgroup("qdet", "qdet-bench: suites as tests")
    group.addoption("--qdet-run", action="store_true", help="run what has no record, at whatever tier is selected")
    group.addoption("--qdet-committed", action="store_true", help="check committed records alone, not the local store")
    group.addoption("--qdet-strict", action="store_true", help="a record that is absent fails, instead of a skip")
    group.addoption(
        "--qdet-update-baselines",
        action="store_true",
        help="accept what has moved: show the differences, then write the baselines",
    )
    parser.addini("qdet_root", "folder that holds suites/, baselines/ and results/ (default: rootdir)", default="")
    parser.addini(
        "qdet_xfail",
        "tests that are expected to fail, as SUITE:TIER:KIND:ID and the reason, one a line",
        type="linelist",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Markers of tiers and kinds; refuse a root that is not there, and an expected failure without a reason."""
    for tier in TIERS:
        config.addinivalue_line("markers", f"qdet_{tier}: a test of a suite at tier {tier}")
    for kind, what in KINDS.items():
        config.addinivalue_line("markers", f"qdet_{kind}: {what}")
    for line in config.getini("qdet_xfail"):
        if len(line.split(None, 1)) < 2:
            raise pytest.UsageError(f"qdet_xfail: {line}: a reason must follow the name")
    if not root_of(config).is_dir():
        raise pytest.UsageError(f"qdet_root: {config.getini('qdet_root')}: no such folder below {config.rootpath}")
    if config.getoption("qdet_update_baselines") and config.getoption("qdet_committed"):
        raise pytest.UsageError("--qdet-update-baselines writes local records, --qdet-committed leaves them out")


def root_of(config: pytest.Config) -> Path:
    """The folder that holds `suites/`."""
    return config.rootpath / str(config.getini("qdet_root"))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite file, and no other YAML: only what lies below `suites/` of the root."""
    if file_path.suffix != ".yaml" or file_path.name == "dvc.yaml":
        return None
    if root_of(parent.config) / "suites" not in file_path.parents:
        return None
    from bench.testing.collect import SuiteFile

    return SuiteFile.from_parent(parent, path=file_path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse an expected failure without a reason, whoever marked it."""
    for item in items:
        for mark in item.iter_markers("xfail"):
            if hasattr(item, "qdet_address") and not mark.kwargs.get("reason"):
                raise pytest.UsageError(f"{item.nodeid}: xfail needs a written reason")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Update baselines once all tests have run: by one process, after the differences were shown."""
    # A worker of pytest-xdist has a summary too, of its own part.
    if not config.getoption("qdet_update_baselines") or hasattr(config, "workerinput"):
        return
    from bench.testing.update import update

    # Among what is told of are the tests that `-k` and `-m` left out: items, not reports.
    stats = terminalreporter.stats.values()
    reports = [report for found in stats for report in found if isinstance(report, pytest.TestReport)]
    named = (str(value) for report in reports for name, value in report.user_properties if name == "qdet")
    terminalreporter.section("qdet baselines")
    for line in update(root_of(config), dict.fromkeys(named)):
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def qdet(pytestconfig: pytest.Config) -> "Iterator[Qdet]":
    """Records for assertions of your own: `qdet.record("mine/table:row").metrics["AP"]`."""
    from bench.testing.fixture import Qdet

    yield Qdet(
        root_of(pytestconfig),
        strict=pytestconfig.getoption("qdet_strict"),
        committed=pytestconfig.getoption("qdet_committed"),
    )
