"""One job from end to end, in this process: data, model, training, predictions, scores, record."""

import json
import resource
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import nn
from torch.utils.data import DataLoader

from bench.data.dataset import Dataset
from bench.data.load import load
from bench.detectors.build import build_detector, refuse_training
from bench.detectors.checkpoint import load_weights, save_weights
from bench.detectors.initial import initialise
from bench.detectors.pipeline import train_loader
from bench.detectors.predict import predict
from bench.engine.order import Order
from bench.engine.quantize import quantize
from bench.engine.schedule import in_steps
from bench.engine.training import train
from bench.evaluation.predictions import Predictions
from bench.evaluation.score import score
from bench.methods.protocol import build, having
from bench.records.environment import environment, environment_key
from bench.records.files import write_json
from bench.records.provenance import commit, source_hash
from bench.records.record import Cost, DataFacts, Phase, Provenance, Record, SavedPredictions, Training
from bench.records.store import JobFolder, Store
from bench.spec.data import DataSpec, Split
from bench.spec.detector import DetectorScale
from bench.spec.recipe import Recipe
from bench.spec.suite import Metric

Report = Callable[[str, int, int, float | None], None]
"""Called with the phase, the steps done, the steps in all, and the last loss where there is one."""


class _Clock:
    def __init__(self) -> None:
        self.phases: dict[str, Phase] = {}
        self.started = _now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.phases[name] = Phase(wall_s=round(time.perf_counter() - begin, 3), peak_mib=round(peak, 1))


def execute(order: Order, folder: JobFolder, report: Report) -> Record:
    """Run the job in `folder` and write its predictions, its checkpoint and, last, its record.

    Raises BenchError where the data, the checkpoint, the placement or the training go wrong.
    """
    torch.set_num_threads(order.threads)
    protocol, clock = order.protocol, _Clock()
    scale = _parse(DetectorScale, protocol["detector"]["scale"])
    recipe = _parse(Recipe, protocol["recipe"]) if protocol["recipe"] else None
    if recipe is not None:
        refuse_training(scale)
    metric = _parse(Metric, protocol["metric"])
    seeds = protocol["seeds"]
    with clock.phase("data"):
        report("data", 0, 1, None)
        splits: dict[Split, Dataset] = {name: _split(order, name) for name in ("train", "test")}
    with clock.phase("build"):
        model = build_detector(protocol["detector"]["name"], scale, splits["train"].classes, seeds["init"])
        if order.start is not None:
            load_weights(model, order.start.checkpoint, order.start.sha256)
        else:
            initialise(model, scale.init, order.root)
        methods = build(protocol["methods"])
        for adapt in having(methods, "adapt_model"):
            adapt(model)
    placed = None
    if protocol["policy"]:
        with clock.phase("calibrate"):
            report("calibrate", 0, 1, None)
            placed = quantize(model, methods, splits["train"], order, scale, recipe)
    losses: list[float] = []
    if recipe is not None:
        with clock.phase("train"):
            losses = _train(model, methods, splits["train"], recipe, scale, seeds["data"], folder, report)
    for finish in having(methods, "after_training"):
        finish(model)
    with clock.phase("predict"):
        detections = predict(
            model,
            splits["test"],
            scale.input,
            scale.test.batch,
            lambda done, n: report("predict", done, n, None),
        )
        predictions = Predictions.from_coco(detections)
        predictions.save(folder.predictions)
    with clock.phase("score"):
        report("score", 0, 1, None)
        scores = score(splits["test"].coco, predictions.to_coco(), metric)
    checkpoint = save_weights(model, folder.checkpoint) if recipe is not None else None
    facts = environment("eager", order.threads, 0)
    head, dirty = commit(order.root)
    record = Record(
        identity=order.identity,
        protocol=protocol,
        metrics=scores.metrics,
        per_category=scores.per_category,
        scorer=f"pycocotools {facts['packages'].get('pycocotools')}" if metric.variant == "coco" else "bench",
        predictions=SavedPredictions(digest=predictions.digest(), count=len(predictions)),
        placement=placed.pins if placed else None,
        placement_sites=placed.sites if placed else (),
        calibration_images=placed.images if placed else (),
        data=_data_facts(protocol["data"]["pin"], splits),
        training=_training(losses),
        checkpoint_sha256=checkpoint,
        environment=facts,
        environment_key=environment_key(facts),
        provenance=Provenance(
            commit=head, dirty=dirty, source=source_hash(), arguments=order.arguments, asked_by=order.asked_by
        ),
        cost=Cost(started=clock.started, finished=_now(), host=socket.gethostname(), phases=clock.phases),
    )
    write_json(folder.record_file, record.model_dump(mode="json"))
    return record


def _train(
    model: nn.Module, methods: list[Any], dataset: Dataset, recipe: Recipe, scale: DetectorScale, seed: int,
    folder: JobFolder, report: Report,
) -> list[float]:  # fmt: skip
    lengths = in_steps(recipe, len(dataset.coco["images"]))

    def loader(done: int) -> DataLoader[Any]:
        images = lengths.total * recipe.batch
        return train_loader(dataset, scale.input, recipe.augment, recipe.batch, seed, images, done * recipe.batch)

    try:
        return train(
            model, loader, recipe, lengths, seed, folder.work, having(methods, "regulariser"),
            lambda done, total, loss: report("train", done, total, loss),
        )  # fmt: skip
    finally:
        shutil.rmtree(folder.work, ignore_errors=True)


def _split(order: Order, name: Split) -> Dataset:
    spec: DataSpec = TypeAdapter(DataSpec).validate_json(json.dumps(order.data))
    return load(spec, name, order.root, Store(order.root).data_cache)


def _data_facts(pin: str, splits: dict[Split, Dataset]) -> DataFacts:
    problems = [f"{name}: {p.kind} {p.where}: {p.detail}" for name, data in splits.items() for p in data.problems]
    return DataFacts(
        pin=pin, splits={name: data.counts() for name, data in splits.items()}, problems=tuple(problems[:100])
    )


def _training(losses: list[float]) -> Training | None:
    if not losses:
        return None
    return Training(steps=len(losses), first_loss=losses[0], last_loss=fmean(losses[-50:]))


def _parse(model: Any, value: Any) -> Any:
    return model.model_validate_json(json.dumps(value))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
