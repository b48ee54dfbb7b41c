"""What holds between the rooms and no linter checks; import-linter holds their order."""

import re
from pathlib import Path

import bench

ROOMS = Path(bench.__file__).parent


def lines_with(pattern: str, room: Path) -> list[str]:
    return [
        f"{path.relative_to(ROOMS)}: {line.strip()}"
        for path in sorted(room.rglob("*.py"))
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(pattern, line)
    ]


def test_raw_protocols_are_read_by_records_alone() -> None:
    """Elsewhere a protocol is `bench.schema.protocol.Protocol`, or a part that a record hands out (`Record.part`)."""
    found = lines_with(r"(protocol|\.raw)\[", ROOMS)
    assert [line for line in found if not line.startswith("records/")] == []


def test_no_json_passes_through_the_engine() -> None:
    """It computes with models; only whole files are written as JSON, by `bench.records.files`."""
    assert lines_with(r"json\.(loads|dumps)|model_validate_json|model_dump_json", ROOMS / "engine") == []
    assert lines_with("json", ROOMS / "engine") != []
