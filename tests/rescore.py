"""`python -m tests.rescore [ROOT]`: the numbers of stored records, computed again from their predictions.

Says of each record with predictions and data below ROOT whether its metrics and those of each category are, to the last
bit, what scoring gives now; exits 1 where one differs. Records of earlier versions were scored by pycocotools.
"""

import sys
from pathlib import Path

from bench.errors import BenchError
from bench.evaluation.metric import metric_of
from bench.records.record import Record
from bench.records.store import Store
from bench.schema.base import parse
from bench.schema.suite import Metric
from bench.verdict.sides import Side, data_of, detections_of


def differences(record: Record, side: Side, root: Path) -> list[str]:
    """The numbers that are no longer the record's."""
    scores = metric_of(parse(Metric, record.part("metric"))).score(data_of(side, root).coco, detections_of(side))
    found = [name for name, value in record.metrics.items() if scores.metrics.get(name) != value]
    for name, values in record.per_category.items():
        # An old record has no recalls of single categories.
        now = scores.per_category.get(name, {})
        found += [name] if {key: now.get(key) for key in values} != values else []
    return found


def main() -> int:
    root = Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
    counts = {"equal": 0, "different": 0, "left out": 0}
    store = Store(root)
    for path in sorted(store.jobs.glob("*/record.json")):
        folder = store.folder(path.parent.name)
        record = folder.record()
        assert record is not None
        try:
            found = differences(record, Side(record.provenance.asked_by, record, folder.predictions), root)
        except BenchError as error:
            counts["left out"] += 1
            print(f"{path.parent.name}: left out: {error}")
            continue
        counts["different" if found else "equal"] += 1
        if found:
            print(f"{path.parent.name}, {record.scorer}: {', '.join(found)}")
    print(", ".join(f"{count} {what}" for what, count in counts.items()))
    return 1 if counts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
