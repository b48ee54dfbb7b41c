"""The built-in methods and their hyper-parameters. None has a default: a paper's numbers stand in the suite file."""

import ast
import importlib.util
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, model_validator

from bench.errors import UsageError
from bench.spec.base import Spec


class Observer(Spec):
    """How a step size is found from data (papers.md 1.2, 2.1, 5.3)."""

    kind: Literal["minmax", "mse", "ema_mse", "lsq"]
    p: Annotated[float, Field(gt=0)] | None = None
    """Exponent of the error |x - q(x)|^p; `mse` and `ema_mse` only."""
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Weight of the past in the moving average over batches; `ema_mse` only."""

    @model_validator(mode="after")
    def _fits_kind(self) -> "Observer":
        for name, kinds in (("p", {"mse", "ema_mse"}), ("ema", {"ema_mse"})):
            if (getattr(self, name) is not None) != (self.kind in kinds):
                raise ValueError(f"observer {self.kind} {'needs' if self.kind in kinds else 'has no'} `{name}`")
        return self


class LsqOptions(Spec):
    """LSQ (1902.08153)."""

    range_test: Literal["paper", "mqbench"]
    """Whether x / s is tested before (`paper`) or after rounding (`mqbench`, so HQOD)."""
    grad_scale: Literal["batch", "feature", "none"]
    """N of g = 1 / sqrt(N * QP) for activations: with the batch dimension (MQBench) or without (paper)."""
    weights: Observer
    activations: Observer


class Builtin(NamedTuple):
    """A built-in method: where its class is, and the model of its options."""

    target: str
    options: type[Spec]


BUILTIN = {"lsq": Builtin("bench.methods.lsq:LSQ", LsqOptions)}


class MethodFacts(NamedTuple):
    """What planning needs to know of a method's class."""

    target: str
    version: int
    makes_quantizers: bool


def facts(name: str) -> MethodFacts:
    """Read a method's facts from its source, without importing it: planning must not load torch.

    Raises UsageError where the module or class is absent, or has no integer `version`.
    """
    target = BUILTIN[name].target if name in BUILTIN else name
    if ":" not in target:
        raise UsageError(f"unknown method {name!r}; built in: {', '.join(sorted(BUILTIN))}, or package.module:Class")
    module, _, cls = target.partition(":")
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError) as error:
        raise UsageError(f"method {name!r}: {error}") from None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise UsageError(f"method {name!r}: there is no module {module} on the Python path")
    try:
        tree = ast.parse(Path(spec.origin).read_bytes())
    except (OSError, SyntaxError, ValueError) as error:
        raise UsageError(f"method {name!r}: {spec.origin} cannot be read: {error}") from None
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == cls:
            version = _class_integer(node, "version")
            if version is None:
                raise UsageError(f"method {name!r}: class {cls} needs a line such as `version = 1`")
            hooks = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            return MethodFacts(target, version, "make_quantizers" in hooks)
    raise UsageError(f"method {name!r}: {spec.origin} has no class {cls}")


def _class_integer(node: ast.ClassDef, name: str) -> int | None:
    for line in node.body:
        targets = line.targets if isinstance(line, ast.Assign) else [line.target] if isinstance(line, ast.AnnAssign) else []
        named = any(isinstance(t, ast.Name) and t.id == name for t in targets)
        if named and isinstance(line, ast.Assign | ast.AnnAssign) and isinstance(line.value, ast.Constant):
            value = line.value.value
            return value if isinstance(value, int) and not isinstance(value, bool) else None
    return None
