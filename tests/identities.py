"""The identity of every job of every suite and tier, one a line: `python -m tests.identities > FILE` on two commits.

A change that must move no number leaves the list as it is; one that moves some changes their lines and no others.
"""

from pathlib import Path

from bench.plan.jobs import plan
from bench.schema.load import load_all


def main() -> None:
    """Print them."""
    suites, errors = load_all(Path(__file__).parents[1])
    for name, error in errors.items():
        print(f"{name}: {error}")
    for located in suites:
        for tier in located.suite.tiers:
            for job in plan(located, tier):
                print(job.name, job.identity)


if __name__ == "__main__":
    main()
