"""Observers that see all calibration images before they choose a range, and those of quantizers with an offset."""

import torch
from torch import Tensor

from bench.calibration.entropy import entropy_end
from bench.calibration.histogram import HALF, Histogram
from bench.calibration.range_search import Codes, Scale, best_range, most_alike
from bench.schema.options.observer import Observer


class RangeObserver:
    """Sees one or many batches of a tensor and proposes its scale; step 1.0 where there were no values but zeros.

    `lp`, `cosine`, `entropy` and `quantile` look at one histogram of all batches. `mean_minmax` takes the mean of the
    extremes of single images (NNCF), `minmax` and `ema_minmax` those of batches.
    """

    def __init__(self, spec: Observer, bits: int, signed: bool, offset: bool = False, half: int = HALF) -> None:
        self.spec, self.bits, self.codes = spec, bits, Codes.of(bits, signed, offset)
        self.histogram = Histogram(half)
        self.ends: Tensor | None = None
        """[2], lows and highs: of all batches so far, or summed over images."""
        self.images = 0
        self.saw_empty = False

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Take one batch [n, ...] into account; an empty one (no proposals) has nothing to say."""
        if x.numel() == 0:
            self.saw_empty = True
        elif self.spec.kind in ("minmax", "ema_minmax", "mean_minmax"):
            self._see_ends(x)
        else:
            self.histogram.add(x)

    def scale(self) -> Scale:
        """The scale that it proposes; RuntimeError where nothing was observed."""
        spec, histogram = self.spec, self.histogram
        if self.ends is None and not histogram.size:
            if self.saw_empty:
                return Scale(1.0)
            raise RuntimeError("the observer saw no data")
        if spec.kind == "lp":
            assert spec.p is not None and spec.candidates is not None
            return best_range(histogram, self.codes, spec.p, spec.candidates, spec.ends == "apart")
        if spec.kind == "cosine":
            assert spec.candidates is not None
            return most_alike(histogram, self.codes, spec.candidates)
        return self.codes.scale(*self._range())

    def step(self) -> Tensor:
        """The step size, a tensor of no dimension; RuntimeError where nothing was observed."""
        return torch.tensor(self.scale().step)

    def threshold(self) -> Tensor:
        """The end of the range, a tensor of no dimension; RuntimeError where nothing was observed."""
        return self.step() * (self.codes.qmax + 1)

    def _see_ends(self, x: Tensor) -> None:
        if self.spec.kind == "mean_minmax":
            each = x.flatten(1) if x.dim() > 1 else x.view(1, -1)
            ends = torch.stack([each.amin(1).clamp_max(0).sum(), each.amax(1).clamp_min(0).sum()]).double().cpu()
            self.images += len(each)
            self.ends = ends if self.ends is None else self.ends + ends
            return
        low, high = torch.aminmax(x)
        ends = torch.stack([low.clamp_max(0), high.clamp_min(0)]).double().cpu()
        if self.ends is None:
            self.ends = ends
        elif self.spec.ema is not None:
            self.ends = self.spec.ema * self.ends + (1 - self.spec.ema) * ends
        else:
            self.ends = torch.stack([torch.minimum(self.ends[0], ends[0]), torch.maximum(self.ends[1], ends[1])])

    def _range(self) -> tuple[float, float]:
        if self.ends is not None:
            low, high = (self.ends / max(1, self.images)).tolist()
            return low, high
        low, high = self.histogram.low, self.histogram.high
        if self.spec.kind == "entropy":
            assert self.spec.bins is not None
            two_sided = self.codes.signed or self.codes.offset
            end = entropy_end(self.histogram, 2 ** (self.bits - two_sided), self.spec.bins)
            return max(low, -end), min(high, end)
        assert self.spec.q is not None
        share = self.spec.q / 100
        if not self.codes.offset:
            end = self.histogram.quantile(share, of_magnitudes=True)
            return max(low, -end), min(high, end)
        # Half of what is cut off lies on each side.
        below, above = ((1 - share) / 2, (1 + share) / 2) if low < 0 < high else (1 - share, share)
        return min(0.0, self.histogram.quantile(below)), max(0.0, self.histogram.quantile(above))
