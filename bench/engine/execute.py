"""One job from end to end, in this process: data, model, training, predictions, scores, record."""

import copy
import shutil
from collections.abc import Callable
from itertools import pairwise
from statistics import fmean
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from bench.data.dataset import Dataset
from bench.data.load import fingerprint, load
from bench.detectors.build import build_detector, refuse_training
from bench.detectors.checkpoint import save_weights
from bench.detectors.initial import initialise
from bench.detectors.pipeline import Draw, train_loader
from bench.detectors.predict import predict
from bench.engine.curves import backends
from bench.engine.order import Order
from bench.engine.place import Placed, quantize
from bench.engine.rate import in_steps
from bench.engine.recorded import recorded
from bench.engine.seeds import seed_all
from bench.engine.start import load_start
from bench.engine.training import Trained, train
from bench.engine.world import device, joined
from bench.errors import BenchError
from bench.evaluation.harmony import positives
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.evaluation.scores import Scores
from bench.methods.stack import MethodStack
from bench.processes import world
from bench.quantization import kernels
from bench.records.build import Stopwatch, data_facts, provenance
from bench.records.environment import environment, environment_key
from bench.records.files import write_json
from bench.records.record import Record, SavedPredictions, Training
from bench.records.store import JobFolder, Store
from bench.schema.data import Split
from bench.schema.recipe import Recipe

CURVE = 50
"""Points of the curve of losses that a record keeps."""
Report = Callable[[str, int, int, float | None], None]
"""Called with the phase, the steps done, the steps in all, and the last loss where there is one."""


def execute(order: Order, folder: JobFolder, report: Report) -> None:
    """Run the job in `folder` and write its predictions, its checkpoint and, last, its record.

    Under torchrun the processes train together; the leader alone predicts and writes.
    Raises BenchError where the data, the checkpoint, the placement or the training go wrong.
    """
    torch.set_num_threads(order.threads)
    with joined(order.identity) as here:
        job = _Run(order, folder, report)
        job.train()
        if here.leads:
            job.record(*job.measure())


class _Run:
    """The phases of one job."""

    def __init__(self, order: Order, folder: JobFolder, report: Report) -> None:
        self.order, self.folder, self.report = order, folder, report
        self.clock = Stopwatch()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.protocol = order.protocol
        self.scale, self.recipe = order.protocol.detector.scale, order.protocol.recipe
        if self.recipe is not None:
            refuse_training(self.scale)
        self.placed: Placed | None = None
        self.trained = Trained([], ())
        self.scored: Split = order.protocol.scored

    def train(self) -> None:
        """Data, detector, quantizers, training: everything up to the model that predicts."""
        order, clock, protocol = self.order, self.clock, self.protocol
        seed_all(protocol.seeds.init)
        with clock.phase("data"):
            self.report("data", 0, 1, None)
            _refuse_changed(order)
            self.splits: dict[Split, Dataset] = {name: _split(order, name) for name in ("train", self.scored)}
        with clock.phase("build"):
            classes = self.splits["train"].classes
            self.model = build_detector(protocol.detector.name, self.scale, classes, protocol.seeds.init, order.root)
            if order.start is not None:
                load_start(self.model, order.start, protocol.start_part)
            else:
                initialise(self.model, self.scale.init, order.root)
            self.methods = MethodStack.of(protocol.methods)
            self.methods.adapt_model(self.model)
            self.model.to(self.device)
        if protocol.policy is not None:
            with clock.phase("calibrate"):
                self.report("calibrate", 0, 1, None)
                self.placed = quantize(self.model, self.methods, self.splits["train"], protocol, order.pins)
        if self.recipe is not None:
            with clock.phase("train"):
                self.trained = self._fit(self.recipe)
        self.methods.after_training(self.model)

    def measure(self) -> tuple[Predictions, Scores]:
        """The stored predictions, and the scores that are computed from them."""
        with self.clock.phase("predict"):
            predictions = self._predict(self.model)
            predictions.save(self.folder.predictions)
        with self.clock.phase("score"):
            self.report("score", 0, 1, None)
            return predictions, self._score(predictions)

    def _predict(self, model: nn.Module) -> Predictions:
        size, batch = self.scale.input, self.scale.test.batch
        data = self.splits[self.scored]
        found = predict(model, data, size, batch, lambda done, n: self.report("predict", done, n, None))
        return Predictions.from_coco(found)

    def _score(self, predictions: Predictions) -> Scores:
        return metric_of(self.protocol.metric).score(self.splits[self.scored].coco, predictions.detections())

    def record(self, predictions: Predictions, scores: Scores) -> None:
        """Write the checkpoint, where other rows may start from the model, and the record."""
        order, placed, clock = self.order, self.placed, self.clock
        # An untrained row's too: others may start from a published checkpoint, or from weights that its method changed.
        checkpoint = save_weights(self.model, self.folder.checkpoint)
        extras = placed.packages if placed else ()
        # Training has fused losses, also where nothing is quantized.
        path = kernels.name(self.device) if placed or self.protocol.recipe else "eager"
        facts = environment(path, order.threads, 0, world().size, device(), extras)
        record = Record(
            identity=order.identity,
            protocol=self.protocol.raw,
            metrics=scores.metrics,
            per_category=scores.per_category,
            category_images=scores.images,
            harmony=positives(self.splits[self.scored].coco, predictions.detections()).facts(),
            scorer=scores.scorer,
            predictions=SavedPredictions(digest=predictions.digest(), count=len(predictions)),
            placement=placed.pins if placed else None,
            placement_sites=placed.sites if placed else (),
            calibration_images=placed.images if placed else (),
            dead_sites=placed.dead if placed else (),
            facts=self.methods.facts(self.model),
            data=data_facts(self.protocol.pin, self.splits),
            training=_training(self.trained.losses),
            evaluations=self.trained.evaluations,
            checkpoint_sha256=checkpoint,
            start_sha256=order.start.sha256 if order.start else None,
            environment=facts,
            environment_key=environment_key(facts),
            provenance=provenance(order.root, order.arguments, order.asked, self.protocol.own_sources()),
            cost=clock.cost(),
        )
        write_json(self.folder.losses, self.trained.losses)
        write_json(self.folder.record_file, record.model_dump(mode="json"))

    def _fit(self, recipe: Recipe) -> Trained:
        dataset, seed = self.splits["train"], self.protocol.seeds.data
        lengths = in_steps(recipe, len(dataset.coco["images"]))

        def loader(done: int) -> DataLoader[Any]:
            draw = Draw(seed, lengths.total * recipe.batch, done * recipe.batch, *world())
            return train_loader(dataset, self.scale.input, recipe.augment, recipe.batch, draw)

        def progress(done: int, total: int, loss: float) -> None:
            self.report("train", done, total, loss)

        def scores() -> dict[str, float]:
            return self._score(self._predict(self._finished())).metrics

        extra, reshapes = self.methods.regularisers, self.methods.reshapes
        work = self.folder.work
        curves = backends(self.order.log, self.order.root, self.order.asked)
        try:
            with recorded(self.model, self.methods.repeats):
                return train(
                    self.model, loader, recipe, lengths, seed, work, extra, reshapes, scores, progress, curves,
                    self.protocol.fresh,
                )  # fmt: skip
        finally:
            shutil.rmtree(self.folder.work, ignore_errors=True)

    def _finished(self) -> nn.Module:
        """The model as it would predict if training ended now."""
        if not self.methods.finishes:
            return self.model
        model = copy.deepcopy(self.model)
        self.methods.after_training(model)
        return model


def _refuse_changed(order: Order) -> None:
    """Planning may have remembered the pin of a large file; what is trained on is hashed."""
    now = fingerprint(order.protocol.data, order.root)
    if now != order.protocol.pin:
        raise BenchError(f"the data have changed since they were planned: {order.protocol.pin}, now {now}; run again")


def _split(order: Order, name: Split) -> Dataset:
    return load(order.protocol.data, name, order.root, Store(order.root).data_cache)


def _training(losses: list[float]) -> Training | None:
    if not losses:
        return None
    parts = min(CURVE, len(losses))
    edges = [k * len(losses) // parts for k in range(parts + 1)]
    curve = tuple(float(f"{fmean(losses[a:b]):.4g}") for a, b in pairwise(edges))
    return Training(steps=len(losses), first_loss=losses[0], last_loss=fmean(losses[-50:]), curve=curve)
