"""Ground truth and detections of the size of a whole data set, drawn in a second or two."""

from typing import Any

import numpy as np

Coco = dict[str, Any]


def large_scene(images: int, categories: int, objects: int, detections: int, sides: int = 2, seed: int = 0) -> Any:
    """COCO ground truth and `sides` lists of so many detections each; at most 100 an image, as detectors give."""
    rng = np.random.default_rng(seed)
    category = rng.permutation(categories)[np.minimum(rng.geometric(3 / categories, objects) - 1, categories - 1)]
    image = np.sort(rng.integers(0, images, objects))
    box = _boxes(rng, objects)
    gt = {
        "images": [{"id": i + 1} for i in range(images)],
        "categories": [{"id": k + 1, "name": f"class {k}"} for k in range(categories)],
        "annotations": [
            {"id": n + 1, "image_id": i + 1, "category_id": k + 1, "bbox": b, "area": b[2] * b[3], "iscrowd": 0}
            for n, (i, k, b) in enumerate(zip(image.tolist(), category.tolist(), box.tolist(), strict=True))
        ],
    }
    return gt, *(_side(rng, image, category, box, images, detections, 0.06 + 0.01 * n) for n in range(sides))


def _side(rng: np.random.Generator, image: Any, category: Any, box: Any, images: int, count: int, noise: float) -> Any:
    """Two boxes near most objects, one of them of another class or poor; the others anywhere."""
    near = np.repeat(np.flatnonzero(rng.random(len(image)) < 0.85), 2)
    shifted = box[near] + rng.normal(0, noise, (len(near), 4)) * box[near][:, [2, 3, 2, 3]]
    far = count - len(near)
    where = np.concatenate([image[near], rng.integers(0, images, far)])
    what = np.concatenate([category[near], rng.choice(category, far)])
    boxes = np.concatenate([np.abs(shifted), _boxes(rng, far)])
    score = np.concatenate([rng.beta(2.5, 1.5, len(near)), rng.beta(0.6, 6, far)]).astype(np.float32)
    order = np.lexsort((-score, where))
    columns = (where[order].tolist(), what[order].tolist(), boxes[order].tolist(), score[order].tolist())
    return [
        {"image_id": i + 1, "category_id": k + 1, "bbox": b, "score": s} for i, k, b, s in zip(*columns, strict=True)
    ]


def _boxes(rng: np.random.Generator, count: int) -> Any:
    side = np.exp(rng.normal(4.0, 0.9, (count, 2))).clip(6, 500)
    return np.concatenate([rng.uniform(0, 400, (count, 2)), side], axis=1).round(2)
