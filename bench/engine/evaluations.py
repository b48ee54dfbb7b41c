"""Scores of a model while it trains: papers report their best epoch, and a reader wants to see what that adds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from pydantic import TypeAdapter

from bench.records.files import write_json
from bench.records.record import Evaluated

Score = Callable[[], dict[str, float]]
_FOUND = TypeAdapter(list[Evaluated])


class Evaluations(Hook):  # type: ignore[misc]
    """Scores the model after the steps `at`. Training goes on as if nothing had been: same modes, same random numbers.

    What was found is kept in `path`, so that a training that was interrupted has it when it goes on.
    """

    priority = "LOW"
    """Before the snapshots, so that none is ahead of its scores."""

    def __init__(self, path: Path, at: frozenset[int], score: Score, done: int) -> None:
        self.path, self.at, self.score, self.done = path, at, score, done
        earlier = _FOUND.validate_json(path.read_bytes()) if at and path.is_file() else []
        self.found = [one for one in earlier if one.step <= done]

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Score the model where it is time."""
        step = self.done + runner.iter + 1
        if step not in self.at:
            return
        modes = [(module, module.training) for module in runner.model.modules()]
        # A loader draws its seed from the generator that training draws from.
        with torch.random.fork_rng(devices=[]):
            self.found.append(Evaluated(step=step, metrics=self.score()))
        for module, training in modes:
            module.training = training
        write_json(self.path, _FOUND.dump_python(self.found, mode="json"))
