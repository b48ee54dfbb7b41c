"""From a suite to its finished table: what is gathered, how it is written, and the command that does it again."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.records.files import write_text
from bench.report.render import render
from bench.report.table import Table, build
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import accept, load
from bench.verdict.claims import keep_differences
from bench.verdict.committed import gather_committed
from bench.verdict.gather import Results, gather
from bench.verdict.references import published_table


def make_table(suite: Located, tier: Tier, committed: bool, columns: Sequence[str] = ()) -> Table:
    """The table of a suite, of local or of committed results; `columns` as `build` has them."""
    published = published_table(suite)
    if committed:
        return build(gather_committed(suite, tier), published, None, committed=True, wanted=columns)
    return build(gather(suite, tier), published, load(suite, tier), wanted=columns)


def table_file(suite: Located, tier: Tier) -> Path:
    """Where the committed table of a suite stands, whether it exists or not."""
    return suite.root / "results" / f"{suite.name}.{tier}.md"


def cost_file(suite: Located, tier: Tier) -> Path:
    """Where `show --cost --keep` leaves what each row costs, for reports, which build no detectors."""
    return suite.root / "results" / f"{suite.name}.{tier}.cost.json"


def committed_text(suite: Located, tier: Tier) -> str:
    """The committed table, made of the baseline's records."""
    return as_file(make_table(suite, tier, committed=True))


def as_file(table: Table) -> str:
    """A committed table as its file below `results/` has it."""
    return render([table], "github", command([table.suite], table.tier, committed=True))


def accept_results(results: Results, rows: Sequence[str] = ()) -> list[Path]:
    """Make local records the baseline (as `bench.verdict.baseline.accept`), and write the table of it; the files."""
    suite, tier = results.located, results.tier
    files = [accept(results, rows)]
    if tier == "smoke":
        return files  # a few steps on a few images: never shown as results
    files += keep_differences(results)
    path = table_file(suite, tier)
    save(path, committed_text(suite, tier))
    return [*files, path]


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


def keep_json(path: Path, value: Any) -> None:
    """Write facts for other commands; BenchError where the file cannot be written."""
    save(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
