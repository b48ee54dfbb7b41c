"""One job from end to end, in this process: data, model, training, predictions, scores, record."""

import json
import shutil
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch
from pydantic import TypeAdapter
from torch.utils.data import DataLoader

from bench.data.dataset import Dataset
from bench.data.load import load
from bench.detectors.build import build_detector, refuse_training
from bench.detectors.checkpoint import save_weights
from bench.detectors.initial import initialise
from bench.detectors.pipeline import Draw, train_loader
from bench.detectors.predict import predict
from bench.engine.order import Order
from bench.engine.place import Placed, quantize
from bench.engine.rate import in_steps
from bench.engine.seeds import seed_all
from bench.engine.start import load_start
from bench.engine.training import Trained, train
from bench.engine.world import device, joined
from bench.evaluation.harmony import positives
from bench.evaluation.metric import metric_of
from bench.evaluation.predictions import Predictions
from bench.evaluation.scores import Scores
from bench.methods.protocol import build, having
from bench.processes import world
from bench.quantization import kernels
from bench.records.build import Stopwatch, data_facts, provenance
from bench.records.environment import environment, environment_key
from bench.records.files import write_json
from bench.records.record import Asked, Record, SavedPredictions, Training
from bench.records.store import JobFolder, Store
from bench.schema.data import DataSpec, Split
from bench.schema.detector import DetectorScale
from bench.schema.recipe import Recipe
from bench.schema.suite import Metric

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
        protocol = order.protocol
        self.scale: DetectorScale = _parse(DetectorScale, protocol["detector"]["scale"])
        self.recipe: Recipe | None = _parse(Recipe, protocol["recipe"]) if protocol["recipe"] else None
        self.metric: Metric = _parse(Metric, protocol["metric"])
        if self.recipe is not None:
            refuse_training(self.scale)
        self.placed: Placed | None = None
        self.trained = Trained([], ())
        self.scored: Split = protocol.get("scored", "test")

    def train(self) -> None:
        """Data, detector, quantizers, training: everything up to the model that predicts."""
        order, clock, seeds = self.order, self.clock, self.order.protocol["seeds"]
        seed_all(seeds["init"])
        with clock.phase("data"):
            self.report("data", 0, 1, None)
            self.splits: dict[Split, Dataset] = {name: _split(order, name) for name in ("train", self.scored)}
        with clock.phase("build"):
            name, classes = order.protocol["detector"]["name"], self.splits["train"].classes
            self.model = build_detector(name, self.scale, classes, seeds["init"])
            if order.start is not None:
                load_start(self.model, order.start, order.protocol.get("start_part"))
            else:
                initialise(self.model, self.scale.init, order.root)
            methods = build(order.protocol["methods"])
            for adapt in having(methods, "adapt_model"):
                adapt(self.model)
            self.model.to(self.device)
        if order.protocol["policy"]:
            with clock.phase("calibrate"):
                self.report("calibrate", 0, 1, None)
                self.placed = quantize(self.model, methods, self.splits["train"], order, self.scale, self.recipe)
        if self.recipe is not None:
            with clock.phase("train"):
                self.trained = self._fit(self.recipe, methods, seeds["data"])
        for finish in having(methods, "after_training"):
            finish(self.model)

    def measure(self) -> tuple[Predictions, Scores]:
        """The stored predictions, and the scores that are computed from them."""
        with self.clock.phase("predict"):
            predictions = self._predict()
            predictions.save(self.folder.predictions)
        with self.clock.phase("score"):
            self.report("score", 0, 1, None)
            return predictions, self._score(predictions)

    def _predict(self) -> Predictions:
        size, batch = self.scale.input, self.scale.test.batch
        data = self.splits[self.scored]
        found = predict(self.model, data, size, batch, lambda done, n: self.report("predict", done, n, None))
        return Predictions.from_coco(found)

    def _score(self, predictions: Predictions) -> Scores:
        return metric_of(self.metric).score(self.splits[self.scored].coco, predictions.to_coco())

    def record(self, predictions: Predictions, scores: Scores) -> None:
        """Write the checkpoint, where other rows may start from the model, and the record."""
        order, placed, clock = self.order, self.placed, self.clock
        # A published checkpoint too: other rows start from this one.
        kept = self.recipe is not None or (order.start is None and self.scale.init.kind == "checkpoint")
        checkpoint = save_weights(self.model, self.folder.checkpoint) if kept else None
        extras = (
            ("mqbench",) if any(u["options"].get("backend") == "mqbench" for u in order.protocol["methods"]) else ()
        )
        path = kernels.name(self.device) if placed else "eager"
        facts = environment(path, order.threads, 0, world().size, device(), extras)
        asked = Asked.parse(order.asked_by)
        assert asked is not None, order.asked_by
        record = Record(
            identity=order.identity,
            protocol=order.protocol,
            metrics=scores.metrics,
            per_category=scores.per_category,
            harmony=positives(self.splits[self.scored].coco, predictions.to_coco()).facts(),
            scorer=metric_of(self.metric).scorer(facts["packages"]),
            predictions=SavedPredictions(digest=predictions.digest(), count=len(predictions)),
            placement=placed.pins if placed else None,
            placement_sites=placed.sites if placed else (),
            calibration_images=placed.images if placed else (),
            data=data_facts(order.protocol["data"]["pin"], self.splits),
            training=_training(self.trained.losses),
            evaluations=self.trained.evaluations,
            checkpoint_sha256=checkpoint,
            start_sha256=order.start.sha256 if order.start else None,
            environment=facts,
            environment_key=environment_key(facts),
            provenance=provenance(order.root, order.arguments, asked),
            cost=clock.cost(),
        )
        write_json(self.folder.losses, self.trained.losses)
        write_json(self.folder.record_file, record.model_dump(mode="json"))

    def _fit(self, recipe: Recipe, methods: list[Any], seed: int) -> Trained:
        dataset = self.splits["train"]
        lengths = in_steps(recipe, len(dataset.coco["images"]))

        def loader(done: int) -> DataLoader[Any]:
            draw = Draw(seed, lengths.total * recipe.batch, done * recipe.batch, *world())
            return train_loader(dataset, self.scale.input, recipe.augment, recipe.batch, draw)

        def progress(done: int, total: int, loss: float) -> None:
            self.report("train", done, total, loss)

        def scores() -> dict[str, float]:
            return self._score(self._predict()).metrics

        extra, reshapes = having(methods, "regulariser"), having(methods, "reshape_losses")
        work = self.folder.work
        try:
            return train(self.model, loader, recipe, lengths, seed, work, extra, reshapes, scores, progress)
        finally:
            shutil.rmtree(self.folder.work, ignore_errors=True)


def _split(order: Order, name: Split) -> Dataset:
    spec: DataSpec = TypeAdapter(DataSpec).validate_json(json.dumps(order.data))
    return load(spec, name, order.root, Store(order.root).data_cache)


def _training(losses: list[float]) -> Training | None:
    if not losses:
        return None
    return Training(steps=len(losses), first_loss=losses[0], last_loss=fmean(losses[-50:]))


def _parse(model: Any, value: Any) -> Any:
    return model.model_validate_json(json.dumps(value))
