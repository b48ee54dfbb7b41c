"""Interrupted training goes on where it stood: bit for bit on a CPU, where no loader worker draws random numbers."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from bench.engine.losses import Losses
from bench.errors import BenchError
from bench.records.files import write_atomically


class Snapshots(Hook):  # type: ignore[misc]
    """Writes the whole state of training every so many steps, and puts an earlier one back.

    mmengine's own resume cannot load its checkpoint's message hub as plain tensors, and its checkpoint hook deletes
    the old file before the new one is written.
    """

    priority = "VERY_LOW"

    def __init__(self, path: Path, every: int | None, losses: Losses) -> None:
        self.path, self.every, self.losses = path, every, losses
        self.state = self._read()
        self.done: int = self.state["done"] if self.state else 0
        """Optimizer steps that an earlier process did."""

    def before_train(self, runner: Runner) -> None:
        """Put the state back; the loader's iterator exists by now and has drawn its seed."""
        if self.state is None:
            return
        runner.model.load_state_dict(self.state["model"])
        runner.optim_wrapper.optimizer.load_state_dict(self.state["optimizer"])
        self.losses.known[:] = self.state["losses"]
        torch.set_rng_state(self.state["torch"])
        random.setstate(_python_state(self.state["python"]))
        np.random.set_state(("MT19937", self.state["numpy"].numpy().astype(np.uint32), *self.state["numpy_tail"]))
        self.state = None

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Write a snapshot when one is due."""
        done = self.done + runner.iter + 1
        if self.every is None or done % self.every or runner.iter + 1 == runner.max_iters:
            return
        _, keys, *tail = np.random.get_state()
        version, internal, gauss = random.getstate()
        state = {
            "done": done,
            "model": runner.model.state_dict(),
            "optimizer": runner.optim_wrapper.optimizer.state_dict(),
            "losses": list(self.losses.read()),
            "torch": torch.get_rng_state(),
            "python": [version, list(internal), gauss],
            "numpy": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "numpy_tail": [int(tail[0]), int(tail[1]), float(tail[2])],
        }
        write_atomically(self.path, lambda part: torch.save(state, part))

    def _read(self) -> dict[str, Any] | None:
        if self.every is None or not self.path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location="cpu", weights_only=True)
        except Exception as error:
            reason = str(error).splitlines()[0]
            raise BenchError(f"{self.path}: not a snapshot ({reason}); remove it to train from the start") from None
        return state


def _python_state(stored: list[Any]) -> tuple[Any, ...]:
    version, internal, gauss = stored
    return version, tuple(internal), gauss
