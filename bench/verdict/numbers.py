"""The numbers of a record: over all categories, and over those of each group."""

from bench.evaluation.groups import group_numbers
from bench.evaluation.metric import METRICS
from bench.records.record import Record
from bench.schema.base import parse
from bench.schema.group import Groups
from bench.schema.suite import Metric


def numbers(record: Record, groups: Groups) -> dict[str, float]:
    """The record's metrics, and `GROUP.METRIC` of the groups whose categories it has.

    They follow from the metrics of single categories that it keeps; of old records these have no recalls.
    """
    if not groups or record.variant not in METRICS:
        return record.metrics
    metric = METRICS[record.variant](parse(Metric, record.part("metric")))
    return record.metrics | group_numbers(metric, record.per_category, groups)
