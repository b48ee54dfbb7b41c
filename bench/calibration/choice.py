"""Which of several states each quantizer gets, by a loss of the whole network (used by DetPTQ).

`fixed`: the same choice everywhere, the one with the smallest loss. `descent`: from there one quantizer after the
other, where another choice lowers the loss by a declared fraction. `greedy`: in order, those behind in full precision.
`random`: drawn.

Losses are sums over batches, so that a choice can be dropped before all batches are seen (successive halving,
1502.07943): all choices see the first few, the better half twice as many, and so on.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bench.quantization.quantizer import Quantizer

State = Mapping[str, Tensor]
"""What a quantizer's `state_dict` holds."""


class Site(NamedTuple):
    """A quantizer and the states that it may have, one for each choice."""

    quantizer: Quantizer
    states: Sequence[State]

    def take(self, choice: int) -> None:
        """Give the quantizer the state of that choice."""
        self.quantizer.load_state_dict(dict(self.states[choice]))

    def others(self, choice: int) -> list[int]:
        """Choices of other states than that one, each state once."""
        seen, found = [self.states[choice]], []
        for k, state in enumerate(self.states):
            if not any(_same(state, before) for before in seen):
                seen.append(state)
                found.append(k)
        return found


class Chosen(NamedTuple):
    """What a search found."""

    choices: dict[str, int]
    """By site."""
    curve: list[float]
    """Loss on the choosing batches: at the start, and after each site in order."""


class Search:
    """The searches over the sites of one network."""

    def __init__(
        self,
        sites: Mapping[str, Site],
        loss: Callable[[int, bool], float],
        batches: Sequence[int],
        first: int,
    ) -> None:
        """
        Args:
            sites: by name, in the order of the search.
            loss: of a batch, as the quantizers are now, not below 0; with True the pass is kept for later ones.
            batches: numbers of the choosing batches.
            first: how many batches all choices of a site see.
        """
        self.sites, self.loss, self.batches, self.first = sites, loss, batches, first

    def take(self, choices: Mapping[str, int]) -> None:
        """Give every named quantizer its choice."""
        for name, choice in choices.items():
            self.sites[name].take(choice)

    def fixed(self, among: Iterable[int]) -> dict[int, float]:
        """The loss of each choice for all sites alike; all sites then have the best."""
        losses = {}
        for choice in among:
            self.take(dict.fromkeys(self.sites, choice))
            losses[choice] = self._total(keep=False)
        self.take(dict.fromkeys(self.sites, min(losses, key=losses.__getitem__)))
        return losses

    def random(self, seed: int) -> Chosen:
        """A choice a site, drawn evenly."""
        draw = np.random.default_rng(seed)
        choices = {name: int(draw.integers(len(site.states))) for name, site in self.sites.items()}
        self.take(choices)
        return Chosen(choices, [self._total(keep=False)])

    def descent(self, start: int, accept: float) -> Chosen:
        """From `start` everywhere, site after site; a change needs a loss below (1 - accept) times the present one.

        The curve never rises.
        """
        choices = dict.fromkeys(self.sites, start)
        self.take(choices)
        now = self._each(keep=True)
        curve = [sum(now)]
        for name, site in self.sites.items():
            best = self._best(site, site.others(choices[name]), now, accept)
            if best is not None:
                choices[name] = best
            site.take(choices[name])
            if best is not None:
                now = self._each(keep=True)
            curve.append(sum(now))
        return Chosen(choices, curve)

    def greedy(self) -> Chosen:
        """Site after site in order, from full precision; each takes its best choice, whatever that costs."""
        choices, curve = {}, []
        for site in self.sites.values():
            site.quantizer.mode = "off"
        curve.append(self._total(keep=True))
        for name, site in self.sites.items():
            site.quantizer.mode = "quantize"
            best = self._best(site, [0, *site.others(0)], None, 0.0)
            choices[name] = 0 if best is None else best
            site.take(choices[name])
            curve.append(self._total(keep=True))
        return Chosen(choices, curve)

    def _best(self, site: Site, among: list[int], now: list[float] | None, accept: float) -> int | None:
        """The best choice; None where none comes below (1 - accept) times `now`, the present losses of the batches."""
        sums, seen, width = dict.fromkeys(among, 0.0), 0, self.first
        while sums:
            width = min(width, len(self.batches))
            for choice in sums:
                site.take(choice)
                sums[choice] += sum(self.loss(batch, False) for batch in self.batches[seen:width])
            seen = width
            if now is not None:
                limit = (1 - accept) * sum(now[:seen])
                sums = {choice: total for choice, total in sums.items() if total < limit}
            ranked = sorted(sums, key=lambda choice: sums[choice])
            if seen == len(self.batches):
                return ranked[0] if ranked else None
            sums = {choice: sums[choice] for choice in ranked[: (len(ranked) + 1) // 2]}
            width = 2 * seen
        return None

    def _each(self, keep: bool) -> list[float]:
        return [self.loss(batch, keep) for batch in self.batches]

    def _total(self, keep: bool) -> float:
        return sum(self._each(keep))


def _same(a: State, b: State) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
