"""From a Dataset to batches of mmdet's form, for training and for prediction, through one image loader."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Sampler

from bench.data.dataset import Dataset
from bench.data.images import load_bgr
from bench.detectors.compat import load_mmdet
from bench.errors import BenchError
from bench.schema.detector import Input
from bench.schema.recipe import Augment

KEPT_BYTES = (4096 if torch.cuda.is_available() else 512) * 2**20
"""Decoded images that a loader may keep; a step on a GPU takes no longer than decoding its images."""


class Draw(NamedTuple):
    """Which training images, in which order: that hangs on the seed alone."""

    seed: int
    samples: int
    """Images in all, one shuffled pass after another."""
    skip: int = 0
    """Of these, how many an earlier process has seen."""
    rank: int = 0
    """This process takes its part of every batch,"""
    size: int = 1
    """of so many."""


def train_loader(dataset: Dataset, size: Input, augment: Augment, batch: int, draw: Draw) -> DataLoader[Any]:
    """Training images in batches of `batch` over all processes.

    Raises BenchError where the processes cannot share a batch evenly.
    """
    from mmengine.dataset import pseudo_collate

    if batch % draw.size:
        raise BenchError(f"a batch of {batch} images cannot be shared by {draw.size} processes")
    transforms = [_Loader(), dict(type="LoadAnnotations", with_bbox=True), *_train_transforms(size, augment)]
    base = _base_dataset(dataset, transforms, test_mode=False)
    own = batch // draw.size
    return DataLoader(base, batch_size=own, sampler=_Passes(len(base), own, draw), collate_fn=pseudo_collate)


def image_ids(loader: DataLoader[Any]) -> tuple[int | str, ...]:
    """The ids of the images that a loader gives, in its order, without decoding them."""
    return tuple(loader.dataset.get_data_info(index)["img_id"] for index in loader.sampler)  # type: ignore[attr-defined]


def test_loader(dataset: Dataset, size: Input, batch: int) -> DataLoader[Any]:
    """Batches of all images in the order of the data set; the batch size is part of the protocol, as padding is."""
    from mmengine.dataset import pseudo_collate

    keys = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    base = _base_dataset(
        dataset, [_Loader(), _resize(size), dict(type="PackDetInputs", meta_keys=keys)], test_mode=True
    )
    return DataLoader(base, batch_size=batch, shuffle=False, collate_fn=pseudo_collate)


class _Passes(Sampler[int]):
    """The indices of a draw over `images` images; `own` of each batch are this process's."""

    def __init__(self, images: int, own: int, draw: Draw) -> None:
        self.images, self.own, self.draw = images, own, draw

    def __len__(self) -> int:
        return (self.draw.samples - self.draw.skip) // self.draw.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.draw.seed)
        given = 0
        while given < self.draw.samples:
            order = torch.randperm(self.images, generator=generator).tolist()[: self.draw.samples - given]
            for place, index in enumerate(order, start=given):
                if place >= self.draw.skip and place // self.own % self.draw.size == self.draw.rank:
                    yield index
            given += len(order)


def _resize(size: Input) -> Any:
    if size.sampling is not None:
        load_mmdet()
        from bench.detectors.resize import Sampled

        return Sampled(size)
    return dict(type="Resize", scale=tuple(size.size), keep_ratio=size.keep_ratio)


def _train_transforms(size: Input, augment: Augment) -> list[Any]:
    steps: list[Any] = [_resize(size)]
    if augment.scale is not None:
        # The resized image is cut or padded back, so that a batch keeps the input's size.
        steps = [
            dict(
                type="RandomResize",
                scale=tuple(size.size),
                ratio_range=tuple(augment.scale),
                keep_ratio=size.keep_ratio,
            ),
            dict(type="RandomCrop", crop_size=(size.size[1], size.size[0]), allow_negative_crop=True),
        ]
    if augment.flip:
        steps.append(dict(type="RandomFlip", prob=augment.flip))
    if augment.vertical_flip:
        steps.append(dict(type="RandomFlip", prob=augment.vertical_flip, direction="vertical"))
    return [*steps, dict(type="PackDetInputs")]


class _Loader:
    """Decodes images, and keeps the decoded ones of a small data set: it is read many times."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.room = KEPT_BYTES

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        path = results["img_path"]
        image = self.kept.get(path)
        if image is None:
            image = load_bgr(Path(path))
            if image.nbytes <= self.room:
                self.room -= image.nbytes
                self.kept[path] = image
        shape = image.shape[:2]
        return {**results, "img": image, "img_shape": shape, "ori_shape": shape}


def _base_dataset(dataset: Dataset, pipeline: list[Any], test_mode: bool) -> Any:
    load_mmdet()
    from mmdet.datasets import BaseDetDataset

    class _Loaded(BaseDetDataset):  # type: ignore[misc]
        def load_data_list(self) -> list[dict[str, Any]]:
            return data_list(dataset)

        def get_data_info(self, idx: int) -> dict[str, Any]:
            """As mmengine's, without copying every box: nothing behind changes them."""
            return {**self.data_list[idx], "sample_idx": idx}

    filter_cfg = None if test_mode else dict(filter_empty_gt=False)
    return _Loaded(
        metainfo=dict(classes=dataset.classes),
        pipeline=pipeline,
        test_mode=test_mode,
        filter_cfg=filter_cfg,
        serialize_data=False,
    )


def data_list(dataset: Dataset) -> list[dict[str, Any]]:
    """mmdet's list of images with their instances; crowd boxes and `train_ignore` ones are not targets,
    and `scored_only` ones are not there."""
    labels = {category["id"]: label for label, category in enumerate(dataset.coco["categories"])}
    instances: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in dataset.coco["images"]}
    for annotation in dataset.coco["annotations"]:
        if annotation.get("scored_only"):
            continue
        x, y, w, h = annotation["bbox"]
        instances[annotation["image_id"]].append(
            {
                "bbox": [x, y, x + w, y + h],
                "bbox_label": labels[annotation["category_id"]],
                "ignore_flag": int(bool(annotation["iscrowd"] or annotation.get("train_ignore", 0))),
            }
        )
    return [
        {
            "img_id": image["id"],
            "img_path": str(dataset.images_root / image["file_name"]),
            "height": image["height"],
            "width": image["width"],
            "instances": instances[image["id"]],
        }
        for image in dataset.coco["images"]
    ]
