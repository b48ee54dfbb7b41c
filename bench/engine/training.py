"""Training of one job through mmengine's Runner: our schedule, our progress, and a stop at the first NaN."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin
from mmengine.optim.scheduler.param_scheduler import _ParamScheduler
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from bench.detectors.positives import Reshape, reshaped
from bench.engine.curves import Curves
from bench.engine.evaluations import Evaluations, Score
from bench.engine.losses import Losses
from bench.engine.rate import Lengths, factor
from bench.engine.resume import Snapshots
from bench.errors import BenchError
from bench.processes import world
from bench.quantization.apply import STATE, freeze_quantizers
from bench.records.record import Evaluated
from bench.schema.recipe import Group, Recipe, most_specific


class Trained(NamedTuple):
    """What training leaves behind beside the model."""

    losses: list[float]
    """Of each step."""
    evaluations: tuple[Evaluated, ...]


Progress = Callable[[int, int, float], None]
"""Called with the steps done, the steps in all, and the last loss."""

Regulariser = Callable[[nn.Module, dict[str, Any]], torch.Tensor]

OPTIMIZERS = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}


class _Schedule(LRSchedulerMixin, _ParamScheduler):  # type: ignore[misc]
    """The recipe's factor times each group's own learning rate."""

    def __init__(self, optimizer: Any, recipe: Recipe, lengths: Lengths, done: int) -> None:
        self.recipe, self.lengths, self.done = recipe, lengths, done
        super().__init__(optimizer, by_epoch=False)

    def _get_value(self) -> list[float]:
        now = factor(self.recipe, self.lengths, self.done + self.last_step)
        return [group[f"initial_{self.param_name}"] * now for group in self.optimizer.param_groups]


class _Watch(Hook):  # type: ignore[misc]
    """Keeps the backbone's BatchNorm as the recipe says, reports progress, fails where a loss is not finite."""

    def __init__(self, recipe: Recipe, total: int, progress: Progress) -> None:
        self.frozen_norm = recipe.batch_norm == "frozen"
        self.total, self.progress = total, progress
        self.losses = Losses()

    @property
    def done(self) -> float:
        """Share of the training that lies behind, 0 to below 1."""
        return len(self.losses) / self.total

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        if self.frozen_norm:
            for name, module in runner.model.named_modules():
                # Under DDP the detector is a child `module`.
                if "backbone" in name.split(".")[:2] and isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if self.losses.add(outputs["loss"]) or len(self.losses) == self.total:
            known = self.losses.read()
            self.progress(len(known), self.total, known[-1])


class _Info(RuntimeInfoHook):  # type: ignore[misc]
    """mmengine's, without its copies of losses and rates, for which each step would wait."""

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        runner.message_hub.update_info("iter", runner.iter)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        pass


class _OptimWrapper(OptimWrapper):  # type: ignore[misc]
    """mmengine's, which would wait for the norm of the gradients to write it down."""

    def _clip_grad(self) -> None:
        held = (p for group in self.optimizer.param_groups for p in group["params"])
        if params := [p for p in held if p.requires_grad and p.grad is not None]:
            self.clip_func(params, **self.clip_grad_kwargs)


class _QuietRunner(Runner):  # type: ignore[misc]
    fresh = True
    """Whether the model's weights are those that it was built with."""

    def _init_model_weights(self) -> None:
        """As mmengine; where a checkpoint was loaded nothing is drawn anew, as DETRs' encoder and decoder would be."""
        inner: Any = getattr(self.model, "module", self.model)
        if not self.fresh:
            inner.init_weights = lambda: None
        try:
            super()._init_model_weights()
        finally:
            vars(inner).pop("init_weights", None)

    def _log_env(self, env_cfg: dict[str, Any]) -> None:
        """Provenance is ours; mmengine's would start compilers to ask for their versions."""

    def dump_config(self) -> None:
        """The job's protocol is the configuration."""

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> Any:
        """As mmengine, which names a GPU even where there is none."""
        if self.distributed and not torch.cuda.is_available():
            unused = bool(self.cfg.get("find_unused_parameters"))
            return MMDistributedDataParallel(module=model, broadcast_buffers=False, find_unused_parameters=unused)
        return super().wrap_model(model_wrapper_cfg, model)


def train(
    model: nn.Module,
    loader: Callable[[int], DataLoader[Any]],
    recipe: Recipe,
    lengths: Lengths,
    seed: int,
    folder: Path,
    regularisers: list[Regulariser],
    reshapes: list[Reshape],
    score: Score,
    progress: Progress,
    curves: list[dict[str, Any]] | None = None,
    fresh: bool = True,
) -> Trained:
    """Train `model` in place for `lengths.total` steps.

    `loader` gives the batches from a step on. An interrupted training goes on from its last snapshot in `folder`.
    After the steps `lengths.evaluations` it is scored by `score`, by the leader where several processes train.
    `curves` are mmengine's backends that get the loss of each step (`bench.engine.curves`).
    `fresh`: whether the model has the weights that it was built with, none of a whole checkpoint.
    Each regulariser's scalar is added to the loss of its batch; `reshapes` change those of its positive samples.
    Raises BenchError at the step where the loss stops being finite.
    """
    _freeze(model, recipe)
    here = world()
    watch = _Watch(recipe, lengths.total, progress)
    snapshots = Snapshots(folder / f"snapshot{here.rank or ''}.pth", recipe.snapshot_every, watch.losses)
    at = lengths.evaluations if here.leads else frozenset[int]()
    evaluations = Evaluations(folder / "evaluations.json", at, score, snapshots.done)
    sent = [Curves(snapshots.done, watch.losses, evaluations)] if curves and here.leads else []
    runner = _QuietRunner(
        model=model,
        work_dir=str(folder),
        train_dataloader=loader(snapshots.done),
        train_cfg=dict(by_epoch=False, max_iters=lengths.total - snapshots.done),
        optim_wrapper=_optimizer(recipe, {}),
        default_hooks=dict(runtime_info=_Info(), timer=None, logger=None, checkpoint=None, sampler_seed=None),
        custom_hooks=[watch, evaluations, snapshots, *sent],
        randomness=dict(seed=seed, deterministic=True),
        experiment_name=folder.name,
        log_level="ERROR",
        default_scope="mmdet",
        launcher="none" if here.size == 1 else "pytorch",
        visualizer=dict(type="Visualizer", vis_backends=curves if sent else []),
        # A decoder's own call of the box branch lets no gradient through to the step size of what it reads.
        cfg=dict(find_unused_parameters=hasattr(model, "quantizers")),
    )
    runner.fresh = fresh
    _deterministic()
    runner.optim_wrapper = optim_wrapper(runner.model, recipe)
    runner.param_schedulers = [_Schedule(runner.optim_wrapper, recipe, lengths, snapshots.done)]
    with reshaped(model, reshapes), _regularised(model, regularisers, lambda: watch.done), _stays_in_training(model):
        try:
            runner.train()
        except RuntimeError as error:
            # Where a loss is about to overflow, YOLOX's assigner fails first, and on a GPU says nothing of use.
            with suppress(RuntimeError):
                watch.losses.read()
            last = ", ".join(f"{loss:.4g}" for loss in watch.losses.known[-3:]) or "none"
            raise RuntimeError(f"step {len(watch.losses) + 1}, last losses {last}: {error}") from error
    return Trained(watch.losses.read(), tuple(evaluations.found))


@contextmanager
def _stays_in_training(model: nn.Module) -> Iterator[None]:
    """mmengine puts the model into training mode at each step, which for hundreds of modules takes milliseconds."""
    patched: Any = model.train()
    plain = patched.train

    def train(mode: bool = True) -> nn.Module:
        return model if mode and model.training else plain(mode)

    patched.train = train
    try:
        yield
    finally:
        del patched.train


def _deterministic() -> None:
    """What mmengine's seeding asks for, where it can be had."""
    # Nothing reads memory that it has not written, and writing NaN there first costs 4 % of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # On a GPU some have no such form: the backward passes of `grid_sample` and RoIAlign, the sum over positions.
    torch.use_deterministic_algorithms(True, warn_only=torch.cuda.is_available())


@contextmanager
def _regularised(model: nn.Module, regularisers: list[Regulariser], done: Callable[[], float]) -> Iterator[None]:
    if not regularisers:
        yield
        return
    patched: Any = model
    plain = patched.loss

    def loss(batch_inputs: torch.Tensor, batch_data_samples: list[Any]) -> dict[str, Any]:
        terms = dict(plain(batch_inputs, batch_data_samples))
        batch = {"inputs": batch_inputs, "data_samples": batch_data_samples, "progress": done()}
        # A regulariser may ask for the detector's own loss once more.
        patched.loss = plain
        try:
            for number, regulariser in enumerate(regularisers):
                # mmengine sums the entries whose name holds "loss".
                terms[f"regulariser_{number}_loss"] = regulariser(model, batch)
        finally:
            patched.loss = loss
        return terms

    patched.loss = loss
    try:
        yield
    finally:
        del patched.loss


def optim_wrapper(model: nn.Module, recipe: Recipe) -> Any:
    """mmengine's optimizer of the recipe over the model's parameters.

    Raises BenchError for a group of the recipe that fits none of them.

    Neighbours of equal settings are one group and are stepped together, which changes no bit: mmengine gives every
    parameter a group of its own, and step sizes are many. Only neighbours, since clipping sums norms in their order.
    """
    wrapper = build_optim_wrapper(model, _optimizer(recipe, _groups(model, recipe)))
    groups: list[dict[str, Any]] = []
    for group in wrapper.optimizer.param_groups:
        if groups and all(groups[-1][key] == group[key] for key in group if key != "params"):
            groups[-1]["params"] += group["params"]
        else:
            groups.append(group)
    wrapper.optimizer.param_groups[:] = groups
    return wrapper


def _groups(model: nn.Module, recipe: Recipe) -> dict[str, Group]:
    """The group of each parameter that has one, by its full name, of which mmengine takes the longest that fits."""
    groups = recipe.optimizer.groups
    inner: nn.Module = getattr(model, "module", model)
    # Quantizers stand under the names of their sites, with slashes. One may hold its step in a buffer.
    names = {n: n.replace("/", ".") for n, _ in inner.named_parameters(remove_duplicate=False)}
    known = {*names.values(), *(n.replace("/", ".") for n, _ in inner.named_buffers(remove_duplicate=False))}
    for key in groups:
        # In a row without quantizers, with which it shares the recipe, a group of theirs fits nothing.
        theirs = key.startswith(".") and not hasattr(inner, STATE)
        if not theirs and not any(key in name for name in known):
            raise BenchError(f"the optimizer's group {key!r} fits no parameter of the model")
    chosen = {name: most_specific(groups, dotted) for name, dotted in names.items()}
    return {name: groups[key] for name, key in chosen.items() if key is not None}


def _optimizer(recipe: Recipe, groups: dict[str, Group]) -> dict[str, Any]:
    o = recipe.optimizer
    optimizer: dict[str, Any] = dict(type=OPTIMIZERS[o.kind], lr=o.lr, weight_decay=o.weight_decay, fused=True)
    if o.kind == "sgd":
        optimizer |= dict(momentum=o.momentum or 0.0, nesterov=o.nesterov)
    elif o.betas is not None:
        optimizer["betas"] = tuple(o.betas)
    custom = {name: dict(lr_mult=group.lr, decay_mult=group.decay) for name, group in groups.items()}
    return dict(
        type=_OptimWrapper,
        optimizer=optimizer,
        clip_grad=dict(max_norm=recipe.clip) if recipe.clip else None,
        paramwise_cfg=dict(norm_decay_mult=o.norm_decay, bias_decay_mult=o.bias_decay, custom_keys=custom),
    )


def _freeze(model: nn.Module, recipe: Recipe) -> None:
    backbone: Any = model.backbone
    if hasattr(backbone, "frozen_stages"):
        backbone.frozen_stages = recipe.frozen_stages
        backbone._freeze_stages()
    if recipe.frozen_stages >= 0:
        freeze_quantizers(model)
