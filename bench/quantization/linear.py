"""The quantized linear layer."""

from torch import Tensor, nn
from torch.nn.functional import linear

from bench.quantization.layer import Held, QuantLayer


class QuantLinear(QuantLayer, nn.Linear):
    """A linear layer that quantizes its input and its weight; it takes over the parameters of the one it replaces."""

    def __init__(self, layer: nn.Linear, held: Held) -> None:
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.train(layer.training)
        self.hold(held)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        quantizer = self.next_input()
        return linear(x if quantizer is None else quantizer(x), self.quantized_weight(), self.bias)
