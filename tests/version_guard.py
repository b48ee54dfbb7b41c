"""The committed prediction hashes of the smoke jobs, by environment key. Run as a module it adds this machine's."""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.records.record import Record

GUARD = Path(__file__).parent / "version_guard.json"


def load_guard() -> dict[str, dict[str, str]]:
    """Environment key -> identity -> hash of the predictions."""
    hashes: dict[str, dict[str, str]] = json.loads(GUARD.read_text(encoding="utf-8"))
    return hashes


def faults(found: Sequence[Record], expected: Mapping[str, str]) -> list[str]:
    """What is wrong with the predictions of `found`, given the hashes of one environment."""
    lines = []
    for record in found:
        name = record.provenance.asked_by
        known = expected.get(record.identity)
        if known is None:
            lines.append(f"{name}: its identity is new; run `python -m tests.version_guard` and commit the result")
        elif known != record.predictions.digest:
            lines.append(f"{name}: its predictions changed, but no version was raised (see bench/*/__init__.py)")
    return lines


def main() -> None:
    """Run the smoke jobs and write their hashes."""
    sys.path.insert(0, str(Path(__file__).parent))
    from conftest import SUITE, bench, make_root

    from bench.records.store import Store

    with tempfile.TemporaryDirectory() as folder:
        root = make_root(Path(folder) / "root")
        bench(root, "run", SUITE, "--tier", "smoke", fresh=True)
        found = list(Store(root).records())
    guard = load_guard() if GUARD.is_file() else {}
    for record in found:
        # Rows without quantizers have the key of no kernels.
        guard.setdefault(record.environment_key, {})[record.identity] = record.predictions.digest
    GUARD.write_text(json.dumps(guard, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
