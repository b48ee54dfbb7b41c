"""A training's curves in TensorBoard, MLflow or Weights & Biases, through mmengine's own backends."""

from pathlib import Path
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from bench.engine.evaluations import Evaluations
from bench.engine.losses import Losses
from bench.engine.order import Logger
from bench.records.record import Asked
from bench.records.store import LOCAL

PROJECT = "qdet-bench"


def backends(log: Logger | None, root: Path, asked: Asked) -> list[dict[str, Any]]:
    """mmengine's configuration of where the curves of a job go, below results/local/logs/; nothing for None."""
    if log is None:
        return []
    folder = root / LOCAL / "logs" / log
    name = f"{asked.row} seed {asked.seed}"
    match log:
        case "tensorboard":
            own = folder / asked.suite / asked.tier / f"{asked.row}.{asked.seed}"
            return [dict(type="TensorboardVisBackend", save_dir=str(own))]
        case "mlflow":
            experiment = f"{asked.suite} {asked.tier}"
            return [dict(type="MLflowVisBackend", save_dir=str(folder), exp_name=experiment, run_name=name)]
        case "wandb":
            run = dict(project=PROJECT, group=f"{asked.suite} {asked.tier}", name=name)
            return [dict(type="WandbVisBackend", save_dir=str(folder), init_kwargs=run)]


class Curves(Hook):  # type: ignore[misc]
    """Sends the loss and the learning rate of each step, and the scores of each evaluation."""

    priority = "LOWEST"
    """After the evaluation of the step."""

    def __init__(self, done: int, losses: Losses, evaluations: Evaluations) -> None:
        self.done, self.losses, self.evaluations = done, losses, evaluations

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Steps count from 1."""
        step = self.done + runner.iter + 1
        rate = runner.optim_wrapper.optimizer.param_groups[0]["lr"]
        runner.visualizer.add_scalars({"loss": self.losses.read()[-1], "learning_rate": rate}, step)
        found = self.evaluations.found
        if found and found[-1].step == step:
            runner.visualizer.add_scalars(
                {name: value for name, value in found[-1].metrics.items() if value >= 0}, step
            )

    def after_train(self, runner: Runner) -> None:
        """What is not written yet is written."""
        runner.visualizer.close()
