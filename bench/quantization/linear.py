"""The quantized linear layer."""

from torch import Tensor, nn
from torch.nn.functional import linear

from bench.quantization.conv import Held


class QuantLinear(nn.Linear):
    """A linear layer that quantizes its input and its weight; it takes over the parameters of the one it replaces."""

    def __init__(self, layer: nn.Linear, held: Held) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.train(layer.training)
        self.held = held
        self.call = 0
        self.pass_weight: tuple[Tensor, ...] = ()
        """The quantized weight of the pass under way; in a tuple, since a module takes a bare one for a parameter."""

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if not self.pass_weight:
            # Once for all calls: a box branch is read by the decoder and by the head.
            self.pass_weight = (self.held.weight(self.weight),)
        weight, x = self.pass_weight[0], self.held.inputs[self.call](x)
        self.call += 1
        if self.call == len(self.held.inputs):
            self.pass_weight = ()
        return linear(x, weight, self.bias)
