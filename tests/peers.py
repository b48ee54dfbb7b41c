"""What ONNX Runtime and NNCF make of a suite's ONNX detectors, as external rows (extra `peers`).

Each peer quantizes the very file of a row, on the calibration images of that row. Its own runtime then predicts the
suite's test images; preparation, decoding, NMS and scorer are this project's, so that nothing but the quantization
differs: `python -m tests.peers detptq/coco_real`, and `--list` shows what it would do.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.load import load
from bench.data.weights import checkpoint_path
from bench.detectors.build import build_detector
from bench.detectors.predict import predict
from bench.engine.place import calibration_loader
from bench.external.submit import Submission, submit
from bench.plan.jobs import Job, plan
from bench.schema.load import Located, load_suite

Images = list[np.ndarray[Any, Any]]
"""Prepared inputs [1, 3, h, w] of the calibration images."""
Quantize = Callable[[Path, Path, str, Images], None]
"""From a file to a quantized one, given the input's name and the calibration images."""


def opened(source: Path, *, by_channel: bool) -> Any:
    """The file's model; weights by channel need opset 13, so an earlier one is converted for them."""
    import onnx
    from onnx.version_converter import convert_version

    model = onnx.load(source)
    return convert_version(model, 13) if by_channel and model.opset_import[0].version < 13 else model


def onnx_runtime(calibrate: str, **options: Any) -> Quantize:
    """`quantize_static` of ONNX Runtime."""

    def quantize(source: Path, target: Path, name: str, images: Images) -> None:
        from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, quantize_static

        class Reader(CalibrationDataReader):  # type: ignore[misc]
            def __init__(self) -> None:
                self.left = iter(images)

            def get_next(self) -> dict[str, Any] | None:
                image = next(self.left, None)
                return None if image is None else {name: image}

        model = opened(source, by_channel=options.get("per_channel", False))
        quantize_static(model, target, Reader(), calibrate_method=CalibrationMethod[calibrate], **options)

    return quantize


def nncf_quantize(*, mixed: bool, corrected: bool) -> Quantize:
    """`quantize` of NNCF: mean of minima and maxima, weights by channel.

    Args:
        mixed: activations with an offset, which NNCF advises for Swish and its like; else its default, without one.
        corrected: with fast bias correction, its default.
    """

    def quantize(source: Path, target: Path, name: str, images: Images) -> None:
        import nncf
        import onnx

        data = nncf.Dataset(images, lambda image: {name: image})
        preset = nncf.QuantizationPreset.MIXED if mixed else None
        advanced = nncf.AdvancedQuantizationParameters(disable_bias_correction=not corrected)
        model = opened(source, by_channel=True)
        found = nncf.quantize(model, data, preset=preset, subset_size=len(images), advanced_parameters=advanced)
        onnx.save(found, target)

    return quantize


def convolutions(calibrate: str, **extra: Any) -> Quantize:
    """Weights by channel and inputs of the convolutions alone, as `layers: [conv]` has it: by itself ONNX Runtime
    quantizes their outputs too, before the activation function."""
    extra |= {"OpTypesToExcludeOutputQuantization": ["Conv"]}
    return onnx_runtime(calibrate, per_channel=True, op_types_to_quantize=["Conv"], extra_options=extra)


PEERS: dict[str, Quantize] = {
    "ort-default": onnx_runtime("MinMax"),
    "ort-outputs": onnx_runtime("MinMax", per_channel=True, op_types_to_quantize=["Conv"]),
    "ort-minmax": convolutions("MinMax"),
    "ort-percentile": convolutions("Percentile", CalibPercentile=99.99),
    "ort-entropy": convolutions("Entropy"),
    "nncf": nncf_quantize(mixed=False, corrected=True),
    "nncf-mixed": nncf_quantize(mixed=True, corrected=True),
    "nncf-mixed-uncorrected": nncf_quantize(mixed=True, corrected=False),
}
"""By what follows the detector in a row's id, such as `yolox-ort-minmax`."""


class Task(NamedTuple):
    """A row that waits for a peer's predictions."""

    row: str
    peer: str
    job: Job
    """Of the first row of our own with quantizers at the same detector: whose calibration images are taken."""


def tasks(suite: Located, jobs: list[Job]) -> Iterator[Task]:
    """The rows that are not run here and whose ids end in the name of a peer."""
    for row in suite.suite.rows:
        peer = next((peer for peer in PEERS if row.reported_only and row.id.endswith(f"-{peer}")), None)
        if peer is not None:
            ours = (job for job in jobs if job.row.detector == row.detector and job.protocol.calibration)
            yield Task(row.id, peer, next(ours))


class Session(nn.Module):
    """A file run by ONNX Runtime, in the place of a detector's graph."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        import onnxruntime

        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input: str = self.session.get_inputs()[0].name

    def forward(self, images: Tensor) -> list[Tensor]:
        return [torch.from_numpy(output) for output in self.session.run(None, {self.input: images.numpy()})]


def predictions(task: Task, root: Path) -> list[dict[str, Any]]:
    """What the peer's file detects on the test images."""
    protocol, calibration = task.job.protocol, task.job.protocol.calibration
    scale, source = protocol.detector.scale, checkpoint_path(protocol.detector.scale.init, root)
    assert source is not None and calibration is not None
    train, test = (load(protocol.data, split, root, root) for split in ("train", "test"))
    model: Any = build_detector(protocol.detector.name, scale, test.classes, 0, root)
    loader = calibration_loader(train, protocol, calibration)
    images = [model.data_preprocessor(batch)["inputs"].numpy() for batch in loader]
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "quantized.onnx"
        PEERS[task.peer](source, target, Session(source).input, images)
        model.graph = Session(target)
        return predict(model, test, scale.input, 1)


def main(given: list[str]) -> None:
    """Submit what each peer detects."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite")
    parser.add_argument("--tier")
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument("--list", action="store_true", help="show the rows and stop")
    args = parser.parse_args(given)
    suite = load_suite(args.suite, args.root)
    tier = args.tier or suite.default_tier
    for task in tasks(suite, plan(suite, tier)):
        if args.rows and task.row not in args.rows:
            continue
        print(f"{task.row}: {task.peer}, calibrated as {task.job.row.id}", flush=True)
        if not args.list:
            print(f"  AP {100 * enter(task, suite, tier):.2f}", flush=True)


def enter(task: Task, suite: Located, tier: Any) -> float:
    """Submit the predictions; returns their AP."""
    found = predictions(task, suite.root)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{task.row}.json"
        file.write_text(json.dumps(found), encoding="utf-8")
        asked = Submission(task.row, 0, file, f"python -m tests.peers, {versions(task.peer)}")
        return submit(suite, tier, asked, replace=True).record.metrics["AP"]


def versions(peer: str) -> str:
    """Of what computed."""
    from importlib.metadata import version

    names = ["onnxruntime"] + (["nncf"] if peer.startswith("nncf") else [])
    return ", ".join(f"{name} {version(name)}" for name in names)


if __name__ == "__main__":
    main(sys.argv[1:])
