"""Published weights: found by name, hashed before they are read, read as tensors, and made to fit."""

import hashlib
import io
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT, bench
from detector_scales import SMALL, make_scale, shapes
from suite_text import write_suite
from torch import nn

from bench.data.weights import VARIABLE, absent_checkpoint, checkpoint_path
from bench.detectors.build import build_detector, model_config
from bench.detectors.checkpoint import load_weights, save_weights
from bench.detectors.initial import initialise, read_state
from bench.errors import BenchError
from bench.records.store import Store
from bench.schema.detector import Init

CLASSES = ("a", "b", "c")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of published weights, its own for each test."""
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return tmp_path


def detector(classes: tuple[str, ...] = CLASSES, seed: int = 0) -> nn.Module:
    return build_detector("retinanet-r18", make_scale("retinanet-r18", 64, **SMALL["retinanet-r18"]), classes, seed)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return detector(seed=7).state_dict()


def to_bytes(saved: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(saved, buffer)
    return buffer.getvalue()


def publish(folder: Path, data: bytes, suffix: str | None = None, kind: Any = "checkpoint") -> Init:
    """Write a file as the zoo names it, by its hash unless `suffix` says otherwise."""
    file = f"model_20200101-{suffix or hashlib.sha256(data).hexdigest()[:8]}.pth"
    (folder / file).write_bytes(data)
    return Init(kind=kind, file=file)


def equal(model: nn.Module, state: dict[str, torch.Tensor]) -> bool:
    own = model.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items())


@pytest.mark.parametrize("form", ["plain", "nested", "wrapped"])
def test_a_whole_detector_is_loaded(folder: Path, state: dict[str, torch.Tensor], form: str) -> None:
    saved: Any = {
        "plain": state,
        "nested": {"meta": {"epoch": 12, "CLASSES": CLASSES}, "state_dict": state},
        "wrapped": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
    }[form]
    model = detector()
    assert not equal(model, state)
    initialise(model, publish(folder, to_bytes(saved)), folder)
    assert equal(model, state)


def test_a_backbone_is_loaded_without_its_classifier(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """In the form of torchvision's older files: no counts of batches, and a classifier."""
    prefix = "backbone."
    backbone = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix) and "num_batches" not in n}
    saved = backbone | {"fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)}
    model = detector()
    before = {name: value.clone() for name, value in model.state_dict().items() if not name.startswith(prefix)}
    initialise(model, publish(folder, to_bytes(saved), kind="backbone"), folder)
    assert equal(model, {prefix + name: value for name, value in backbone.items()})
    assert equal(model, before)


def test_a_detector_takes_over_the_backbone_of_another(tmp_path: Path) -> None:
    donor = detector()
    saved = save_weights(donor, tmp_path / "donor.pth")
    heir = build_detector("detr-r50", make_scale("detr-r50", 64, **SMALL["detr-r50"]), CLASSES, 1)
    head = {name: value.clone() for name, value in heir.state_dict().items() if not name.startswith("backbone.")}
    load_weights(heir, tmp_path / "donor.pth", saved, "backbone")
    whole = donor.state_dict()
    assert len(heir.get_submodule("backbone").state_dict()) < len(donor.get_submodule("backbone").state_dict())
    assert all(
        torch.equal(value, whole[name] if name in whole else head[name]) for name, value in heir.state_dict().items()
    )
    other = build_detector("detr-r50", make_scale("detr-r50", 64, **{**SMALL["detr-r50"], "width": 24}), CLASSES, 1)
    with pytest.raises(BenchError, match="in loading state_dict for ResNet"):
        load_weights(other, tmp_path / "donor.pth", saved, "backbone")
    missing = build_detector("detr-r50", make_scale("detr-r50", 64, **{**SMALL["detr-r50"], "depth": 34}), CLASSES, 1)
    with pytest.raises(BenchError, match="in loading state_dict for ResNet"):
        load_weights(missing, tmp_path / "donor.pth", saved, "backbone")


def test_scratch_needs_no_file(folder: Path) -> None:
    model = detector()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initialise(model, Init(kind="scratch"), folder)
    assert equal(model, before) and absent_checkpoint(Init(kind="scratch"), folder) is None


def test_torchvision_names_its_backbone_as_mmdet_does() -> None:
    import torchvision.models

    with torch.device("meta"):
        theirs = torchvision.models.resnet18().state_dict()
    own = shapes(model_config("retinanet-r18", make_scale("retinanet-r18", 64), 80).backbone)
    assert {n: v.shape for n, v in theirs.items() if not n.startswith("fc.")} == own


def refused(init: Init, folder: Path, model: nn.Module | None = None) -> str:
    """The line with which a file is refused; the model stays as it was."""
    model = model or detector()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(BenchError) as caught:
        initialise(model, init, folder)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600 and str(folder / str(init.file)) in text
    assert equal(model, before)
    return text


def test_another_hash_is_refused_before_the_file_is_read(folder: Path, state: dict[str, torch.Tensor]) -> None:
    assert "instead of 01234567" in refused(publish(folder, to_bytes(state), suffix="01234567"), folder)
    assert "instead of 01234567" in refused(publish(folder, b"no checkpoint at all", suffix="01234567"), folder)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "executed"))


@pytest.mark.parametrize("form", ["zip", "bare pickle"])
def test_a_pickle_that_would_run_code_runs_nothing(folder: Path, state: dict[str, torch.Tensor], form: str) -> None:
    sprung = folder / "sprung"
    saved = {"state_dict": state, "meta": Trap(sprung)}
    data = to_bytes(saved) if form == "zip" else pickle.dumps(saved, protocol=2)
    assert "cannot be read as tensors" in refused(publish(folder, data), folder)
    assert not sprung.exists()
    pickle.loads(pickle.dumps(Trap(sprung)))
    assert sprung.exists(), "the trap itself must work"


def test_a_training_log_in_a_checkpoint_is_read_as_nothing(folder: Path, state: dict[str, torch.Tensor]) -> None:
    """mmengine leaves smoothed losses in the checkpoints of mmdet 3, as NumPy arrays and bound functions."""
    from mmengine.logging import HistoryBuffer

    buffer = HistoryBuffer()
    buffer.update(1.5)
    saved = {"state_dict": state, "message_hub": {"log_scalars": {"loss": buffer}}, "meta": {"seed": 1}}
    model = detector()
    initialise(model, publish(folder, to_bytes(saved)), folder)
    assert equal(model, state)
    # The stand-ins are for one load, and not for the state itself.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(io.BytesIO(to_bytes(saved)), weights_only=True)
    bad = {"state_dict": {**state, "extra": buffer}}
    assert "holds more than tensors: extra" in refused(publish(folder, to_bytes(bad)), folder)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99], ids=["empty", "ten bytes", "half", "all but the end"])
def test_a_truncated_file_is_refused(folder: Path, state: dict[str, torch.Tensor], keep: float) -> None:
    data = to_bytes(state)
    cut = data[: int(keep * len(data)) if keep < 1 else int(keep)]
    assert "cannot be read as tensors" in refused(publish(folder, cut), folder)


@pytest.mark.parametrize("saved", [{}, [], 3, {"state_dict": {}}, {"state_dict": [1]}], ids=repr)
def test_a_file_without_a_state_is_refused(folder: Path, saved: Any) -> None:
    assert "holds no state of a model" in refused(publish(folder, to_bytes(saved)), folder)


def test_a_directory_is_refused(folder: Path) -> None:
    (folder / "model-01234567.pth").mkdir()
    assert "is not a file" in refused(Init(kind="checkpoint", file="model-01234567.pth"), folder)


def test_what_does_not_fit_is_named_and_counted(folder: Path, state: dict[str, torch.Tensor]) -> None:
    changed = dict(state)
    del changed["bbox_head.retina_reg.bias"]
    changed["bbox_head.extra"] = torch.zeros(1)
    changed["backbone.conv1.weight"] = torch.zeros(4, 3, 7, 7)
    text = refused(publish(folder, to_bytes(changed)), folder)
    for part in (
        "1 missing (bbox_head.retina_reg.bias)",
        "1 unexpected (bbox_head.extra)",
        "1 of another shape (backbone.conv1.weight [4, 3, 7, 7] instead of [8, 3, 7, 7])",
    ):
        assert part in text
    many = {f"other.{name}": value for name, value in state.items()}
    text = refused(publish(folder, to_bytes(many)), folder)
    assert f"{len(many)} unexpected" in text and ", …)" in text


def test_the_class_head_must_fit(folder: Path, state: dict[str, torch.Tensor]) -> None:
    init = publish(folder, to_bytes(state))
    text = refused(init, folder, detector(classes=("a", "b")))
    assert "2 of another shape (bbox_head.retina_cls.weight [27, 8, 3, 3] instead of [18, 8, 3, 3]" in text


@pytest.mark.parametrize(
    ("file", "parts"),
    [
        (
            "retinanet_r18_fpn_1x_coco_20220407_171055-614fd399.pth",
            ("https://download.openmmlab.com/mmdetection/v2.0/retinanet/", "sha256 614fd399…", VARIABLE),
        ),
        ("resnet18-5c106cde.pth", ("https://download.pytorch.org/models/resnet18-5c106cde.pth ", "5c106cde…")),
        ("unheard_of-01234567.pth", ("its address is not known here", "01234567…")),
    ],
)
def test_an_absent_file_is_told_with_its_source(folder: Path, file: str, parts: tuple[str, ...]) -> None:
    text = absent_checkpoint(Init(kind="checkpoint", file=file), PROJECT)
    assert text is not None and text.startswith(str(folder / file)) and "\n" not in text
    for part in parts:
        assert part in text
    assert refused(Init(kind="checkpoint", file=file), folder).startswith(f"{folder / file}: the checkpoint is absent")


def test_checkpoints_lie_below_the_root_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE)
    found = checkpoint_path(Init(kind="checkpoint", file="x-01234567.pth"), tmp_path)
    assert found == tmp_path / "data" / "checkpoints" / "x-01234567.pth"


def test_states_are_read_as_they_are(folder: Path) -> None:
    path = folder / "x.pth"
    path.write_bytes(to_bytes({"a": torch.arange(3), "module.b": torch.ones(1)}))
    assert read_state(path).keys() == {"a", "module.b"}


SUITE = """\
title: A table
rows:
  - {id: fp, label: FP, detector: retinanet-r18, bits: 32/32}
tiers:
  smoke:
    data: {kind: shapes-voc, side: 64, images: {train: 16, test: 8}, difficult: crowd}
    metric: {variant: coco, area_side: 64}
    detectors:
      retinanet-r18:
        input: {size: [64, 64]}
        test: {batch: 8, score_threshold: 0.0, nms_iou: 0.5, max_per_image: 5}
        init: {kind: checkpoint, file: FILE}
        width: 8
        neck_width: 8
        head_convs: 1
        anchor_scale: 2.0
"""


def test_a_suite_evaluates_published_weights(folder: Path) -> None:
    """The whole way: the record has the predictions of the checkpoint, not those of the seed."""
    root = folder / "root"
    twenty = tuple(str(k) for k in range(20))
    digests = []
    for seed in (3, 4):
        init = publish(folder, to_bytes(detector(twenty, seed).state_dict()))
        write_suite(root, SUITE.replace("FILE", str(init.file)))
        assert "1 executed" in bench(root, "run", "x/y", "--tier", "smoke").stdout
        digests += [record.predictions.digest for record in Store(root).records()]
    assert len(digests) == 3 and len(set(digests)) == 2
    (folder / str(init.file)).write_bytes(b"another file")
    shutil.rmtree(root / "results")
    done = bench(root, "run", "x/y", "--tier", "smoke", expect=1)
    assert f"{init.file}: sha256" in done.stdout and "fetch it again" in done.stdout
