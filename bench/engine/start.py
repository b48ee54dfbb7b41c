"""The weights that a job starts from, in the form in which the earlier row's methods left the model."""

from torch import nn

from bench.detectors.checkpoint import load_weights
from bench.engine.order import Start
from bench.methods.stack import MethodStack
from bench.quantization.apply import STATE
from bench.quantization.attention import explicit_attention


def load_start(model: nn.Module, start: Start, part: str | None = None) -> None:
    """Adapt `model` as the rows before it did, and load the weights; with `part` a submodule's alone.

    Of a quantized checkpoint the weights are taken and the quantizers are not: a step size is worth nothing at other
    bits, so this row calibrates its own on the weights as they were trained.
    Raises BenchError where the checkpoint is absent, another one, or does not fit.
    """
    for earlier in start.lineage:
        MethodStack.of(earlier.methods).adapt_model(model)
    if any(earlier.policy is not None and "attention" in earlier.policy.layers for earlier in start.lineage):
        explicit_attention(model)
    load_weights(model, start.checkpoint, start.sha256, part, without=STATE)
