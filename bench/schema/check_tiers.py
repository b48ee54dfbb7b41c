"""What must fit between a tier and the rows that run at it, and inside its parts."""

import difflib
from collections.abc import Iterator

from bench.schema.catalog import is_detector
from bench.schema.check_detectors import misfits, untrainable
from bench.schema.data import ShapesBase, has_tune
from bench.schema.faults import Fault, below
from bench.schema.recipe import Recipe
from bench.schema.source import Loc
from bench.schema.suite import Metric, Row, Suite, TierSpec


def tier_faults(tier: TierSpec, suite: Suite) -> Iterator[Fault]:
    """Faults of one tier; their places start at the tier."""
    runs = [row for row in suite.rows if row.reported_only is None]
    yield from _lacking(tier, runs)
    for row in runs:
        trained = tier.recipe(row) is not None
        if row.detector not in tier.detectors or (row.recipe is not None and row.recipe not in tier.recipes):
            continue  # said already
        scale = tier.scale(row)
        if not trained and row.start is None and scale.init.kind not in ("checkpoint", "onnx"):
            text = f"row {row.id!r} has neither recipe nor start, so the detector must be a checkpoint"
            yield Fault((*_init_of(row, tier), "kind"), text)
        elif trained and (reason := untrainable(scale)) is not None:
            yield Fault((*_init_of(row, tier), "kind"), f"row {row.id!r} has a recipe, but {reason}")
    for name, scale in tier.detectors.items():
        yield from below(("detectors", name), misfits(name, scale))
    yield from _inits(tier, suite)
    yield from _observers(tier, suite)
    for name, recipe in tier.recipes.items():
        if recipe is not None:
            yield from below(("recipes", name), _recipe(recipe))
    if not has_tune(tier.data) and (tuned := [row.id for row in runs if row.scored == "tune"]):
        yield Fault(("data",), f"row {tuned[0]!r} is scored on the tune split, and the data have none")
    yield from _data(tier)
    yield from below(("metric",), _metric(tier.metric))


def _lacking(tier: TierSpec, runs: list[Row]) -> Iterator[Fault]:
    """What rows want and the tier does not have, each thing once: many rows may want it."""
    for name, row in {row.detector: row for row in reversed(runs)}.items():
        if name not in tier.detectors and is_detector(name):  # an unknown detector is the row's fault
            yield Fault(("detectors",), f"row {row.id!r} wants detector {name!r}, which the tier lacks")
    for recipe, row in {row.recipe: row for row in reversed(runs)}.items():
        if recipe is not None and recipe not in tier.recipes:
            near = difflib.get_close_matches(recipe, tier.recipes, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            yield Fault(("recipes",), f"row {row.id!r} wants recipe {recipe!r}, which the tier lacks{hint}")
    quantized = [row for row in runs if not row.bits.is_fp]
    if quantized and tier.calibration is None:
        yield Fault((), f"row {quantized[0].id!r} has quantizers, so the tier needs `calibration`")
    for name in tier.calibrations.keys() - {row.id for row in quantized}:
        yield Fault(("calibrations", name), f"no row with quantizers has the id {name!r}")


def unused_of_tier(tier: TierSpec, suite: Suite) -> Iterator[Fault]:
    """Recipes, options and detectors that no row of the suite uses."""
    runs = [row for row in suite.rows if row.reported_only is None]
    for name in tier.recipes.keys() - {row.recipe for row in runs}:
        yield Fault(("recipes", name), f"no row uses recipe {name!r}")
    for name in tier.options.keys() - {use.name for row in runs for use in row.methods}:
        yield Fault(("options", name), f"no row uses the method {name!r}")
    for name in tier.detectors.keys() - {row.detector for row in runs}:
        yield Fault(("detectors", name), f"no row uses detector {name!r}")


def _init_of(row: Row, tier: TierSpec) -> Loc:
    return ("inits", row.id) if row.id in tier.inits else ("detectors", row.detector, "init")


def _inits(tier: TierSpec, suite: Suite) -> Iterator[Fault]:
    rows = {row.id: row for row in suite.rows}
    for name in tier.inits:
        row = rows.get(name)
        if row is None:
            yield Fault(("inits", name), f"no row has the id {name!r}")
        elif row.start is not None:
            yield Fault(("inits", name), f"row {name!r} starts from row {row.start!r}")
        elif row.detector in tier.detectors:
            faults = misfits(row.detector, tier.scale(row))
            yield from (Fault(("inits", name, *f.loc[1:]), f.message) for f in faults if f.loc[:1] == ("init",))


def _observers(tier: TierSpec, suite: Suite) -> Iterator[Fault]:
    rows = {row.id: row for row in suite.rows}
    for name, observers in tier.observers.items():
        given = observers.model_dump(exclude_none=True).keys()
        if not given:
            yield Fault(("observers", name), "names neither `weights` nor `activations`")
        elif not any(given <= use.options.keys() for use in rows[name].methods):
            yield Fault(("observers", name), f"no method of row {name!r} has {' and '.join(sorted(given))}")


def _recipe(recipe: Recipe) -> Iterator[Fault]:
    optimizer, scale = recipe.optimizer, recipe.augment.scale
    same_unit = recipe.warmup is not None and recipe.warmup.unit in (None, recipe.unit)
    if recipe.warmup is not None and same_unit and recipe.warmup.length > recipe.length:
        text = f"a warm-up of {recipe.warmup.length} lasts past the end, {recipe.length}"
        yield Fault(("warmup", "length"), text)
    if recipe.evaluation is not None and recipe.evaluation.first >= recipe.length:
        text = f"evaluation {recipe.evaluation.first} lies at or past the end, {recipe.length}, which is scored anyway"
        yield Fault(("evaluation", "first"), text)
    if optimizer.nesterov and not optimizer.momentum:
        yield Fault(("optimizer", "nesterov"), "nesterov needs a momentum")
    for k, beta in enumerate(optimizer.betas or ()):
        if not 0 <= beta < 1:
            yield Fault(("optimizer", "betas", k), f"must be at least 0 and less than 1, found {beta}")
    if scale is not None and scale[0] > scale[1]:
        yield Fault(("augment", "scale"), f"the range {scale[0]} to {scale[1]} is empty")


def _data(tier: TierSpec) -> Iterator[Fault]:
    data = tier.data
    if not isinstance(data, ShapesBase):
        classes = data.classes or ()
        for k, name in enumerate(classes):
            if name in classes[:k]:
                yield Fault(("data", "classes", k), f"class {name!r} stands twice")
        return
    if tier.calibration is not None and tier.calibration.images > data.images.train:
        text = f"{tier.calibration.images} calibration images of {data.images.train} training images"
        yield Fault(("calibration", "images"), text)
    if (
        tier.calibration is not None
        and tier.calibration.sets
        and tier.calibration.images * tier.seeds > data.images.train
    ):
        text = f"{tier.seeds} disjoint sets of {tier.calibration.images} images do not fit into {data.images.train}"
        yield Fault(("calibration", "sets"), text)
    for name, recipe in tier.recipes.items():
        if recipe is not None and recipe.batch > data.images.train * recipe.repeat:
            text = f"a batch of {recipe.batch} images from {data.images.train} training images"
            yield Fault(("recipes", name, "batch"), text)


def _metric(metric: Metric) -> Iterator[Fault]:
    foreign = {"iou", "pixels"} if metric.variant == "coco" else {"area_side"}
    for name in sorted(foreign & metric.model_fields_set):
        yield Fault((name,), f"metric {metric.variant} has no `{name}`")
