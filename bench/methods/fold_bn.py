"""BatchNorm folded into convolutions (Jacob et al., 1712.05877, section 3.2), as inference engines have it.

In evaluation mode the norm behind a convolution is y = g (W x + b - mean) / d + beta, d being the deviation. With the
weight g W / d and the bias g (b - mean) / d + beta the convolution does the same alone.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights

from bench.schema.methods import options_of
from bench.schema.options.calibration import FoldBnOptions


class FoldBn:
    """Quantization then sees the weights that are deployed."""

    version = 1

    def __init__(self, options: FoldBnOptions | dict[str, Any]) -> None:
        options_of(FoldBnOptions, options)
        self.folded = 0

    def adapt_model(self, model: nn.Module) -> None:
        """Fold each norm that alone follows a convolution; the norm becomes an identity."""
        for parent, name, conv, norm in list(_pairs(model)):
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None and variance is not None
            conv.weight, conv.bias = fuse_conv_bn_weights(
                conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
            )
            parent._modules[name] = nn.Identity()
            self.folded += 1

    def facts(self, model: nn.Module) -> dict[str, Any]:
        """How many were folded, and the names of those that were not."""
        left = [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]
        return {"folded": self.folded, "not folded": left}


def _pairs(model: nn.Module) -> Iterator[tuple[nn.Module, str, nn.Conv2d, _BatchNorm]]:
    """A norm's parent and name, the convolution before it, and the norm.

    mmdet and torch register a norm right behind the convolution that it follows. One that several parents share is left
    out: it may follow another one at each place.
    """
    parents = Counter(child for module in model.modules() for child in module._modules.values())
    for parent in model.modules():
        before: nn.Module | None = None
        for name, child in parent._modules.items():
            if isinstance(child, _BatchNorm) and isinstance(before, nn.Conv2d) and child.running_mean is not None:
                alone = parents[child] == parents[before] == 1
                if alone and before.out_channels == child.num_features:
                    yield parent, name, before, child
            before = child
