"""Measure all rates and write `results/statistics/coverage.json` and `.md`; about 20 minutes on one core."""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.records.files import write_json, write_text
from tests.coverage.claims import claims, regimes
from tests.coverage.images import coverage
from tests.coverage.null import false_positives
from tests.coverage.rates import Rate
from tests.coverage.report import TITLES, markdown, merged, summary
from tests.coverage.seeds import intervals, pipelines

FOLDER = Path(__file__).parents[2] / "results" / "statistics"


def main() -> int:
    """0; 1 where a rate does not meet its bar."""
    parser = argparse.ArgumentParser(prog="python -m tests.coverage", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--data-sets", type=int, default=2000, help="of each design (default: 2000)")
    parser.add_argument("--claims", type=int, default=10_000, help="tables of claims (default: 10000)")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder (default: results/statistics)")
    parser.add_argument("--only", choices=TITLES, help="measure this group anew and keep the others as they were")
    args = parser.parse_args()
    measure: dict[str, Callable[[], Iterable[Rate]]] = {
        "seeds": lambda: intervals(args.data_sets),
        "pipelines": lambda: pipelines(args.data_sets),
        "claims": lambda: claims(args.claims),
        "regimes": lambda: regimes(args.data_sets),
        "null": lambda: false_positives(args.data_sets, args.jobs),
        "images": lambda: coverage(args.data_sets, args.jobs),
    }
    begin, groups = time.monotonic(), {}
    for name in [args.only] if args.only else TITLES:
        groups[name] = []
        for rate in measure[name]():
            print(f"{time.monotonic() - begin:6.0f} s  {rate.what}: {rate.value:.4f}", flush=True)
            groups[name].append(rate)
    found = summary(groups, args.jobs, time.monotonic() - begin)
    if args.only:
        found = merged(json.loads((args.output / "coverage.json").read_text(encoding="utf-8")), found)
    write_json(args.output / "coverage.json", found)
    write_text(args.output / "coverage.md", markdown(found))
    return 0 if all(rate.met is not False for rates in groups.values() for rate in rates) else 1


if __name__ == "__main__":
    raise SystemExit(main())
