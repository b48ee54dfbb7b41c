"""From a suite to its finished table: what is gathered, how it is written, and the command that does it again."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError
from bench.records.files import write_text
from bench.report.table import Table, build
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import gather_committed, load
from bench.verdict.gather import gather
from bench.verdict.references import published_table


def make_table(suite: Located, tier: Tier, committed: bool) -> Table:
    """The table of a suite, of local or of committed results."""
    published = published_table(suite)
    if committed:
        return build(gather_committed(suite, tier), published, None, committed=True)
    return build(gather(suite, tier), published, load(suite, tier))


def command(
    suites: list[str],
    tier: str,
    committed: bool,
    form: str = "github",
    core: bool = False,
    paper: bool = False,
    columns: Sequence[str] = (),
) -> str:
    """The command that makes the same table; without paths, which differ from machine to machine."""
    options = [word for word, given in (("--core", core), ("--committed", committed)) if given]
    options += [f"--format {form}"] if form != "github" else []
    options += ["--paper"] if paper else []
    options += [shlex.join(["--columns", *columns])] if columns else []
    return " ".join(["qdet-bench table", *suites, f"--tier {tier}", *options])


def save(path: Path, text: str) -> None:
    """Write a table; BenchError where the file cannot be written."""
    try:
        write_text(path, text)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written: {error.strerror}") from None
