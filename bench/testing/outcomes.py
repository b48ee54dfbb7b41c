"""What a test of a suite says, from stored and committed records; knows nothing of pytest."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

from bench.plan.changes import changes
from bench.plan.jobs import Job
from bench.records.record import Record
from bench.schema.load import Located
from bench.schema.suite import Tier
from bench.verdict.baseline import Baseline, load
from bench.verdict.check import judge
from bench.verdict.claims import ClaimVerdict
from bench.verdict.claims import judge as judge_claims
from bench.verdict.external import load_external
from bench.verdict.faults import fault, misplaced
from bench.verdict.gather import JobResult, Results, RowResult, collect, gather
from bench.verdict.references import judge_references, published_table
from bench.verdict.verdicts import FAILING, MOVED, Verdict

Status = Literal["passed", "failed", "missing", "undecided"]
"""`missing`: there is no record; `undecided`: there is one, but it does not tell."""


class Outcome(NamedTuple):
    """Of one test."""

    status: Status
    message: str = ""
    warning: str | None = None


@dataclass(frozen=True)
class Scene:
    """A suite at a tier: local records, and committed ones where there are none here."""

    located: Located
    tier: Tier
    committed: bool = False
    """Leave local records out."""
    accepting: bool = False
    """What has moved is accepted, so it does not fail."""

    @cached_property
    def baseline(self) -> Baseline | None:
        """Of our own runs."""
        return load(self.located, self.tier)

    @cached_property
    def local(self) -> Results:
        """What the local store has."""
        if self.committed:
            return collect(self.located, self.tier, lambda job: JobResult(job, "absent"))
        return gather(self.located, self.tier)

    @cached_property
    def merged(self) -> Results:
        """Each job with its local record or failure, or else with its committed record."""
        local = {result.job.identity: result for result in self.local.jobs}

        def find(job: Job) -> JobResult:
            here = local.get(job.identity, JobResult(job, "absent"))
            record = self._committed(job)
            return here if here.state in ("done", "failed") or record is None else JobResult(job, "done", record)

        return collect(
            self.located, self.tier, find, lambda job: job.identity in local or self._committed(job) is not None
        )

    @cached_property
    def _verdicts(self) -> list[Verdict]:
        external = None if self.committed else load_external(self.located, self.tier)
        return judge(self.local, self.baseline, None, external)

    @cached_property
    def _claims(self) -> dict[str, ClaimVerdict]:
        return {found.claim.id: found for found in judge_claims(self.merged)}

    def _committed(self, job: Job) -> Record | None:
        return None if self.baseline is None else self.baseline.record(job.row.id, job.repetition)

    def command(self, rows: Iterable[str]) -> str:
        """What makes the records of these rows."""
        return f"qdet-bench run {self.located.name} --tier {self.tier} --rows {' '.join(rows)}"

    def row(self, row: str) -> Outcome:
        """A row's own runs and what was submitted to it: sound, and where the baseline says."""
        here = _row(self.local, row)
        settled = {result.job.repetition for result in here.jobs if result.state in ("done", "failed")}
        committed = [result for result in _row(self.merged, row).jobs if result.job.repetition not in settled]
        verdicts = [v for v in self._verdicts if v.row == row and v.status not in ("absent", "blocked", "not run")]
        passing = MOVED if self.accepting else frozenset()
        wrong = [f"{_name(v)}: {v.status}: {v.message}" for v in verdicts if v.status in FAILING - passing]
        found = [_sound(result) for result in committed if result.record is not None]
        wrong += [one.message for one in found if one.status == "failed"]
        if wrong:
            return Outcome("failed", "\n".join(wrong))
        lacking = [result for result in committed if result.record is None]
        if lacking and not verdicts:
            blocked = next((result.reason for result in lacking if result.state == "blocked"), None)
            seeds = ", ".join(str(result.job.repetition) for result in lacking)
            why = f"blocked: {blocked}" if blocked else f"no record of seed {seeds}: {self.command([row])}"
            return Outcome("missing", why)
        open_ = [f"{_name(v)}: {v.status}: {v.message}" for v in verdicts if v.status in ("inconclusive", "stale")]
        warning = next((one.warning for one in found if one.warning), None)
        return Outcome("undecided", "\n".join(open_)) if open_ else Outcome("passed", warning=warning)

    def pins(self, row: str) -> Outcome:
        """The quantizers of a row's runs against the counts that the suite pins."""
        results = [result for result in _row(self.merged, row).jobs if result.record is not None]
        if not results:
            return Outcome("missing", f"no record: {self.command([row])}")
        found = [misplaced(result) for result in results]
        wrong = [f"seed {r.job.repetition}: {why}" for r, why in zip(results, found, strict=True) if why]
        if wrong:
            return Outcome("failed", "\n".join(wrong))
        if all(why is None for why in found):
            return Outcome("undecided", f"its records were placed by an earlier policy: {self.command([row])}")
        return Outcome("passed")

    def claim(self, claim: str) -> Outcome:
        """A claim over all records that there are."""
        found = self._claims[claim]
        if found.status == "no result":
            return Outcome("missing", f"{found.message}: {self.command(dict.fromkeys(found.claim.rows))}")
        answer = found.answer
        ends = (
            "" if answer.lower is None or answer.upper is None else f", from {answer.lower:+.2f} to {answer.upper:+.2f}"
        )
        gain = (
            ""
            if answer.mean is None
            else f"gain {answer.mean:+.2f}{ends}, {answer.n} {'images' if found.over == 'images' else 'pairs'}"
        )
        words = ", ".join(filter(None, [f"{found.claim.text}: {found.status}", gain, found.message]))
        status: dict[str, Status] = {"holds": "passed", "fails": "failed" if found.claim.gates else "undecided"}
        return Outcome(status.get(found.status, "undecided"), words)

    def reference(self, row: str) -> Outcome:
        """A published number, which is judged at tier `paper` alone."""
        verdicts = [v for v in judge_references(self.merged, published_table(self.located)) if v.row == row]
        words = "\n".join(f"{v.status}: {v.message}" for v in verdicts)
        statuses = {verdict.status for verdict in verdicts}
        if "not reproduced" in statuses:
            return Outcome("failed", words)
        if statuses == {"not run"}:
            return Outcome("missing", f"{words}: {self.command([row])}")
        return Outcome("passed" if statuses == {"reproduced"} else "undecided", words)

    def table(self, _: str) -> Outcome:
        """The committed table is the one that its records make, so neither was changed by hand."""
        from bench.report.make import committed_text, table_file

        blocked = next((r.job.blocked for r in self.merged.jobs if r.job.blocked is not None), None)
        if blocked is not None:
            return Outcome("undecided", f"what it says of protocols needs the data: {blocked}")
        path = table_file(self.located, self.tier)
        if path.read_text(encoding="utf-8") == committed_text(self.located, self.tier):
            return Outcome("passed")
        return Outcome("failed", f"{path}: is not what its records make; `qdet-bench accept` writes both")


def _row(results: Results, row: str) -> RowResult:
    return next(found for found in results.rows if found.row.id == row)


def _name(verdict: Verdict) -> str:
    seed = "" if verdict.repetition is None else f" seed {verdict.repetition}"
    return f"{verdict.row}{seed}{' (external)' if verdict.kind == 'external' else ''}"


def _sound(result: JobResult) -> Outcome:
    """A committed record without a local one: a result, of the data and the metric that the suite declares."""
    record, job = result.record, result.job
    assert record is not None
    where = f"{job.row.id} seed {job.repetition}, committed"
    if (why := fault(result)) is not None:
        return Outcome("failed", f"{where}: {why}")
    if job.blocked is not None or record.identity == job.identity:
        return Outcome("passed")
    now, then = job.raw, record.protocol
    for part in ("metric", "data"):
        if differences := changes({part: then.get(part)}, {part: now[part]}):
            return Outcome("failed", f"{where}: the suite declares another {part} now: {'; '.join(differences)}")
    what = "; ".join(changes(then, now)[:2])
    return Outcome("passed", warning=f"{where}: of an earlier protocol than the suite declares now ({what})")
