"""Names of metrics: `AP50` over all categories, `vehicle.AP50` over those of a group."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, WithJsonSchema

from bench.schema.faults import unknown
from bench.schema.group import GROUP

COCO = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L", "AR1", "AR10", "AR100", "AR_S", "AR_M", "AR_L")
"""In the order of `COCOeval.stats`; S, M, L are the area ranges, AR1 the recall at one box an image."""
VOC = ("mAP",)
HARMONY = ("gap_share",)
_SCORES = (*COCO, *VOC)


class Named(NamedTuple):
    """The two parts of a metric's name."""

    group: str | None
    """None: all categories."""
    metric: str


def parts(name: str) -> Named:
    """`vehicle.AP50` as group and metric."""
    group, dot, metric = name.rpartition(".")
    return Named(group if dot else None, metric)


def _known(name: str) -> str:
    group, metric = parts(name)
    if group is not None and not re.fullmatch(GROUP, group):
        raise ValueError(f"{name!r} is no metric of a group: its name comes first, as in vehicle.AP")
    known = (*_SCORES, *HARMONY) if group is None else _SCORES
    if metric not in known:
        raise ValueError(unknown("metric" if group is None else "metric of a group", metric, known))
    return name


MetricName = Annotated[
    str,
    AfterValidator(_known),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": [*_SCORES, *HARMONY]},
                {"type": "string", "pattern": f"^{GROUP}\\.({'|'.join(_SCORES)})$"},
            ]
        }
    ),
]
"""A number over all categories, or over those of a group: `GROUP.METRIC`."""
