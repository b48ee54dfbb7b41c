"""Random scenes with ties, crowd and duplicates, and the resampled set as any scorer of COCO files reads it."""

from typing import Any

import numpy as np

Coco = dict[str, Any]


def scene(seed: int, images: int = 12, categories: int = 4, tied: bool = True) -> tuple[Coco, list[Coco], list[Coco]]:
    """Ground truth and two detection lists, image by image; `tied` rounds scores to one decimal."""
    rng = np.random.default_rng(seed)
    ids = np.sort(rng.choice(1000, images, replace=False)) + 1
    gt: Coco = {
        "images": [{"id": int(i)} for i in ids],
        "categories": [{"id": 3 * k + 1, "name": f"c{k}"} for k in range(categories)],
        "annotations": [],
    }
    sides: tuple[list[Coco], list[Coco]] = ([], [])
    for image in ids.tolist():
        for _ in range(int(rng.integers(0, 6))):
            box = [float(v) for v in (*rng.uniform(0, 200, 2), *rng.choice([12, 20, 50, 90, 120, 200], 2))]
            category = int(rng.integers(categories - 1)) * 3 + 1  # the last has no object
            gt["annotations"].append({
                "id": len(gt["annotations"]) + 1, "image_id": image, "category_id": category, "bbox": box,
                "area": box[2] * box[3], "iscrowd": int(rng.random() < 0.15), "difficult": int(rng.random() < 0.15),
            })  # fmt: skip
            for side, noise in zip(sides, (0.10, 0.16), strict=True):
                for _ in range(int(rng.integers(0, 4))):
                    shift = rng.normal(0, noise, 4) * np.array([box[2], box[3], box[2], box[3]])
                    side.append(_detection(rng, image, category, np.abs(np.array(box) + shift), tied))
        for side in sides:
            for _ in range(int(rng.integers(0, 6))):
                box = [float(v) for v in (*rng.uniform(0, 200, 2), *rng.uniform(5, 150, 2))]
                side.append(_detection(rng, image, int(rng.integers(categories)) * 3 + 1, np.array(box), tied))
    return gt, *sides


def _detection(rng: np.random.Generator, image: int, category: int, box: Any, tied: bool) -> Coco:
    score = float(rng.random())
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [float(v) for v in box],
        "score": round(score, 1) if tied else score,
    }


def repeated(gt: Coco, detections: list[Coco], weights: Any) -> tuple[Coco, list[Coco]]:
    """Image i is there weights[i] times in a row, in the order of ids."""
    ids = sorted(image["id"] for image in gt["images"])
    images: list[Coco] = []
    annotations: list[Coco] = []
    found: list[Coco] = []
    for old, weight in zip(ids, weights, strict=True):
        for _ in range(int(weight)):
            new = len(images) + 1
            images.append({"id": new})
            annotations += [{**a, "image_id": new} for a in gt["annotations"] if a["image_id"] == old]
            found += [{**d, "image_id": new} for d in detections if d["image_id"] == old]
    for number, annotation in enumerate(annotations, start=1):
        annotation["id"] = number
    return {**gt, "images": images, "annotations": annotations}, found
