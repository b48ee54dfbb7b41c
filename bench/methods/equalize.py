"""Cross-layer equalization (Nagel et al., 1906.04721, section 4.1).

Where nothing but a ReLU lies between two convolutions, channel i of the first one may be divided by s_i and the second
one's weights of that channel multiplied by it: the outputs stay the same. With s_i = sqrt(r1_i / r2_i), r1_i and r2_i
being the largest |weight| of the channel in both, the two become equal (equation 11), and one step size serves them.
"""

from collections import Counter, defaultdict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.errors import BenchError
from bench.quantization.trace import Operand, Recorded, record_reads
from bench.schema.methods import options_of
from bench.schema.options.calibration import EqualizeOptions

HOMOGENEOUS = frozenset({"relu", "leaky_relu"})
"""f(s x) = s f(x) for s > 0. Neither SiLU is so, nor ReLU6, which ends at 6."""
STILL = 1e-3
"""A round that moves no scale by more than this share is the last one."""
CHANGED = 1e-3
"""The model's outputs may move by this share of their largest, by rounding."""


class Pair(NamedTuple):
    """Two convolutions, by name: the second reads the first one, through a homogeneous activation, and nobody else."""

    first: str
    second: str


class Equalize:
    """Scales weights before quantizers are placed."""

    version = 1

    def __init__(self, options: EqualizeOptions | dict[str, Any]) -> None:
        self.options = options_of(EqualizeOptions, options)
        self.pairs: list[Pair] = []
        self.between: Counter[str] = Counter()
        self.rounds = 0

    @torch.no_grad()
    def prepare(self, model: nn.Module, batches: Batches) -> None:
        """Equalize every pair, in rounds; BenchError where the model then computes something else."""
        training = model.training
        model.eval()
        convs = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
        first = next(iter(batches))
        recorded = record_reads(model, convs, first)
        self.pairs, self.between = pairs_of(recorded, convs)
        before = _flat(first())
        for _ in range(self.options.rounds):
            self.rounds += 1
            moved = [equalized(convs[pair.first], convs[pair.second]) for pair in self.pairs]
            if max(moved, default=0.0) < STILL:
                break
        off = float((_flat(first()) - before).abs().max() / before.abs().max().clamp_min(1e-12))
        if not off < CHANGED:
            raise BenchError(
                f"equalize: the model's outputs moved by {off:.1e} of the largest one, which rounding cannot"
            )
        model.train(training)

    def facts(self, model: nn.Module) -> dict[str, Any]:
        """The pairs, and what stood between convolutions that are none."""
        return {
            "pairs": [list(pair) for pair in self.pairs],
            "rounds": self.rounds,
            "not a pair because of": dict(sorted(self.between.items())),
        }


def equalized(first: nn.Conv2d, second: nn.Conv2d) -> float:
    """Scale both; by what share the scale that moves most differs from 1. Channels without a range stay."""
    ends = first.weight.abs().amax((1, 2, 3)), _by_input(second.weight, second).abs().amax((1, 2, 3))
    alive = (ends[0] > 0) & (ends[1] > 0)
    scale = torch.where(alive, (ends[0] / ends[1].where(alive, 1.0)).sqrt(), torch.ones_like(ends[0]))
    shaped = scale.view(-1, 1, 1, 1)
    first.weight /= shaped
    if first.bias is not None:
        first.bias /= scale
    second.weight *= shaped if second.groups > 1 else scale.view(1, -1, 1, 1)
    return float((scale - 1).abs().max())


def _by_input(weight: Tensor, conv: nn.Conv2d) -> Tensor:
    """[in, ...] of [out, in, h, w]; a depthwise weight [c, 1, h, w] is that already."""
    return weight if conv.groups > 1 else weight.transpose(0, 1)


def pairs_of(recorded: Recorded, convs: dict[str, nn.Conv2d]) -> tuple[list[Pair], Counter[str]]:
    """The pairs of a pass, and for the convolutions that begin none what stood behind them."""
    readers: dict[int, list[str]] = defaultdict(list)
    operands: dict[int, list[Operand]] = defaultdict(list)
    for read in recorded.reads:
        readers[read.tensor].append(read.module)
    for operand in recorded.operands:
        operands[operand.tensor].append(operand)
    made = _made(recorded)
    behind: dict[str, set[str]] = defaultdict(set)
    for output in recorded.outputs:
        if output.module in convs:
            behind[output.module].add(_reader(output.tensor, readers, operands, made))
    sources: dict[str, set[str]] = defaultdict(set)
    for name, found in behind.items():
        for reader in found:
            sources[reader].add(name)
    pairs, between = [], Counter[str]()
    counts = Counter(read.module for read in recorded.reads)
    for name, found in behind.items():
        second = next(iter(found)) if len(found) == 1 else "different readers"
        if second not in convs:
            between[second] += 1
        # The second one reads nothing else: it is called as often as the first one.
        elif sources[second] != {name} or counts[second] != counts[name] or _grouped(convs[second]):
            between["another input"] += 1
        else:
            pairs.append(Pair(name, second))
    return pairs, between


def _reader(
    tensor: int, readers: dict[int, list[str]], operands: dict[int, list[Operand]], made: dict[str, int]
) -> str:
    """The convolution that alone reads a tensor; else what reads it: an operation, or several readers."""
    while True:
        if len(readers[tensor]) + len(operands[tensor]) != 1:
            found = {operand.operation for operand in operands[tensor]} | ({"conv"} if readers[tensor] else set())
            return " and ".join(sorted(found)) or "nothing"
        if readers[tensor]:
            return readers[tensor][0]
        (operand,) = operands[tensor]
        following = made.get(_maker(operand))
        if operand.operation not in HOMOGENEOUS or following is None:
            return operand.operation
        tensor = following


def _made(recorded: Recorded) -> dict[str, int]:
    """By maker the tensor that it made; one that made several is left out."""
    counts = Counter(recorded.makers.values())
    return {maker: tensor for tensor, maker in recorded.makers.items() if counts[maker] == 1}


def _maker(operand: Operand) -> str:
    """As `Recorded.makers` names an activation that is a module of its own."""
    return f"{operand.module}#{operand.call}"


def _grouped(conv: nn.Conv2d) -> bool:
    """Whether it has groups and is not depthwise."""
    return conv.groups > 1 and not conv.groups == conv.in_channels == conv.out_channels


def _flat(outputs: Any) -> Tensor:
    tensors = outputs if isinstance(outputs, list | tuple) else [outputs]
    return torch.cat([_flat(t) if isinstance(t, list | tuple) else t.flatten() for t in tensors])
