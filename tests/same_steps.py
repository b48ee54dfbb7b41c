"""Whether a training step computes what it did in another checkout: `python -m tests.same_steps --base DIR`.

Each of the eleven detectors, small, is built with equal weights in two processes, one a checkout, and given the same
batches (50, `--batches`). Printed are the largest differences of the losses and of the gradient of all parameters,
relative to their norms; one above 1e-5 ends in status 1.
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

TESTS = Path(__file__).resolve().parent
LIMIT = 1e-5
SIDE = 64
CLASSES = 5


class Steps:
    """A worker's side: one detector at a time."""

    def __init__(self) -> None:
        self.model: Any = None

    def answer(self, do: str, **values: Any) -> Any:
        import torch

        if do == "build":
            from detector_scales import small_scale

            from bench.detectors.build import build_detector

            torch.set_num_threads(1)
            name = values["name"]
            self.model = build_detector(name, small_scale(name, SIDE), tuple("abcde"[:CLASSES]), 0).train()
            self.start = {key: value.clone() for key, value in self.model.state_dict().items()}
            return None
        # Of the running statistics too: each batch meets the same model.
        self.model.load_state_dict(self.start)
        self.model.zero_grad()
        torch.manual_seed(values["number"])
        data = self.model.data_preprocessor(batch(values["number"]), True)
        loss, parts = self.model.parse_losses(self.model(**data, mode="loss"))
        loss.backward()
        flat = [p.grad.flatten() for p in self.model.parameters() if p.grad is not None]
        np.save(values["file"], torch.cat(flat).numpy())
        return {key: float(value) for key, value in parts.items()}


def batch(number: int) -> dict[str, list[Any]]:
    """Two noisy images with 0 to 6 boxes each, in the form of a detector's loader."""
    import torch
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    generator = torch.Generator().manual_seed(number)
    shape = (SIDE, SIDE)
    facts = {"img_shape": shape, "ori_shape": shape, "pad_shape": shape, "scale_factor": (1.0, 1.0)}
    found: dict[str, list[Any]] = {"inputs": [], "data_samples": []}
    for image in range(2):
        count = int(torch.randint(image, 7, (), generator=generator))
        corners = (torch.rand(count, 2, 2, generator=generator) * (SIDE - 4)).sort(dim=1).values
        corners[:, 1] += 4
        labels = torch.randint(0, CLASSES, (count,), generator=generator)
        sample = DetDataSample(metainfo=facts)
        sample.gt_instances = InstanceData(bboxes=corners.reshape(-1, 4), labels=labels)
        found["data_samples"].append(sample)
        found["inputs"].append(torch.randint(0, 256, (3, *shape), generator=generator, dtype=torch.uint8))
    return found


def difference(one: Any, other: Any) -> float:
    """Relative to the norm of the other."""
    one, other = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return float("inf")
    norm = np.linalg.norm(other)
    return float(np.linalg.norm(one - other) / norm) if norm else float(np.linalg.norm(one))


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="the other checkout")
    parser.add_argument("--batches", type=int, default=50)
    parser.add_argument("--detector", action="append")
    args = parser.parse_args()
    if not (args.base / "tests/detector_scales.py").is_file():
        parser.error(f"--base {args.base}: no checkout of this project")
    sys.path.append(str(TESTS))
    from checkouts import HERE, Worker

    from bench.schema.catalog import CATALOG

    worst = 0.0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        files = [folder / "here.npy", folder / "base.npy"]
        workers = [stack.enter_context(Worker(checkout, __file__)) for checkout in (HERE, args.base)]
        for name in args.detector or CATALOG:
            for worker in workers:
                worker.ask(do="build", name=name)
            losses, gradients = [], []
            for number in range(args.batches):
                asked = zip(workers, files, strict=True)
                here, base = (worker.ask(do="step", number=number, file=str(file)) for worker, file in asked)
                assert here.keys() == base.keys(), (here.keys(), base.keys())
                losses.append(difference(list(here.values()), list(base.values())))
                gradients.append(difference(*map(np.load, files)))
            worst = max(worst, *losses, *gradients)
            print(f"{name}: losses {max(losses):.1e}, gradients {max(gradients):.1e}", flush=True)
    if worst > LIMIT:
        sys.exit(f"a difference of {worst:.1e} is above {LIMIT}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        # Behind the checkout's own folders, which come first.
        sys.path.append(str(TESTS))
        from checkouts import serve

        serve(Steps().answer)
    else:
        main()
