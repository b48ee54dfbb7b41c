"""AQD: Accurate Quantized Object Detection (Chen et al., 2007.06919), as HQOD trains it (VP-QOD 27f69e85).

A head's convolutions are shared over the pyramid's levels, whose statistics differ, the more so the fewer the bits. AQD
normalises each level by itself: behind each head convolution stands one BatchNorm per level, with statistics and affine
parameters of its own ("multi-level BN"). HQOD's AQD* is that and LSQ; integer arithmetic, QTool's weight normalisation
and its BatchNorms in the FPN are no part of it. Its full-precision start ("Sync-BN FP") has the same norms.
"""

from typing import Any

import torch
from torch import Tensor, distributed, nn

from bench.errors import BenchError
from bench.methods.lsq import LSQ
from bench.quantization.calls import Counted, begin_passes
from bench.schema.methods import options_of
from bench.schema.options.training import AqdOptions, MultiLevelOptions


class LevelNorm(Counted, nn.Module):
    """One BatchNorm per pyramid level; the k-th call of a pass is the k-th level's."""

    def __init__(self, width: int, levels: int, sync: bool) -> None:
        super().__init__()
        kind = nn.SyncBatchNorm if sync else nn.BatchNorm2d
        self.levels = nn.ModuleList(kind(width) for _ in range(levels))
        self.count_calls(levels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, width, h, w] -> the same shape."""
        y: Tensor = self.levels[self.next_call()](x)
        return y


class MultiLevelBN:
    """Multi-level BN in the head, and nothing else: the full-precision start of AQD."""

    version = 1
    repeats = True

    def __init__(self, options: MultiLevelOptions | dict[str, Any]) -> None:
        self.options = options_of(MultiLevelOptions, options)

    def adapt_model(self, model: nn.Module) -> None:
        """One BatchNorm per level behind each head convolution; BenchError where the head shares none."""
        add_level_norms(model, self.options.sync)


class AQD(LSQ):
    """Multi-level BN and LSQ (AQD* of HQOD)."""

    version = 1
    repeats = True

    def __init__(self, options: AqdOptions | dict[str, Any]) -> None:
        self.options: AqdOptions = options_of(AqdOptions, options)

    def adapt_model(self, model: nn.Module) -> None:
        """As MultiLevelBN; nothing where the row that this one starts from has put them there."""
        if not any(isinstance(module, LevelNorm) for module in model.modules()):
            add_level_norms(model, self.options.sync)


def add_level_norms(model: nn.Module, sync: bool) -> None:
    """Put a LevelNorm in place of the norm, or of the bias, of each convolution that mmdet's head shares over levels.

    Raises BenchError for a head that shares none (SSD, YOLOX, the DETRs), and for Sync-BN in several processes on CPUs,
    which torch does not have; in one process it is plain BatchNorm.
    """
    head: Any = getattr(model, "bbox_head", None)
    convs = [c for name in ("cls_convs", "reg_convs") for c in getattr(head, name, ()) if hasattr(c, "with_norm")]
    if not convs:
        raise BenchError(f"multi-level BN: {type(head).__name__} shares no convolutions over pyramid levels")
    if sync and distributed.is_initialized() and not torch.cuda.is_available():
        raise BenchError("multi-level BN: `sync: true` needs GPUs where several processes train; declare `sync: false`")
    for conv in convs:
        if conv.with_norm:
            delattr(conv, conv.norm_name)
        conv.with_norm, conv.norm_name, conv.with_bias = True, "bn", False
        conv.conv.register_parameter("bias", None)
        conv.bn = LevelNorm(conv.conv.out_channels, head.prior_generator.num_levels, sync)
    norms = [(conv.bn, 0) for conv in convs]
    begin_passes(model, {model: norms, head: norms})
