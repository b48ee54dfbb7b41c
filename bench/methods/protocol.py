"""What a method may do. A row lists methods; each hook runs over them in that order."""

import importlib
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from torch import Tensor, nn

from bench.detectors.positives import Positives
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement
from bench.schema.methods import facts


class Method(Protocol):
    """One class a method, constructed with the row's `options`; a class defines the hooks that it needs.

    `version` is part of a job's identity: raise it when the method computes another number.
    """

    version: int

    def __init__(self, options: dict[str, Any]) -> None: ...

    def adapt_model(self, model: nn.Module) -> None:
        """Change the FP model in place, its checkpoint loaded, before anything is quantized.

        It also runs, on arbitrary weights, before a row that starts from this one loads this one's: what it adds to the
        model, or takes from it, must not hang on the weights.
        """

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """One quantizer for each site of the placement; at most one method of a row has this hook."""
        raise NotImplementedError

    def calibrate(self, model: nn.Module, forwards: Iterable[Callable[[], Any]]) -> None:
        """Initialise the quantizers; each of `forwards` runs the model on one calibration batch."""

    def regulariser(self, model: nn.Module, batch: dict[str, Any]) -> Tensor:
        """A scalar that is added to the training loss of `batch` (`inputs` [n, 3, h, w] and `data_samples`)."""
        raise NotImplementedError

    def reshape_losses(self, positives: Positives) -> tuple[Tensor, Tensor]:
        """The classification and the box loss of each positive sample, [P] both, in place of its `cls` and `reg`.

        Both are summed over the samples and divided by the head's own normalisers. Methods of a row reshape one after
        the other, each what the one before it left. Only detectors of `bench.schema.catalog.RESHAPED` have the hook.
        """
        raise NotImplementedError

    def after_training(self, model: nn.Module) -> None:
        """Change the trained model in place, before it predicts."""


HOOKS = ("adapt_model", "make_quantizers", "calibrate", "regulariser", "reshape_losses", "after_training")


def build(uses: Iterable[dict[str, Any]]) -> list[Method]:
    """The methods of a row, from their names and options; BenchError where a class cannot be found."""
    methods: list[Method] = []
    for use in uses:
        module, _, name = facts(use["name"]).target.partition(":")
        methods.append(getattr(importlib.import_module(module), name)(use["options"]))
    return methods


def having(methods: Iterable[Method], hook: str) -> list[Any]:
    """The bound hooks of those methods that define it."""
    return [getattr(method, hook) for method in methods if _defines(type(method), hook)]


def _defines(cls: type, hook: str) -> bool:
    # A class that derives from the protocol inherits its empty hooks; these do not count.
    return getattr(cls, hook, None) is not None and getattr(cls, hook) is not getattr(Method, hook)
