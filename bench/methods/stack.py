"""The methods of a row, made from their names and options; each hook runs over those that define it."""

import importlib
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ParamSpec, TypeVar

from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.detectors.positives import Reshape
from bench.errors import BenchError
from bench.methods.protocol import Method
from bench.quantization.apply import Quantizers
from bench.quantization.placement import Placement, with_bits
from bench.schema.methods import facts
from bench.schema.options.own import MissingOptionError
from bench.schema.protocol import VersionedMethod

P = ParamSpec("P")
T = TypeVar("T")
Regulariser = Callable[[nn.Module, dict[str, Any]], Tensor]


class MethodStack:
    """The methods of a row, in its order."""

    def __init__(self, methods: Sequence[tuple[str, Method]]) -> None:
        """`methods` with their names."""
        self._methods = methods

    @classmethod
    def of(cls, uses: Iterable[VersionedMethod]) -> "MethodStack":
        """BenchError where a class cannot be found, or reads an option that its row does not give."""
        return cls([(use.name, _said(use.name, _class(use.name))(use.parsed)) for use in uses])

    def adapt_model(self, model: nn.Module) -> None:
        """Let every method change the FP model."""
        for name, method in self._having("adapt_model"):
            _said(name, method.adapt_model)(model)

    def prepare(self, model: nn.Module, batches: Batches) -> None:
        """Let every method change the FP model's weights with calibration images at hand."""
        for name, method in self._having("prepare"):
            _said(name, method.prepare)(model, batches)

    def allocate(self, model: nn.Module, placement: Placement, batches: Batches) -> Placement:
        """The placement with the bits that methods give its sites."""
        for name, method in self._having("allocate"):
            placement = with_bits(placement, _said(name, method.allocate)(model, placement, batches), name)
        return placement

    def make_quantizers(self, placement: Placement) -> Quantizers:
        """The quantizers of the one method that makes them; BenchError where none or several do, or a site has none."""
        makers = self._having("make_quantizers")
        if len(makers) != 1:
            raise BenchError(f"{len(makers)} methods of the row make quantizers instead of one")
        ((name, maker),) = makers
        made, wanted = _said(name, maker.make_quantizers)(placement), {site.name for site in placement.sites}
        if made.keys() != wanted:
            odd = sorted(made.keys() ^ wanted)
            raise BenchError(f"{name}: {len(odd)} quantizers are missing or no site's, first {odd[0]}")
        return made

    def calibrate(self, model: nn.Module, batches: Batches) -> None:
        """Let every method initialise what it made."""
        for name, method in self._having("calibrate"):
            _said(name, method.calibrate)(model, batches)

    @property
    def regularisers(self) -> list[Regulariser]:
        """What is added to the training loss."""
        return [_said(name, method.regulariser) for name, method in self._having("regulariser")]

    @property
    def reshapes(self) -> list[Reshape]:
        """What changes the losses of positive samples."""
        return [_said(name, method.reshape_losses) for name, method in self._having("reshape_losses")]

    @property
    def repeats(self) -> bool:
        """Whether every step of training does the same operations on the model, as far as all methods say."""
        say = all(vars(type(method)).get("repeats", False) for _, method in self._methods)
        # MQBench's own code looks at its switches, and waits for them.
        ours = all(getattr(getattr(method, "options", None), "backend", None) is None for _, method in self._methods)
        return say and ours and not self.regularisers

    @property
    def finishes(self) -> bool:
        """Whether a method changes the model after its training."""
        return bool(self._having("after_training"))

    def after_training(self, model: nn.Module) -> None:
        """Let every method change the trained model."""
        for name, method in self._having("after_training"):
            _said(name, method.after_training)(model)

    def facts(self, model: nn.Module) -> dict[str, dict[str, Any]]:
        """By method what it chose; BenchError for what no record can hold, such as NaN or a tensor."""
        found = {}
        for name, method in self._having("facts"):
            told = dict(_said(name, method.facts)(model))
            try:
                found[name] = json.loads(json.dumps(told, allow_nan=False))
            except (TypeError, ValueError) as error:
                raise BenchError(f"{name}: its facts are no finite JSON values: {error}") from None
        return found

    def _having(self, hook: str) -> list[tuple[str, Method]]:
        """A class that derives from the protocol inherits its empty hooks; these do not count."""
        return [
            (name, method)
            for name, method in self._methods
            if getattr(type(method), hook, None) not in (None, getattr(Method, hook))
        ]


def _said(name: str, call: Callable[P, T]) -> Callable[P, T]:
    """A hook whose exceptions say which one of which method they come from, or which of its options is missing."""
    hook = "__init__" if isinstance(call, type) else getattr(call, "__name__", "a hook")

    def said(*args: P.args, **options: P.kwargs) -> T:
        try:
            return call(*args, **options)
        except MissingOptionError as error:
            raise BenchError(f"{name}: its `{hook}` reads {error}") from error
        except Exception as error:
            error.add_note(f"in `{hook}` of {name}")
            raise

    return said


def _class(name: str) -> Any:
    module, _, cls = facts(name).target.partition(":")
    return getattr(importlib.import_module(module), cls)
