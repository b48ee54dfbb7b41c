"""Every detector of the catalogue: built, scaled, trained for a step, asked for predictions."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from detector_scales import SMALL, drawn_batch, losses, make_scale, shapes, small_scale

import bench.schema.detector as detector_spec
from bench.detectors.build import build_detector, model_config
from bench.errors import BenchError
from bench.schema.catalog import CATALOG, FAMILIES
from bench.schema.check_detectors import misfits
from bench.schema.data import CocoData, CocoSplit
from bench.schema.detector import DetectorScale, TransformerScale
from bench.schema.recipe import Augment

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

CLASSES = ("a", "b", "c")
NAMES = tuple(CATALOG)
SIDE = 64


def test_every_detector_and_every_field_is_tested_here() -> None:
    assert SMALL.keys() == CATALOG.keys()
    # `onnx` is tested in test_onnx_detector.py.
    fields = set(DetectorScale.model_fields) - {"input", "test", "init", "onnx"}
    assert (
        fields
        == set().union(*(family.scalable for name, family in FAMILIES.items() if name != "onnx" and family.scalable))
        == {key for scale in SMALL.values() for key in scale}
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_small_detector_trains_and_predicts(name: str) -> None:
    model: Any = build_detector(name, small_scale(name, SIDE), CLASSES, 0)
    assert model.training and all(p.requires_grad for p in model.parameters())
    assert sum(p.numel() for p in model.parameters()) < 600_000
    loss = losses(model, drawn_batch(SIDE))
    loss.backward()
    assert torch.isfinite(loss)
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()] == []
    model.eval()
    with torch.no_grad():
        found = [sample.pred_instances for sample in model.test_step(drawn_batch(SIDE))]
    assert [len(image) for image in found] == [10 if name == "detr-r50" else 20] * 2
    for image in found:
        assert image.bboxes.isfinite().all() and set(image.labels.tolist()) <= {0, 1, 2}
        assert image.scores.diff().max() <= 0, "scores descend"


@pytest.mark.parametrize("name", NAMES)
def test_weights_hang_on_the_seed_alone(name: str) -> None:
    def weights(seed: int) -> list[torch.Tensor]:
        return [p.detach() for p in build_detector(name, small_scale(name, SIDE), CLASSES, seed).parameters()]

    first = weights(1)
    torch.rand(3)
    assert all(torch.equal(a, b) for a, b in zip(first, weights(1), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, weights(2), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_at_full_width_a_detector_is_that_of_mmdet(name: str) -> None:
    """So that the model zoo's checkpoints fit."""
    import mmdet
    from mmengine.config import Config

    ours = model_config(name, make_scale(name, 320), 80)
    theirs = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / CATALOG[name].config).model
    assert shapes(ours) == shapes(theirs)
    for part in ("bbox_head", "rpn_head"):
        if part in theirs and "anchor_generator" in theirs[part]:
            from mmdet.registry import TASK_UTILS

            own, given = (TASK_UTILS.build(c[part].anchor_generator) for c in (ours, theirs))
            assert own.strides == given.strides
            assert all(torch.equal(a, b) for a, b in zip(own.base_anchors, given.base_anchors, strict=True))
    assert ours.get("train_cfg") is None or ours.train_cfg == theirs.train_cfg


@pytest.mark.parametrize(("name", "field"), [(name, field) for name, scale in SMALL.items() for field in scale])
def test_no_declared_field_is_without_effect(name: str, field: str) -> None:
    scale = dict(SMALL[name])
    del scale[field]
    if name == "ssdlite-mbv2" and field == "ssd":
        del scale["stages"]
    if name == "ssdlite-mbv2" and field == "stages":
        scale["ssd"] = scale["ssd"] | {"anchor_sizes": [8, 16, 24, 32, 48]}
    without = model_config(name, make_scale(name, SIDE, **scale), 3)
    assert without != model_config(name, small_scale(name, SIDE), 3)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        (name, field)
        for name in NAMES
        if FAMILIES[CATALOG[name].family].predicts_set
        for field in TransformerScale.model_fields
        if field != "levels" or name.startswith("deformable")
    ],
)
def test_no_field_of_a_transformer_is_without_effect(name: str, field: str) -> None:
    given = {"width": 32, "heads": 4, "levels": 4, "dropout": 0.3}.get(field, 7)
    scale = small_scale(name, SIDE)
    assert scale.transformer is not None
    other = scale.model_copy(update={"transformer": scale.transformer.model_copy(update={field: given})})
    assert model_config(name, other, 3) != model_config(name, scale, 3)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("yolox-tiny", {"width": 8}, "width: yolox-tiny has no `width`; it can be scaled by deepen, head_convs"),
        ("retinanet-r18", {"transformer": {"width": 8}}, "transformer: retinanet-r18 has no `transformer`"),
        ("detr-r50", {"test": {"nms_iou": 0.5, "score_threshold": 0.0}}, "test.nms_iou: detr-r50 has no NMS"),
        ("detr-r50", {"test": {"score_threshold": 0.1}}, "test.score_threshold: detr-r50 has no score threshold"),
        ("atss-r50", {"test": {"score_threshold": 0.1}}, "test: atss-r50 needs `nms_iou`"),
        ("detr-r50", {"stages": [2, 3]}, "stages: detr-r50 reads one stage"),
        ("detr-r50", {"stages": [4]}, "stages: stages must grow and lie below 4"),
        ("deformable-detr-r50", {"stages": [2, 1]}, "stages: stages must grow"),
        ("deformable-detr-r50", {"transformer": {"levels": 2}}, "transformer.levels: 2 levels cannot hold 3 stages"),
        ("deformable-detr-r50", {"transformer": {"width": 20, "heads": 2}}, "must be a multiple of 8"),
        ("dab-detr-r50", {"transformer": {"levels": 2}}, "transformer.levels: dab-detr-r50 has one level"),
        ("dab-detr-r50", {"transformer": {"width": 36}}, "width 36 must be a multiple of 4 and of the 8 heads"),
        ("ssdlite-mbv2", {"stages": [2, 4, 7]}, "stages: other than two stages need `ssd`"),
        (
            "ssdlite-mbv2",
            {"ssd": {"extra_widths": [32], "anchor_sizes": [8.0, 9.0]}},
            "ssd.anchor_sizes: 3 levels need 4 anchor sizes, found 2",
        ),
        ("atss-r50", {"init": {"kind": "onnx", "file": "x.onnx", "sha256": "0" * 64}}, "only a YOLOX"),
        ("yolox-nano", {"init": {"kind": "onnx", "file": "x.onnx"}}, "init: init onnx needs the file's `sha256`"),
        ("yolox-nano", {"init": {"kind": "onnx", "file": "../x.onnx", "sha256": "0" * 64}}, "without folders"),
        ("yolox-nano", {"init": {"kind": "scratch", "sha256": "0" * 64}}, "init.sha256: init scratch has its hash"),
    ],
)
def test_a_scale_that_does_not_fit_is_refused(name: str, changes: dict[str, Any], message: str) -> None:
    if "test" in changes:
        changes = changes | {"test": {"batch": 1, **changes["test"]}}
    scale = make_scale(name, SIDE, **changes)
    texts = [f"{'.'.join(map(str, fault.loc))}: {fault.message}" for fault in misfits(name, scale)]
    assert any(message in text for text in texts), texts
    with pytest.raises(BenchError, match=name):
        build_detector(name, scale, CLASSES, 0)


def test_new_fields_change_no_old_protocol() -> None:
    """A field that is not declared stands in no protocol, so in no identity."""
    scale = small_scale("retinanet-r18")
    dumped = scale.model_dump(mode="json", exclude_none=True)
    assert set(dumped) == {"input", "test", "init", "width", "neck_width", "head_convs", "anchor_scale"}
    assert set(dumped["test"]) == {"batch", "score_threshold", "nms_iou", "pre_nms", "max_per_image"}
    assert set(dumped["init"]) == {"kind"}


@pytest.mark.parametrize("name", [name for name in NAMES if not FAMILIES[CATALOG[name].family].predicts_set])
def test_threshold_and_limit_reach_the_predictions(name: str) -> None:
    test = {"batch": 2, "nms_iou": 0.5, "max_per_image": 3}
    loose = small_scale(name, SIDE).model_copy(update={"test": _test(score_threshold=0.0, **test)})
    strict = small_scale(name, SIDE).model_copy(update={"test": _test(score_threshold=1.0, **test)})
    for scale, count in ((loose, 3), (strict, 0)):
        model: Any = build_detector(name, scale, CLASSES, 0).eval()
        with torch.no_grad():
            assert [len(s.pred_instances) for s in model.test_step(drawn_batch(SIDE))] == [count] * 2


def _test(**values: Any) -> detector_spec.Test:
    # By its module: pytest would collect a class of that name.
    return detector_spec.Test.model_validate_json(json.dumps(values))


def test_ssdlite_halves_the_input_from_stride_8() -> None:
    config = model_config("ssdlite-mbv2", make_scale("ssdlite-mbv2", 128, **SMALL["ssdlite-mbv2"]), 20)
    assert [tuple(s) for s in config.bbox_head.anchor_generator.strides] == [(s, s) for s in (8, 16, 32, 64, 128)]
    assert config.neck.in_channels == (8, 24, 1280)


def test_ssdlite_has_no_stage_that_nothing_reads() -> None:
    changes = SMALL["ssdlite-mbv2"] | {"stages": [2, 4, 5]}
    model: Any = build_detector("ssdlite-mbv2", make_scale("ssdlite-mbv2", SIDE, **changes), CLASSES, 0)
    losses(model, drawn_batch(SIDE)).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert not hasattr(model.backbone, "conv2") and model.backbone.layers[-1] == "layer6"


def test_a_normalised_group_has_8_channels_at_any_width() -> None:
    assert model_config("atss-r50", small_scale("atss-r50"), 3).bbox_head.norm_cfg.num_groups == 1
    scale = make_scale("deformable-detr-r50", 64, transformer={"width": 64})
    assert model_config("deformable-detr-r50", scale, 3).neck.norm_cfg.num_groups == 8


def test_yolox_reads_bgr_of_0_to_255_in_a_letterbox_of_114(tmp_path: Path) -> None:
    model: Any = build_detector("yolox-nano", make_scale("yolox-nano", 96, **SMALL["yolox-nano"]), CLASSES, 0)
    image = torch.randint(0, 256, (3, 60, 96), dtype=torch.uint8)
    sample = drawn_batch(96, 1)["data_samples"][0]
    data = model.data_preprocessor({"inputs": [image], "data_samples": [sample]}, True)
    assert data["inputs"].shape == (1, 3, 96, 96)
    assert torch.equal(data["inputs"][0, :, :60], image.float())
    assert data["inputs"][0, :, 60:].eq(114).all()


FULL_SIDE = {"ssdlite-mbv2": 320, "yolox-tiny": 320, "yolox-nano": 320}


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_at_full_width_a_detector_trains_and_predicts_on_photos(name: str, shared: Path) -> None:
    from bench.data.coco import read_coco
    from bench.detectors.pipeline import Draw, train_loader
    from bench.detectors.predict import predict

    part = CocoSplit(annotations="instances.json", images="images")
    spec = CocoData(kind="coco", path=".", train=part, test=part)
    photos = read_coco(spec, "train", shared / "data" / "coco_train2017_free")
    few = photos.coco | {"images": photos.coco["images"][:3]}
    ids = {image["id"] for image in few["images"]}
    few["annotations"] = [a for a in photos.coco["annotations"] if a["image_id"] in ids]
    photos = dataclasses.replace(photos, coco=few)
    scale = make_scale(name, FULL_SIDE.get(name, 256))
    model: Any = build_detector(name, scale, photos.classes, 0)
    batch = next(iter(train_loader(photos, scale.input, Augment(), 2, Draw(0, 2))))
    loss = losses(model, batch)
    loss.backward()
    assert torch.isfinite(loss)
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    torch.optim.SGD(model.parameters(), lr=1e-4).step()
    found = predict(model, photos, scale.input, scale.test.batch)
    assert {detection["image_id"] for detection in found} == ids
    assert all(0 <= detection["score"] <= 1 for detection in found)
