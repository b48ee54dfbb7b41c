"""What must fit between a detector of the catalogue and the scale that a tier declares for it."""

import re
from collections.abc import Iterator

from bench.errors import UsageError
from bench.schema.catalog import ONNX, detector_facts, family_of
from bench.schema.classes import check_function
from bench.schema.detector import DetectorScale, Init
from bench.schema.faults import Fault, below

_ALWAYS = {"input", "test", "init"}
_CHECKPOINT = re.compile(r"[^/\\\0]+-[0-9a-f]{8}\.pth")
_ONNX = re.compile(r"[^/\\\0]+\.onnx")


def misfits(name: str, scale: DetectorScale) -> Iterator[Fault]:
    """Faults of the scale of detector `name`; their places start at the scale."""
    yield from below(("init",), _init(scale.init))
    try:
        family = detector_facts(name).family
    except UsageError:
        return  # an unknown detector is the row's fault
    if family.scalable is None:
        return  # the user's class checks its own
    kind = family_of(name)
    declared = {key for key in scale.model_fields_set if getattr(scale, key) is not None}
    for key in sorted(declared - _ALWAYS - family.scalable):
        text = f"{name} has no `{key}`; it can be scaled by {', '.join(sorted(family.scalable))}"
        yield Fault((key,), text)
    if family.predicts_set:
        if scale.test.nms_iou is not None:
            yield Fault(("test", "nms_iou"), f"{name} has no NMS")
        if scale.test.score_threshold > 0:
            yield Fault(("test", "score_threshold"), f"{name} has no score threshold: it must be 0")
    elif scale.test.nms_iou is None:
        yield Fault(("test",), f"{name} needs `nms_iou`")
    if scale.init.folded and kind not in ("yolox", "onnx"):
        text = f"only a YOLOX can be read from ONNX, not {name}; a detector {ONNX}NAME runs the file's own graph"
        yield Fault(("init", "kind"), text)
    if kind == "onnx":
        yield from _graph(name, scale)
    yield from _stages(scale, family.stages)
    if kind == "ssdlite":
        yield from _pyramid(scale)
    if family.predicts_set:
        yield from _transformer(name, kind, scale)


def untrainable(scale: DetectorScale) -> str | None:
    """Why a detector of that scale cannot be trained, None where it can."""
    if scale.onnx is not None:
        return "a graph from an ONNX file has no training losses: it can be quantized, not trained"
    if scale.init.folded:
        return "BatchNorm is folded into the convolutions of an ONNX file: it can be quantized, not trained"
    return None


def _graph(name: str, scale: DetectorScale) -> Iterator[Fault]:
    if scale.init.kind != "onnx":
        yield Fault(("init", "kind"), f"{name} is read from a file: `init: {{kind: onnx, path: ..., sha256: ...}}`")
    if scale.onnx is None:
        yield Fault((), f"{name} needs `onnx`: how its input is made and its outputs are decoded")
        return
    if (scale.onnx.pad_value is not None) != scale.input.keep_ratio:
        text = "needs `pad_value`" if scale.input.keep_ratio else "pads nothing, so `pad_value` has no meaning"
        yield Fault(("onnx",), f"`keep_ratio: {str(scale.input.keep_ratio).lower()}` {text}")
    try:
        if ":" in scale.onnx.decoding:
            check_function("decoding", scale.onnx.decoding)
    except UsageError as error:
        yield Fault(("onnx", "decoding"), str(error))


def _stages(scale: DetectorScale, count: int) -> Iterator[Fault]:
    stages = scale.stages or ()
    if list(stages) != sorted(set(stages)) or max(stages, default=0) >= count:
        yield Fault(("stages",), f"stages must grow and lie below {count}")


def _pyramid(scale: DetectorScale) -> Iterator[Fault]:
    if scale.ssd is not None:
        levels = len(scale.stages or (4, 7)) + len(scale.ssd.extra_widths)
        if len(scale.ssd.anchor_sizes) != levels + 1:
            found = len(scale.ssd.anchor_sizes)
            yield Fault(("ssd", "anchor_sizes"), f"{levels} levels need {levels + 1} anchor sizes, found {found}")
    elif scale.stages is not None and len(scale.stages) != 2:
        yield Fault(("stages",), "other than two stages need `ssd` with its anchor sizes")


def _transformer(name: str, family: str, scale: DetectorScale) -> Iterator[Fault]:
    sizes = scale.transformer
    if family != "deformable_detr" and scale.stages is not None and len(scale.stages) != 1:
        yield Fault(("stages",), f"{name} reads one stage")
    if sizes is None:
        return
    width, heads = sizes.width or 256, sizes.heads or 8
    # Positions take half of the width each for x and y, as pairs of a sine and a cosine.
    if width % heads or width % 4:
        yield Fault(("transformer", "width"), f"width {width} must be a multiple of 4 and of the {heads} heads")
    if family == "deformable_detr":
        stages, levels = len(scale.stages or (1, 2, 3)), sizes.levels or 4
        if levels < stages:
            yield Fault(("transformer", "levels"), f"{levels} levels cannot hold {stages} stages")
        if width % 8:
            yield Fault(("transformer", "width"), f"width {width} must be a multiple of 8, a group of its norm")
    elif sizes.levels is not None:
        yield Fault(("transformer", "levels"), f"{name} has one level")


def _init(init: Init) -> Iterator[Fault]:
    if init.path is not None and (init.kind != "onnx" or init.file is not None):
        yield Fault(("path",), "`path` takes the place of `file` where the kind is onnx, and stands nowhere else")
    if init.kind == "scratch":
        if init.file is not None:
            yield Fault(("file",), "training from scratch starts from no file")
    elif init.file is None and init.path is None:
        yield Fault((), f"init {init.kind} needs a `file`{' or a `path`' if init.kind == 'onnx' else ''}")
    elif init.kind == "onnx":
        if init.file is not None and not _ONNX.fullmatch(init.file):
            yield Fault(("file",), "expected a file name that ends in .onnx, without folders")
    elif not _CHECKPOINT.fullmatch(init.file or ""):
        what = "a file name that ends in -<first 8 hex digits of its sha256>.pth, without folders"
        yield Fault(("file",), f"expected {what}")
    if init.kind == "onnx" and init.sha256 is None:
        yield Fault((), "init onnx needs the file's `sha256`")
    elif init.kind != "onnx" and init.sha256 is not None:
        yield Fault(("sha256",), f"init {init.kind} has its hash in the file's name")
