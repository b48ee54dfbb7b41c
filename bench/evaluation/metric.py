"""The metrics, one class for each variant that a suite may name; all that differs from metric to metric is here.

A new metric is its name in `bench.schema.suite.Metric`, a class below, an entry in `METRICS`, and what computes it.
Imports nothing slow: `check` and `table` ask for names and words, and only scoring loads hotcoco or numba.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from bench.schema.metric_names import COCO
from bench.schema.suite import Metric

if TYPE_CHECKING:
    from bench.evaluation.boxes import AnyDetections
    from bench.evaluation.matching import Matches
    from bench.evaluation.resample import Floats, Ints
    from bench.evaluation.scores import Scores

Gt = Mapping[str, Any]
"""COCO's `images`, `annotations` and `categories`."""


class Curve(NamedTuple):
    """How an average precision follows from the precision at each recall."""

    levels: "Floats"
    """Recall levels whose highest precisions are averaged; none: the area under the envelope."""
    epsilon: float
    """Added to the denominator of precision."""


@dataclass(frozen=True)
class BoxMetric(ABC):
    """A metric with the settings that a suite declares for it."""

    spec: Metric

    headline: ClassVar[str]
    """The number that verdicts look at first."""
    columns: ClassVar[tuple[str, ...]]
    """The numbers that a table shows, the headline first."""
    settings: ClassVar[frozenset[str]]
    """The fields of `Metric` that it reads, beside `variant`."""
    by_category: ClassVar[Mapping[str, str]] = {}
    """Numbers that are means over categories, so that a group of these has them too; by their name that of a
    category's."""

    @abstractmethod
    def score(self, gt: Gt, detections: "AnyDetections") -> "Scores":
        """All its numbers. BenchError for a detection on an image or of a category that `gt` lacks."""

    @abstractmethod
    def match(self, gt: Gt, detections: "AnyDetections") -> "Matches":
        """Which detections are hits: what any number of resamples is computed from; raises as `score` does."""

    @abstractmethod
    def curve(self) -> Curve:
        """How average precision is computed from matches."""

    @abstractmethod
    def resampled(self, precision: "Floats", matches: "Matches", weights: "Ints") -> "dict[str, Floats]":
        """The numbers of `score` for R resamples (R each), from R x category x area x IoU average precisions."""

    @abstractmethod
    def words(self) -> str:
        """The metric with all that it depends on, as a reader is told."""

    def published_names(self) -> tuple[str, ...]:
        """The names under which a paper may print the headline."""
        return (self.headline,)


class Coco(BoxMetric):
    """COCO's twelve numbers."""

    headline = "AP"
    columns = ("AP", "AP50", "AP75")
    settings = frozenset({"area_side"})
    by_category: ClassVar[Mapping[str, str]] = {name: name for name in COCO}

    @property
    def area_scale(self) -> float:
        """Factor on COCO's area thresholds, which are meant for images of 640 px."""
        return (self.spec.area_side / 640) ** 2

    def score(self, gt: Gt, detections: "AnyDetections") -> "Scores":
        """By hotcoco, or pycocotools: the scores say which."""
        from bench.evaluation.coco import score_coco

        return score_coco(gt, detections, area_scale=self.area_scale)

    def match(self, gt: Gt, detections: "AnyDetections") -> "Matches":
        """As `COCOeval.evaluateImg`."""
        from bench.evaluation.matching import match_coco

        return match_coco(gt, detections, area_scale=self.area_scale)

    def curve(self) -> Curve:
        """101 recall levels, and the epsilon of `COCOeval.accumulate`."""
        import numpy as np

        return Curve(np.linspace(0.0, 1.00, 101), float(np.spacing(1)))

    def resampled(self, precision: "Floats", matches: "Matches", weights: "Ints") -> "dict[str, Floats]":
        """All twelve."""
        from bench.evaluation.resample import coco_numbers

        return coco_numbers(precision, matches, weights)

    def words(self) -> str:
        """With the scale of the area ranges, where it is not COCO's."""
        side = self.spec.area_side
        scaled = f", area ranges scaled by ({side}/640)²" if side != 640 else ""
        return f"COCO AP at IoU .50:.95, AP50, AP75{scaled}, in percent"


class _Voc(BoxMetric):
    """Mean AP at one IoU, as the VOC development kit has it."""

    headline = "mAP"
    columns = ("mAP",)
    settings = frozenset({"iou", "pixels"})
    by_category: ClassVar[Mapping[str, str]] = {"mAP": "AP"}
    rule: ClassVar[str]

    def match(self, gt: Gt, detections: "AnyDetections") -> "Matches":
        """Both VOC metrics have the same hits."""
        from bench.evaluation.matching import match_voc

        return match_voc(gt, detections, iou=self.spec.iou, pixels=self.spec.pixels)

    def resampled(self, precision: "Floats", matches: "Matches", weights: "Ints") -> "dict[str, Floats]":
        """The mean over categories."""
        from bench.evaluation.resample import mean_defined

        return {"mAP": mean_defined(precision[:, :, 0].mean(axis=2))}

    def words(self) -> str:
        """With IoU and the convention on pixels."""
        return f"VOC mAP {self.rule}, IoU {self.spec.iou:g}, {self.spec.pixels} pixels, in percent"

    def published_names(self) -> tuple[str, ...]:
        """A VOC mAP at IoU .5 is often called AP50."""
        return ("mAP", "AP50") if self.spec.iou == 0.5 else ("mAP",)


class Voc07(_Voc):
    """Mean of the highest precision at 11 recall levels."""

    rule = "at 11 recall levels"

    def score(self, gt: Gt, detections: "AnyDetections") -> "Scores":
        """As `VOCevaldet.m` of 2007."""
        from bench.evaluation.voc import score_voc

        return score_voc(gt, detections, variant="voc07", iou=self.spec.iou, pixels=self.spec.pixels)

    def curve(self) -> Curve:
        """11 levels."""
        import numpy as np

        return Curve(np.arange(11, dtype=np.float64) * 0.1, 0.0)


class Voc12(_Voc):
    """Area under the envelope of precision."""

    rule = "by area"

    def score(self, gt: Gt, detections: "AnyDetections") -> "Scores":
        """As `VOCap.m` of 2010."""
        from bench.evaluation.voc import score_voc

        return score_voc(gt, detections, variant="voc12", iou=self.spec.iou, pixels=self.spec.pixels)

    def curve(self) -> Curve:
        """No levels: the area."""
        import numpy as np

        return Curve(np.zeros(0), 0.0)


METRICS: dict[str, type[BoxMetric]] = {"coco": Coco, "voc07": Voc07, "voc12": Voc12}
"""By the variant that a suite names."""


def metric_of(spec: Metric) -> BoxMetric:
    """The metric that a specification asks for."""
    return METRICS[spec.variant](spec)
