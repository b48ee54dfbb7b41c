"""Attention whose projections are layers. torch's own keeps three of them in one raw parameter and calls none."""

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout
from torch.nn.utils import parametrize

from bench.quantization.tree import replace


class Projection(nn.Linear):
    """One of an attention's four linear layers."""


class Attention(nn.Module):
    """nn.MultiheadAttention (1706.03762, section 3.2.2) as four linear layers and an explicit softmax.

    It has the parameters of the one it replaces, `in_proj_weight` and its bias cut in three. The products of queries
    and keys, and of weights and values, are of activations alone and stay in FP. Double backward exists.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if any(parametrize.is_parametrized(module) for module in attention.modules()):
            raise ValueError("attention with a parametrized weight is not offered")
        if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
            raise ValueError("attention with keys of another width, or with added keys, is not offered")
        self.heads, self.dropout, self.batch_first = attention.num_heads, attention.dropout, attention.batch_first
        bias = attention.in_proj_bias
        parts = (None,) * 3 if bias is None else bias.detach().chunk(3)
        weights = attention.in_proj_weight.detach().chunk(3)
        self.q_proj, self.k_proj, self.v_proj = map(_projection, weights, parts)
        self.out_proj = _projection(attention.out_proj.weight.detach(), attention.out_proj.bias)
        self.train(attention.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """As nn.MultiheadAttention, without its fast path.

        Args:
            query: [l, n, e], or [n, l, e] where batch comes first; key and value have s places in place of l.
            key: see query.
            value: see query.
            key_padding_mask: [n, s], true (or -inf) where a key is padding.
            need_weights: whether the weights are returned.
            attn_mask: [l, s] or [n * heads, l, s], true (or -inf) where a query must not look.

        Returns:
            The output, of query's shape, and the weights averaged over heads [n, l, s], or None.
        """
        q, k, v = (self._split(x) for x in (self.q_proj(query), self.k_proj(key), self.v_proj(value)))
        scores = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
        if attn_mask is not None:
            mask = _additive(attn_mask, scores)
            scores = scores + (mask if mask.dim() == 2 else mask.view(scores.shape))
        if key_padding_mask is not None:
            scores = scores + _additive(key_padding_mask, scores)[:, None, None]
        weights = scores.softmax(-1)
        out = dropout(weights, self.dropout, self.training) @ v
        # [n, heads, l, e / heads] -> the layout of the input
        out = (out.permute(0, 2, 1, 3) if self.batch_first else out.permute(2, 0, 1, 3)).flatten(2)
        return self.out_proj(out), weights.mean(1) if need_weights else None

    def _split(self, x: Tensor) -> Tensor:
        """[l, n, e] or [n, l, e] -> [n, heads, l, e / heads]."""
        x = x.view(*x.shape[:-1], self.heads, -1)
        return x.permute(0, 2, 1, 3) if self.batch_first else x.permute(1, 2, 0, 3)


def explicit_attention(model: nn.Module) -> None:
    """Replace every nn.MultiheadAttention of `model` in place, wherever it stands."""
    found = [module for module in model.modules() if isinstance(module, nn.MultiheadAttention)]
    replace(model, {module: Attention(module) for module in found})


def _projection(weight: Tensor, bias: Tensor | None) -> Projection:
    layer = Projection(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.clone())
    layer.bias = None if bias is None else nn.Parameter(bias.detach().clone())  # type: ignore[assignment]
    return layer


def _additive(mask: Tensor, like: Tensor) -> Tensor:
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=like.dtype).masked_fill_(mask, float("-inf"))
    return mask.to(like.dtype)
