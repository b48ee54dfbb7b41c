"""The protocol of a job: everything that affects its numbers, resolved and frozen, from the plan to the worker.

The identity of a job is a hash of `Protocol.raw`, which records keep. What is not declared stands in no raw form, so
that a new optional field changes no identity.
"""

import copy
import json
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import TypeAdapter, WrapValidator

from bench.schema.base import Spec, parse
from bench.schema.bits import Bits
from bench.schema.classes import source_hash
from bench.schema.data import DataSpec
from bench.schema.detector import DetectorScale, Init
from bench.schema.methods import options_model
from bench.schema.options.observer import Observer
from bench.schema.options.own import OwnOptions
from bench.schema.placement import Calibration, Policy
from bench.schema.recipe import Recipe
from bench.schema.suite import Metric

_DATA: TypeAdapter[DataSpec] = TypeAdapter(DataSpec)


class VersionedDetector(Spec):
    """A detector at the scale of a tier."""

    name: str
    version: int
    scale: DetectorScale


class VersionedMethod(Spec):
    """A method of the job's row."""

    name: str
    """A built-in's, or `package.module:Class`."""
    version: int
    options: dict[str, Any]
    """As the suite declares them."""

    @cached_property
    def parsed(self) -> Spec | dict[str, Any]:
        """What the method's class is made with: a built-in's options model; for a user's class a copy of its own."""
        model = options_model(self.name)
        return OwnOptions(copy.deepcopy(self.options)) if model is None else parse(model, self.options)

    def observers(self) -> Iterator[Observer]:
        """The observers among the options of a built-in method."""
        if isinstance(self.parsed, Spec):
            yield from (value for _, value in self.parsed if isinstance(value, Observer))


class Seeds(Spec):
    """Of one repetition; derived, not declared."""

    repetition: int
    data: int
    """Order of the training images, augmentation, calibration images."""
    init: int
    """Initial weights of the detector."""


def _as_it_is(value: Any, handler: Callable[[Any], Any]) -> Any:
    """A specification that was read already, also one of a kind of data that this package does not have."""
    # From text: what a wrapping validator hands on counts as Python's, where a strict model takes no list for a tuple.
    return value if isinstance(value, Spec) else _DATA.validate_json(json.dumps(value))


class Protocol(Spec):
    """Everything that affects the numbers of a job, and nothing else but the paths of its data."""

    data: Annotated[DataSpec, WrapValidator(_as_it_is)]
    pin: str
    """Fingerprint of the data set; `absent` where it is not here."""
    metric: Metric
    scored: Literal["test", "tune"] = "test"
    """The split that is predicted and scored."""
    detector: VersionedDetector
    methods: tuple[VersionedMethod, ...]
    bits: Bits
    policy: Policy | None
    """Where quantizers go; None for a row without quantizers."""
    calibration: Calibration | None
    recipe: Recipe | None
    """None: the row is not trained."""
    start: str | None
    """Identity of the job whose checkpoint this one starts from."""
    start_part: Literal["backbone"] | None = None
    seeds: Seeds
    versions: dict[str, int]
    """`bench.versions`: of what computes the results."""

    @property
    def fresh(self) -> bool:
        """Whether training begins with weights that were drawn: of a checkpoint at most the backbone is loaded."""
        return begins_fresh(self.detector.scale.init, self.start is not None, self.start_part)

    @cached_property
    def raw(self) -> dict[str, Any]:
        """What the identity is taken over. Paths of data and costs are no part of it."""
        return {
            "data": pinned(self.data, self.pin),
            "metric": dump(self.metric),
            **({"scored": self.scored} if self.scored != "test" else {}),
            "detector": {**dump(self.detector, "scale"), "scale": _scale(self.detector.scale)},
            # Options stand as they were declared: 1 and 1.0 are two texts, and so two identities.
            "methods": [{"name": m.name, "version": m.version, "options": m.options} for m in self.methods],
            "bits": str(self.bits),
            "policy": self.policy and dump(self.policy),
            "calibration": self.calibration and dump(self.calibration),
            "recipe": self.recipe and dump(self.recipe, "cost_s", "snapshot_every"),
            "start": self.start,
            **({"start_part": self.start_part} if self.start_part else {}),
            "seeds": dump(self.seeds),
            "versions": self.versions,
        }

    def own_sources(self) -> dict[str, str]:
        """By name of a user's own method or detector that the job uses: sha256 of its file, as it is now."""
        onnx = self.detector.scale.onnx
        names = [self.detector.name, *(method.name for method in self.methods), *([onnx.decoding] if onnx else [])]
        return {name: found for name in names if ":" in name and (found := source_hash(name)) is not None}


def begins_fresh(init: Init, starts: bool, part: str | None) -> bool:
    """Whether a row has drawn weights: of published ones, or of the row that it `starts` from, at most a part."""
    return part is not None if starts else init.kind in ("scratch", "backbone")


def pinned(data: Spec, pin: str) -> dict[str, Any]:
    """A data set as protocols have it: where it lies is no part of it, its fingerprint is."""
    return {**dump(data, "path"), "pin": pin}


def _scale(scale: DetectorScale) -> dict[str, Any]:
    """Where an ONNX file lies is no part of it; its hash is."""
    raw = dump(scale)
    raw["init"].pop("path", None)
    return raw


def dump(spec: Spec, *without: str) -> dict[str, Any]:
    """What a model declares, as JSON; nothing stands for what is None."""
    return spec.model_dump(mode="json", exclude=set(without), exclude_none=True)
