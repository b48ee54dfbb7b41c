"""The notes below a table: where its numbers come from and what they do not say."""

from collections.abc import Iterator
from statistics import fmean

from bench.evaluation.metric import metric_of
from bench.records.record import Record
from bench.report.wording import DOUBTFUL, EXTERNAL, grouped
from bench.schema.published import PublishedTable
from bench.statistics.environments import p_of_no_difference
from bench.verdict.faults import fault, headline, sound_external, taint, undefined
from bench.verdict.gather import JobResult, Results
from bench.verdict.references import published_row
from bench.verdict.verdicts import Verdict

PROBLEMS = 3
"""Problems of the data that a note quotes."""


def caution(results: Results, table: PublishedTable | None) -> str | None:
    """Keeps a reader from comparing columns that cannot be compared; None where they can."""
    if results.tier == "paper":
        return None
    smoke = "A few training steps on a few images: a test of the machinery, no result."
    published = [published_row(row.row, table) for row in results.rows]
    sets = ", ".join(dict.fromkeys(row.dataset for row in published if row is not None))
    other = (
        f"The paper's numbers are of {sets}: compare none of them with these, only rows of one table with each other. "
        "Nothing here confirms or refutes the paper."
    )
    return " ".join([*([other] if sets else []), *([smoke] if results.tier == "smoke" else [])]) or None


def notes(results: Results, table: PublishedTable | None, verdicts: list[Verdict], committed: bool) -> Iterator[str]:
    """What a reader of the numbers must know; `provenance` has the rest."""
    spec = results.located.suite.tiers[results.tier]
    yield f"Measured: {metric_of(spec.metric).words()}; of several runs the mean."
    if table is None and (named := results.located.suite.published) is not None:
        yield f"The paper's numbers, {named.table} of {named.file}.yaml, are not below this root."
    yield from _of_rows(results)
    sound = [(r.job, r.record) for r in results.jobs if r.record is not None and fault(r) is None]
    pairs = [(job.row.id, record) for job, record in sound]
    yield from _tainted(pairs)
    yield from _dirty(results)
    yield from _external(results)
    for verdict in verdicts:
        if verdict.kind == "baseline" and verdict.message:
            seed = "" if verdict.repetition is None else f" seed {verdict.repetition}"
            yield f"Baseline, {verdict.row}{seed}: {verdict.status}: {verdict.message}"
    if committed:
        yield from _stale(results)


def _of_rows(results: Results) -> Iterator[str]:
    """What suites say of their rows; rows of which the same is said share a line."""
    said: dict[str, list[str]] = {}
    for row in (found.row for found in results.rows):
        texts = [
            f"reconstruction, {row.reconstruction}" if row.reconstruction is not None else None,
            f"scored on the {row.scored} split, which no verdict uses" if row.scored != "test" else None,
            row.note,
        ]
        for text in filter(None, texts):
            said.setdefault(text, []).append(f"{row.label} {row.bits}")
    every = [f"{found.row.label} {found.row.bits}" for found in results.rows]
    for text, rows in said.items():
        others = [name for name in every if name not in rows]
        alike = f"All rows but {'; '.join(others)}" if len(others) < len(rows) / 2 else "; ".join(rows)
        yield f"{alike if others else 'All rows'}: {text}"


def provenance(results: Results, table: PublishedTable | None) -> Iterator[str]:
    """Where the numbers come from: the paper first, then times, data, environments and code."""
    if table is not None:
        yield from _published(results, table)
    sound = [(r.job.row.id, r.record) for r in results.jobs if r.record is not None and fault(r) is None]
    external: list[tuple[str, Record]] = [
        (f"{row.row.id} {EXTERNAL}", e) for row in results.rows for e in sound_external(row)
    ]
    yield from _measurement(sound, external)


def _published(results: Results, table: PublishedTable) -> Iterator[str]:
    source = table.source
    link = f", arXiv {source.arxiv}" if source.arxiv else ""
    yield (
        f"Paper: {source.paper}{link}, {source.where} ({table.id}): {table.title}; metric {table.metric}, "
        f"trust mark {table.trust} (baselines/published/README.md). {table.note or ''}".rstrip()
    )
    for row in results.rows:
        published = published_row(row.row, table)
        if published is None:
            continue
        name = f"{published.method} {published.bits}"
        if published.doubtful is not None:
            yield f"{DOUBTFUL} {name}: doubtful: {published.doubtful}"
        if published.unknown is not None:
            yield f"Paper, {name}: {published.unknown} unknown, so at most compatible"
        if published.note is not None:
            yield f"Paper, {name}: {published.note}"


def _tainted(pairs: list[tuple[str, Record]]) -> Iterator[str]:
    found = [(row, f"tainted: {why}") for row, record in pairs if (why := taint(record)) is not None]
    yield from grouped(found, len({row for row, _ in pairs}))


def _dirty(results: Results) -> Iterator[str]:
    dirty = [r.job for r in results.jobs if r.record is not None and r.record.provenance.dirty]
    if dirty:
        rows = dict.fromkeys(job.row.id for job in dirty)
        runs = (f"{row} {', '.join(str(job.repetition) for job in dirty if job.row.id == row)}" for row in rows)
        yield f"Run from trees with changes that were not committed, so no claim counts them: {'; '.join(runs)}."


def _external(results: Results) -> Iterator[str]:
    for result in (result for row in results.rows for result in row.external):
        name = f"{result.row} seed {result.repetition}"
        if result.record is None or (why := undefined(result.record)) is not None:
            why = f"{result.state}: {result.reason}" if result.record is None else why
            yield f"{EXTERNAL} {name} is left out: {why}"
            continue
        submitted = result.record.submitted
        told = f" Note: {submitted.note}" if submitted.note else ""
        yield (
            f"{EXTERNAL} {name}: predictions computed elsewhere, {submitted.described}; scored here by "
            f"{result.record.scorer}, apart from the baseline of our runs.{told}"
        )


def _stale(results: Results) -> Iterator[str]:
    done = [r for r in results.jobs if r.record is not None]
    old = [r for r in done if is_stale(r)]
    if old:
        names = ", ".join(dict.fromkeys(r.job.row.id for r in old))
        yield f"Committed under an earlier protocol than the suite declares now: {names}."
    if any(r.job.blocked is not None for r in done):
        yield "The data are not here, so whether the suite still declares this protocol was not checked."


def is_stale(result: JobResult) -> bool:
    """Whether a committed record is of an earlier protocol; not where that cannot be told, its data being absent."""
    return result.job.blocked is None and result.record is not None and result.record.identity != result.job.identity


def _measurement(pairs: list[tuple[str, Record]], external: list[tuple[str, Record]]) -> Iterator[str]:
    among = len({row for row, _ in [*pairs, *external]})
    runs: dict[str, list[Record]] = {}
    for row, record in pairs:
        runs.setdefault(row, []).append(record)
    if pairs:
        yield f"Training steps and wall time of each row's runs: {'; '.join(_runs(pairs))}."
    for say in (_data, _environment, _code):
        yield from grouped(((row, say(record)) for row, record in [*pairs, *external]), among)
    if several := [text for row in runs if (text := _by_environment(row, runs[row])) is not None]:
        yield f"Rows by environment, with the p of no difference between them (F): {'; '.join(several)}."


def _runs(pairs: list[tuple[str, Record]]) -> Iterator[str]:
    """Steps and seconds of a row; of several runs the shortest and the longest."""
    times: dict[str, list[float]] = {}
    for row, record in pairs:
        steps = f"{record.training.steps} steps, " if record.training is not None else ""
        times.setdefault(f"{row} {steps}", []).append(sum(phase.wall_s for phase in record.cost.phases.values()))
    for row, took in times.items():
        low, high = min(took), max(took)
        yield row + (f"{high:.0f} s" if len(took) == 1 else f"{low:.0f} to {high:.0f} s in {len(took)} runs")


def _by_environment(row: str, records: list[Record]) -> str | None:
    """What each environment measured of a row, and whether they differ; None where all runs are of one."""
    groups: dict[str, list[float]] = {}
    for record in records:
        if (name := headline(record)) is not None:
            groups.setdefault(record.environment_key, []).append(100 * record.metrics[name])
    if len(groups) < 2:
        return None
    p = p_of_no_difference(list(groups.values()))
    each = ", ".join(f"{fmean(values):.2f} in {len(values)} of {key}" for key, values in groups.items())
    return f"{row} {each}" + ("" if p is None else f" (p {p:.3f})")


def _data(record: Record) -> str:
    data = record.data
    plain = {
        name: [f"{n} {what}".replace("_", " ") for what, n in counts.items() if n]
        for name, counts in data.splits.items()
    }
    splits = "; ".join(f"{name} {', '.join(counts)}" for name, counts in plain.items())
    found = f"problems found by the reader: {'; '.join(data.problems[:PROBLEMS])}" if data.problems else "no problems"
    more = f" and {len(data.problems) - PROBLEMS} more" if len(data.problems) > PROBLEMS else ""
    return f"Data {data.pin[:19]}…: {splits}; {found}{more}."


def _environment(record: Record) -> str:
    facts = record.environment
    packages = facts.get("packages", {})
    libraries = ", ".join(f"{name} {packages[name]}" for name in ("torch", "mmdet", "pycocotools") if name in packages)
    return (
        f"Environment {record.environment_key}: {processor(str(facts.get('processor')))}, {facts.get('device')}, "
        f"{libraries}, kernels {facts.get('kernels')}, threads {facts.get('threads')}."
    )


def processor(text: str) -> str:
    """The model without its long list of vector extensions, which the key covers."""
    return " ".join(word for word in text.split() if not word.startswith(("amx", "avx", "fma", "sse4")))


def _code(record: Record) -> str:
    origin = record.provenance
    state = {None: "", False: "", True: ", with changes that were not committed"}[origin.dirty]
    return f"Code: commit {(origin.commit or 'unknown')[:12]}{state}, source {origin.source[:12]}."
