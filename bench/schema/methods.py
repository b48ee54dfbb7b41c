"""The built-in methods by name: where their class is, and the model of their options."""

import difflib
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

from pydantic import ValidationError

from bench.errors import UsageError
from bench.schema.base import Spec, parse
from bench.schema.classes import check_class
from bench.schema.options.calibration import (
    BiasCorrectionOptions,
    BlockOptions,
    EqualizeOptions,
    FoldBnOptions,
    QdropOptions,
    ReconstructionOptions,
    UniformOptions,
)
from bench.schema.options.fisher import FisherOptions, FisherTraceOptions, HawqOptions, RandomBitsOptions
from bench.schema.options.search import DetptqOptions, LapqOptions
from bench.schema.options.training import (
    AqdOptions,
    HardetOptions,
    HqodOptions,
    LsqOptions,
    MultiLevelOptions,
    TqtFixedOptions,
    TqtOptions,
)

T = TypeVar("T", bound=Spec)


class Builtin(NamedTuple):
    """A built-in method: where its class is, and the model of its options."""

    target: str
    options: type[Spec]


BUILTIN = {
    "lsq": Builtin("bench.methods.lsq:LSQ", LsqOptions),
    "multi_level_bn": Builtin("bench.methods.aqd:MultiLevelBN", MultiLevelOptions),
    "aqd": Builtin("bench.methods.aqd:AQD", AqdOptions),
    "tqt": Builtin("bench.methods.tqt:TQT", TqtOptions),
    "tqt_fixed": Builtin("bench.methods.tqt:TqtFixed", TqtFixedOptions),
    "hqod": Builtin("bench.methods.hqod:HQOD", HqodOptions),
    "hardet": Builtin("bench.methods.hardet:HarDet", HardetOptions),
    "fold_bn": Builtin("bench.methods.fold_bn:FoldBn", FoldBnOptions),
    "equalize": Builtin("bench.methods.equalize:Equalize", EqualizeOptions),
    "bias_correction": Builtin("bench.methods.bias_correction:BiasCorrection", BiasCorrectionOptions),
    "uniform": Builtin("bench.methods.uniform:Uniform", UniformOptions),
    "fisher": Builtin("bench.methods.fisher:Fisher", FisherOptions),
    "hawq": Builtin("bench.methods.hawq:Hawq", HawqOptions),
    "random_bits": Builtin("bench.methods.random_bits:RandomBits", RandomBitsOptions),
    "fisher_trace": Builtin("bench.methods.fisher_trace:FisherTrace", FisherTraceOptions),
    "detptq": Builtin("bench.methods.detptq:DetPTQ", DetptqOptions),
    "lapq": Builtin("bench.methods.lapq:LAPQ", LapqOptions),
    "adaround": Builtin("bench.methods.reconstruction:AdaRound", ReconstructionOptions),
    "brecq": Builtin("bench.methods.reconstruction:BRECQ", BlockOptions),
    "qdrop": Builtin("bench.methods.reconstruction:QDrop", QdropOptions),
}


PROTOCOL = "bench.methods.protocol:Method"
"""A class that derives from it inherits empty hooks, which do not count."""
HOOKS = (
    *("adapt_model", "prepare", "allocate", "make_quantizers", "calibrate", "regulariser", "reshape_losses"),
    *("after_training", "facts"),
)
NEAR = 0.8
"""Likeness from which on a name is taken for a misspelt hook, which would never be called."""


class MethodFacts(NamedTuple):
    """What planning needs to know of a method's class."""

    target: str
    version: int
    makes_quantizers: bool
    reshapes_losses: bool
    needs_quantizers: bool
    """It says `needs_quantizers`: a method that makes them stands before it in the row."""


def facts(name: str) -> MethodFacts:
    """Read a method's facts from its source, without importing it.

    Raises UsageError where the module or class is absent, has no positive integer `version`, or has a method that is
    called nearly like a hook.
    """
    target = BUILTIN[name].target if name in BUILTIN else name
    version, members = check_class("method", name, target, PROTOCOL, BUILTIN)
    _refuse_misspelt(name, members)
    hooks = (hook in members for hook in ("make_quantizers", "reshape_losses", "needs_quantizers"))
    return MethodFacts(target, version, *hooks)


def _refuse_misspelt(name: str, members: Iterable[str]) -> None:
    known = (*HOOKS, "needs_quantizers", "repeats", "version")
    for member in sorted(members):
        near = [] if member in known or member.startswith("_") else difflib.get_close_matches(member, known, 1, NEAR)
        if near:
            raise UsageError(
                f"method {name!r}: {member!r} is no hook, so nothing would call it; did you mean {near[0]!r}? "
                "A helper of your own begins with _"
            )


def options_of(model: type[T], options: T | dict[str, Any]) -> T:
    """The options as their model: a class that derives from a built-in method hands on the dict of its row.

    Raises UsageError where they do not fit.
    """
    if isinstance(options, model):
        return options
    try:
        return parse(model, options)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"options of {model.__name__.removesuffix('Options')}: {faults}") from None


def options_model(name: str) -> type[Spec] | None:
    """The model of a built-in method's options; None for a user's own method, which checks them itself."""
    return next((method.options for key, method in BUILTIN.items() if name in (key, method.target)), None)
