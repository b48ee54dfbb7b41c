"""`qdet-bench check`: verdicts against baselines and published numbers."""

import argparse
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.cli.common import add_json, add_suites, located, print_json
from bench.errors import Exit, UsageError

if TYPE_CHECKING:
    from bench.schema.load import Located
    from bench.schema.suite import Tier
    from bench.verdict.claims import ClaimVerdict
    from bench.verdict.verdicts import Verdict


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "check",
        help="verdicts on what was measured",
        description="Verdicts on what was measured: placement, absent metrics, our own baseline, "
        "published numbers (tier paper only), claims of the suite. Exit 1: one fails; 3: results are absent.",
        epilog="--gate lets absent results pass, but not all: it exits 3 where no row of a suite could be compared "
        "with its baseline. `all` counts as one suite.",
    )
    add_suites(parser)
    parser.add_argument("--gate", action="store_true", help="exit 1 where a row fails, 3 where none was compared, or 0")
    parser.add_argument("--allow-uncompared", action="store_true", help="with --gate: exit 0 where none was compared")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0, 1 where one fails, 3 where results are absent, or of a gate where nothing was compared."""
    from bench.verdict.baseline import load
    from bench.verdict.check import judge
    from bench.verdict.claims import judge as judge_claims
    from bench.verdict.external import load_external
    from bench.verdict.gather import gather
    from bench.verdict.references import published_table

    if args.allow_uncompared and not args.gate:
        raise UsageError("--allow-uncompared belongs to --gate")
    judged = []
    for suite in located(args):
        results, external = gather(suite, args.tier), load_external(suite, args.tier)
        verdicts = judge(results, load(suite, args.tier), published_table(suite), external)
        judged.append(_Judged(suite, args.tier, verdicts, judge_claims(results)))
    code = _exit_code(judged, args)
    if args.json:
        print_json({"exit": code, "suites": [_as_json(found) for found in judged]})
    else:
        print("\n\n".join(_text(found, args.gate) for found in judged))
    return code


def _exit_code(judged: "list[_Judged]", args: argparse.Namespace) -> "Exit":
    """Claims are statistics, not gates: none of them makes the command fail."""
    from bench.verdict.verdicts import exit_code, gate_code

    verdicts = [found.verdicts for found in judged]
    whole = [verdict for each in verdicts for verdict in each]
    if not args.gate:
        return exit_code(whole)
    gates = [whole] if args.suites == ["all"] else verdicts
    codes = [gate_code(each, allow_uncompared=args.allow_uncompared) for each in gates]
    return next((code for code in (Exit.FAILED, Exit.INCOMPLETE) if code in codes), Exit.OK)


class _Judged(NamedTuple):
    suite: "Located"
    tier: "Tier"
    verdicts: "list[Verdict]"
    claims: "list[ClaimVerdict]"

    @property
    def rows(self) -> set[str]:
        """Rows of which something is said beside that they are not run."""
        own = (v for v in self.verdicts if v.kind in ("result", "baseline") and v.status != "not run")
        return {v.row for v in own} | {f"{v.row} (external)" for v in self.verdicts if v.kind == "external"}

    @property
    def compared(self) -> set[str]:
        from bench.verdict.verdicts import compared

        return compared(self.verdicts)


def _as_json(found: _Judged) -> dict[str, Any]:
    from bench.plan.evidence import as_json as evidence

    return {
        "suite": found.suite.name,
        "tier": found.tier,
        "counts": _counts(found.verdicts),
        "rows": len(found.rows),
        "compared": len(found.compared),
        "verdicts": [verdict.as_json() for verdict in found.verdicts],
        "evidence": evidence(found.suite.suite, found.tier),
        "claims": [claim.as_json() for claim in found.claims],
    }


def _text(found: _Judged, gate: bool) -> str:
    from bench.report.layout import fold, table

    suite, tier, verdicts, claims = found
    cells, notes = _lines(verdicts, tier)
    parts = [
        f"{suite.name}, tier {tier}",
        table(["row", "seed", "verdict", ""], cells, numeric=(1,)),
        *map(fold, notes),
    ]
    if tier != "paper" and any(v.kind == "reference" for v in verdicts):
        parts.append("Published numbers: not run at tier paper.")
    if claims:
        parts.append(_claims(found))
    counts = ", ".join(f"{number} {status}" for status, number in _counts(verdicts).items())
    parts.append(fold(f"{suite.name}: {counts}"))
    if gate:
        parts.append(f"{suite.name}: {len(found.compared)} of {len(found.rows)} rows compared with their baseline")
    return "\n".join(parts)


def _lines(verdicts: "list[Verdict]", tier: "Tier") -> tuple[list[list[str]], list[str]]:
    """Cells, of repetitions that say the same in one line, and what their marks stand for."""
    from bench.report.layout import collapse, spans

    lines: dict[tuple[str, str, str], list[int]] = {}
    for v in verdicts:
        # Away from tier `paper` all references read the same: one line says it.
        if v.kind != "reference" or tier == "paper":
            seeds = lines.setdefault((v.row, _status(v), " ".join(v.message.split())), [])
            seeds += [] if v.repetition is None else [v.repetition]
    messages, notes = collapse([message for *_, message in lines])
    cells = [
        [row, spans(seeds), status, message]
        for ((row, status, _), seeds), message in zip(lines.items(), messages, strict=True)
    ]
    return cells, notes


def _claims(found: _Judged) -> str:
    from bench.report.claims import grids, notes
    from bench.report.layout import fold
    from bench.report.text import grid_text

    parts = [grid_text(grid) for grid in grids(found.claims, found.suite.suite, found.tier)]
    return "\n".join([*parts, *map(fold, notes(found.claims, found.suite.suite, found.tier))])


def _status(verdict: "Verdict") -> str:
    status = f"paper: {verdict.status}" if verdict.kind == "reference" else verdict.status
    return f"{status}, tainted: {verdict.taint}" if verdict.taint else status


def _counts(verdicts: "list[Verdict]") -> dict[str, int]:
    """Number of verdicts of each status, references left out."""
    found = [verdict.status for verdict in verdicts if verdict.kind != "reference"]
    return {status: found.count(status) for status in dict.fromkeys(found)}
