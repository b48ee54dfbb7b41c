"""COCO's box metrics (Lin et al., "Microsoft COCO", 2014; cocodataset.org/#detection-eval), by hotcoco.

hotcoco does what pycocotools' COCOeval does, a hundred times as fast, and gives the same precision and recall to the
bit. Images and categories go to it under numbers from 1 on, since it takes no negative id and none above 2^53. Where
the two differ, pycocotools computes (`_differ`); the scores say which of them did.

What COCOeval makes of the ground truth:

* `iscrowd: 1` is neither hit nor miss, and takes any number of detections.
* `ignore` has no effect: COCOeval overwrites it with `iscrowd`, so `ignore: 1` is an ordinary object.
* `difficult` has no effect: COCO does not know it. Whoever wants difficult boxes left out makes them crowd
  (`difficult: crowd` of a VOC data set).
"""

import contextlib
import io
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bench.evaluation.boxes import AnyDetections, Detections, Floats, Ints, Objects, check_references, ids
from bench.evaluation.scores import Scores, category_names
from bench.schema.metric_names import COCO as METRICS

AREAS = ("all", "small", "medium", "large")
_SMALL, _LARGE, _ALL = 32.0**2, 96.0**2, 1e5**2  # px², COCO's own


class _Curves(NamedTuple):
    """`COCOeval.eval`; -1 where undefined. 10 IoUs, 101 recalls, 4 areas, limits of 1, 10, 100 detections an image."""

    precision: Floats
    """IoU x recall x category x area x limit."""
    recall: Floats
    """IoU x category x area x limit."""

    def of(self, category: int) -> "_Curves":
        """Those of one category."""
        return _Curves(self.precision[:, :, [category]], self.recall[:, [category]])


class Scene(NamedTuple):
    """Objects and detections whose images and categories are places from 0 on, by ascending id."""

    objects: Objects
    found: Detections
    images: int
    categories: int


def score_coco(gt: Mapping[str, Any], detections: AnyDetections, *, area_scale: float = 1.0) -> Scores:
    """The 12 numbers of COCO, of all categories and of each.

    Args:
        gt: COCO's `images`, `annotations` (`image_id`, `category_id`, `bbox` [x, y, w, h] in px; `area` in
            px² where absent is w·h, `iscrowd` 0) and `categories`. Annotation ids are not read: COCOeval
            loses an object whose id is 0 or repeats. Not changed.
        detections: `image_id`, `category_id`, `bbox` [x, y, w, h] in px, `score`; equal scores rank in this
            order. Not changed. None at all is AP 0.
        area_scale: factor on the area thresholds 32² and 96² px²; for images of another side than COCO's
            640 px (side / 640)².

    Raises:
        BenchError: a detection on an image or of a category that `gt` lacks.
    """
    scene = scene_of(gt, Detections.of(detections))
    curves, scorer = _curves(scene, area_ranges(area_scale))
    names = list(category_names(gt).values())
    per_category = {name: _numbers(curves.of(column)) for column, name in enumerate(names)}
    counted = scene.objects.take(~scene.objects.crowd)
    seen = {name: len(np.unique(counted.image[counted.category == column])) for column, name in enumerate(names)}
    return Scores(_numbers(curves), per_category, scorer, seen)


def scene_of(gt: Mapping[str, Any], found: Detections) -> Scene:
    """What is matched. BenchError as `score_coco` has it."""
    check_references(gt, found)
    images, categories = ids(gt, "images"), ids(gt, "categories")
    objects = Objects.of(gt)
    # COCOeval looks at the images and categories of the file alone.
    objects = objects.take(np.isin(objects.image, images) & np.isin(objects.category, categories))
    return Scene(
        Objects(
            np.searchsorted(images, objects.image),
            np.searchsorted(categories, objects.category),
            objects.box,
            objects.area,
            objects.crowd,
            objects.difficult,
        ),
        Detections(
            np.searchsorted(images, found.image),
            np.searchsorted(categories, found.category),
            found.box,
            found.score,
        ),
        len(images),
        len(categories),
    )


def area_ranges(scale: float) -> list[list[float]]:
    """Lowest and highest area, px², of `AREAS`; an object on a threshold belongs to both sides."""
    small, large = _SMALL * scale, _LARGE * scale
    return [[0.0, _ALL], [0.0, small], [small, large], [large, _ALL]]


def _curves(scene: Scene, areas: list[list[float]]) -> tuple[_Curves, str]:
    """Precision and recall, and what computed them, with its version."""
    if not scene.images or not scene.categories:
        shape = (10, scene.categories, len(AREAS), 3)
        return _Curves(np.full((10, 101, *shape[1:]), -1.0), np.full(shape, -1.0)), "bench"
    return _by_pycocotools(scene, areas) if _differ(scene) else _by_hotcoco(scene, areas)


def _differ(scene: Scene) -> bool:
    """Whether a box is so small that its area is 0 in double precision although its sides are not.

    Its IoU with another such box is 0/0, which COCOeval takes for a match.
    """
    width, height = scene.found.box[:, 2], scene.found.box[:, 3]
    return bool(((width > 0) & (height > 0) & (width * height == 0)).any())


def _by_hotcoco(scene: Scene, areas: list[list[float]]) -> tuple[_Curves, str]:
    import hotcoco

    objects, found = scene.objects, scene.found
    gt = hotcoco.COCO.from_arrays(
        [{"id": number} for number in range(1, scene.images + 1)],
        [{"id": number, "name": str(number)} for number in range(1, scene.categories + 1)],
        objects.image + 1,
        objects.category + 1,
        objects.box,
        area=objects.area,
        iscrowd=objects.crowd.astype(np.int64),
    )
    columns = (found.image + 1, *found.box.T, found.score, found.category + 1)
    evaluation = hotcoco.COCOeval(gt, gt.load_res(np.column_stack(columns).astype(np.float64)), "bbox")
    evaluation.params.area_rng = areas
    evaluation.evaluate()
    evaluation.accumulate()
    result: Any = evaluation.eval
    return _Curves(np.asarray(result["precision"]), np.asarray(result["recall"])), f"hotcoco {hotcoco.__version__}"


def _by_pycocotools(scene: Scene, areas: list[list[float]]) -> tuple[_Curves, str]:
    from importlib.metadata import version

    from pycocotools.cocoeval import COCOeval

    objects, found = scene.objects, scene.found
    extent = found.box[:, 2] * found.box[:, 3]
    truth = _index(
        scene, objects.image, objects.category, objects.box, {"area": objects.area, "iscrowd": objects.crowd}
    )
    given = {"area": extent, "iscrowd": np.zeros(len(found), np.bool_), "score": found.score}
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, _index(scene, found.image, found.category, found.box, given), "bbox")
        evaluation.params.areaRng = areas
        evaluation.evaluate()
        evaluation.accumulate()
    return _Curves(evaluation.eval["precision"], evaluation.eval["recall"]), f"pycocotools {version('pycocotools')}"


def _index(scene: Scene, image: Ints, category: Ints, box: Floats, more: Mapping[str, npt.NDArray[Any]]) -> Any:
    """pycocotools' form of boxes, with ids from 1 on: it reads a match with id 0 as none."""
    from pycocotools.coco import COCO

    columns = {"image_id": image, "category_id": category, "bbox": box, **more}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in range(scene.images)],
        "categories": [{"id": number} for number in range(scene.categories)],
        "annotations": [{"id": n, **dict(zip(columns, row, strict=True))} for n, row in enumerate(rows, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _numbers(curves: _Curves) -> dict[str, float]:
    """The 12 numbers, in the order of operations of `COCOeval.summarize`."""
    precision, recall = curves.precision[..., -1], curves.recall
    whole = precision[:, :, :, 0]
    found = [whole, whole[0], whole[5], *(precision[:, :, :, area] for area in (1, 2, 3))]
    found += [recall[:, :, 0, limit] for limit in (0, 1, 2)] + [recall[:, :, area, -1] for area in (1, 2, 3)]
    return dict(zip(METRICS, map(_mean, found), strict=True))


def _mean(values: Floats) -> float:
    """COCOeval's mean: -1 marks what is undefined."""
    defined = values[values > -1]
    return float(np.mean(defined)) if defined.size else -1.0
