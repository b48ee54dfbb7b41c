"""The weights that a job starts from, in the form in which the earlier row's methods left the model."""

from torch import nn

from bench.detectors.checkpoint import load_weights
from bench.engine.order import Start
from bench.methods.protocol import build, having
from bench.quantization.apply import STATE
from bench.quantization.attention import explicit_attention


def load_start(model: nn.Module, start: Start, part: str | None = None) -> None:
    """Adapt `model` as the rows before it did, and load the weights; with `part` a submodule's alone.

    Where the checkpoint has quantizers, its weights are taken and its quantizers are not: a step size is worth nothing
    at other bits, so this row's own are calibrated anew, on the weights as they were trained.
    Raises BenchError where the checkpoint is absent, another one, or does not fit.
    """
    for adapt in having(build(start.methods), "adapt_model"):
        adapt(model)
    if start.attention:
        explicit_attention(model)
    load_weights(model, start.checkpoint, start.sha256, part, without=STATE)
