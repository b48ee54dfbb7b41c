"""A user's own folding of BatchNorm: before PTQ, and as a parametrization in QAT."""

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from bench.methods.uniform import Uniform


def folded(conv, bn):
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return nn.Identity()


class FoldedUniform(Uniform):
    """PTQ with BatchNorm folded before placement."""

    version = 1

    def adapt_model(self, model):
        for m in model.backbone.modules():
            for conv, bn in (("conv1", "bn1"), ("conv2", "bn2")):
                if isinstance(getattr(m, bn, None), nn.BatchNorm2d):
                    setattr(m, bn, folded(getattr(m, conv), getattr(m, bn)))
            if getattr(m, "downsample", None) is not None and isinstance(m.downsample[1], nn.BatchNorm2d):
                m.downsample[1] = folded(*m.downsample)


class Scaled(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.g = nn.Parameter(torch.ones(n, 1, 1, 1))

    def forward(self, w):
        return w * self.g


class FoldedQAT(Uniform):
    """The weight that is quantized is a function of the layer's and the norm's parameters."""

    version = 1

    def adapt_model(self, model):
        conv = model.backbone.layer1[0].conv1
        torch.nn.utils.parametrize.register_parametrization(conv, "weight", Scaled(conv.out_channels))
