"""Two detectors on the same images, drawn as what matching would make of them; no boxes are needed for that.

An object has a difficulty: of its image, its class and its own. A detector sees it with a noise of its own, and that
quality sets both the IoU of its box and, with more noise, its score. False alarms come from candidates that both
detectors see, so the two are correlated there as well. The second detector's qualities lie `gain` higher.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bench.evaluation.matching import Matches, Ranked, runs
from bench.evaluation.metric import metric_of
from bench.evaluation.resample import average_precisions
from bench.evaluation.voc import HIT, MISS
from bench.schema.suite import Metric

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
COCO = metric_of(Metric(variant="coco"))
THRESHOLDS = np.linspace(0.5, 0.95, 10)
SCORE_FLOOR = 0.05


class Design(NamedTuple):
    """Number of images and classes, and what is on an image."""

    images: int
    categories: int
    objects: float
    """Mean number an image."""
    alarms: float = 6.0
    """Mean number of candidates for a false alarm an image."""
    gain: float = 0.15

    @property
    def name(self) -> str:
        """`600 x 20`."""
        return f"{self.images} x {self.categories}"


class World:
    """What stays the same from data set to data set of a design: how frequent and how hard each class is."""

    def __init__(self, design: Design) -> None:
        self.design = design
        rng = np.random.default_rng(7)
        frequency = 1 / np.arange(1, design.categories + 1) ** 0.7
        self.frequency = frequency / frequency.sum()
        self.ease = rng.normal(0, 0.5, design.categories)

    def data_set(self, rng: np.random.Generator, images: int | None = None) -> tuple[Matches, Matches]:
        """A new draw of images, as both detectors see them."""
        design = self.design
        images = images or design.images
        mood = rng.normal(0, 0.5, images)
        own = rng.poisson(design.objects * rng.gamma(2, 0.5, images))
        image = np.repeat(np.arange(images, dtype=np.int32), own)
        what = rng.choice(design.categories, len(image), p=self.frequency)
        ease = 0.6 + mood[image] + self.ease[what] + rng.normal(0, 1, len(image))
        where = np.repeat(np.arange(images, dtype=np.int32), rng.poisson(design.alarms, images))
        alarm = rng.choice(design.categories, len(where), p=self.frequency)
        lure = rng.normal(-1.6, 1, len(where))
        objects = [np.bincount(image[what == k], minlength=images).astype(np.int32) for k in range(design.categories)]
        sides = []
        for gain in (0.0, design.gain):
            quality = ease + gain + rng.normal(0, 0.5, len(image))
            overlap = 0.35 + 0.62 / (1 + np.exp(-quality))
            score = np.concatenate([
                quality + rng.normal(0, 0.6, len(image)), lure - 0.3 * gain + rng.normal(0, 0.5, len(where))
            ])  # fmt: skip
            score = 1 / (1 + np.exp(-score))
            hit = np.concatenate([overlap >= t for t in THRESHOLDS]).reshape(len(THRESHOLDS), -1)
            hit = np.concatenate([hit, np.zeros((len(THRESHOLDS), len(where)), np.bool_)], axis=1)
            sides.append(self._matches(
                images, np.concatenate([image, where]), np.concatenate([what, alarm]), score, hit, objects
            ))  # fmt: skip
        return sides[0], sides[1]

    def _matches(
        self,
        images: int,
        image: Ints,
        what: npt.NDArray[np.int64],
        score: Floats,
        hit: npt.NDArray[np.bool_],
        objects: list[Ints],
    ) -> Matches:
        order = np.lexsort((image, -score, what))
        order = order[score[order] > SCORE_FLOOR]
        ends = np.searchsorted(what[order], np.arange(self.design.categories + 1))
        cells = []
        for category in range(self.design.categories):
            own = order[ends[category] : ends[category + 1]]
            code = np.where(hit[:, own], HIT, MISS).astype(np.int8)
            cell = Ranked(
                image[own], np.zeros(len(own), np.int32), code, runs(image[own], score[own]), objects[category]
            )
            cells.append((cell,))
        names = tuple(f"class {category}" for category in range(self.design.categories))
        return Matches(images, names, tuple(cells))


def mean_ap(matches: Matches, weights: Ints) -> Floats:
    """R: COCO AP of each replicate."""
    return np.asarray(np.nanmean(average_precisions(matches, weights, COCO)[:, :, 0].mean(axis=2), axis=1))


def truth(world: World, rng: np.random.Generator, images: int, parts: int) -> tuple[float, float, float]:
    """The difference on `parts` sets of `images` images each: mean and its standard error, and the first side's AP."""
    found = []
    for _ in range(parts):
        a, b = world.data_set(rng, images)
        once = np.ones((1, images), np.int32)
        found.append((mean_ap(a, once)[0], mean_ap(b, once)[0]))
    values = np.array(found)
    differences = values[:, 1] - values[:, 0]
    return float(differences.mean()), float(differences.std(ddof=1) / np.sqrt(parts)), float(values[:, 0].mean())
