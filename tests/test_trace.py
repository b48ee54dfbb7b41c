"""What the recorded pass calls a tensor: `input` and the unsigned operations only where it is sure."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from bench.quantization.trace import record_reads


class _Minus(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        return x - 5

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return grads[0]


class _Dirty(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)  # type: ignore[attr-defined]
        return x.sub_(5)

    @staticmethod
    def backward(ctx: object, *grads: Tensor) -> Tensor:
        return grads[0]


@torch.library.custom_op("qdet_test::relu", mutates_args=())
def _no_relu(x: Tensor) -> Tensor:
    return x - 5


@torch.library.custom_op("qdet_test::lower", mutates_args=("x",))
def _lower(x: Tensor) -> None:
    x.sub_(5)


def _by_numpy(x: Tensor) -> Tensor:
    x.numpy()[:] -= 5
    return x


def _past_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy() - 5)


def _changed(x: Tensor, change: Callable[[Tensor], object]) -> Tensor:
    change(x)
    return x


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "view": lambda x: _changed(x, lambda t: t[:, :2].sub_(5)),
    "view of a view": lambda x: _changed(x, lambda t: t.permute(0, 2, 3, 1)[..., :1].mul_(-1)),
    "data": lambda x: _changed(x, lambda t: t.data.sub_(5)),
    "part of data": lambda x: _changed(x, lambda t: t.data[:, 0].sub_(5)),
    "detached": lambda x: _changed(x, lambda t: t.detach().sub_(5)),
    "out": lambda x: _changed(x, lambda t: torch.sub(t, 5, out=t)),
    "out of a view": lambda x: _changed(x, lambda t: torch.sub(t[:, :1], 5, out=t[:, :1])),
    "assignment": lambda x: _changed(x, lambda t: t.__setitem__((slice(None), 0), -1.0)),
    "new data": lambda x: _changed(x, lambda t: setattr(t, "data", t - 5)),
    "operator": lambda x: torch.ops.aten.sub(x, 5),
    "operator in place": lambda x: _changed(x, lambda t: torch.ops.aten.sub_(t, 5)),
    "operator in place of data": lambda x: _changed(x, lambda t: torch.ops.aten.sub_.Tensor(t.data, torch.ones(()))),
    "function": _Minus.apply,  # type: ignore[dict-item]
    "dirty function": _Dirty.apply,  # type: ignore[dict-item]
    "named relu": torch.ops.qdet_test.relu.default,
    "named relu, packet": torch.ops.qdet_test.relu,
    "custom in place": lambda x: _changed(x, torch.ops.qdet_test.lower),
    "numpy in place": _by_numpy,
    "numpy": _past_numpy,
    "foreach": lambda x: _changed(x, lambda t: torch._foreach_sub_([t], 5)),
}
"""Each makes values below zero of values at or above it."""

VIEWS: dict[str, Callable[[Tensor], Tensor]] = {
    "itself": lambda x: x,
    "slices": lambda x: x[:, :, ::2, 1:],
    "focus": lambda x: torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2]], 1)[:, :3],
    "permuted": lambda x: x.permute(0, 1, 3, 2),
    "reordered": lambda x: x[:, [2, 1, 0]],
    "reordered by a buffer": lambda x: x[:, torch.tensor([2, 1, 0])],
    "narrowed": lambda x: x.narrow(1, 0, 3),
    "unbound": lambda x: x.unbind(0)[0],
    "transposed": lambda x: x.mT,
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "copied": lambda x: x.clone().contiguous(memory_format=torch.channels_last),
}


class _Net(nn.Module):
    def __init__(self, change: Callable[[Tensor], Tensor], first: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change, self.first, self.conv = change, first, nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(self.change(self.first(x)))
        return y


def producer(change: Callable[[Tensor], Tensor], first: Callable[[Tensor], Tensor] = lambda x: x) -> str:
    net = _Net(change, first)
    image = torch.rand(2, 3, 8, 8)
    (read,) = record_reads(net, ["conv"], lambda: net(image)).reads
    assert read.shape == tuple(net.change(net.first(torch.rand(2, 3, 8, 8))).shape)
    return read.producer


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_image_is_not_the_image(change: Callable[[Tensor], Tensor]) -> None:
    assert producer(change) not in ("input", "relu", "relu6", "max_pool2d")


@pytest.mark.parametrize("change", [c for n, c in CHANGES.items() if n != "numpy in place"])
def test_a_changed_relu_is_no_relu(change: Callable[[Tensor], Tensor]) -> None:
    """What numpy writes in place nobody sees; of the image alone there is a copy."""
    assert producer(change, torch.relu) not in ("input", "relu", "relu6", "max_pool2d")


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_has_its_tensors_producer(view: Callable[[Tensor], Tensor]) -> None:
    assert producer(view) == "input"
    assert producer(view, torch.relu) == "relu" and producer(view, torch.ops.aten.relu) == "relu"


def test_a_view_made_before_its_tensor_was_written_is_changed_too() -> None:
    def late(x: Tensor) -> Tensor:
        view = x[:, :, 1:]
        x.sub_(5)
        return view

    assert producer(late) == producer(late, torch.relu) == "unknown"


def test_what_the_module_holds_is_not_its_input() -> None:
    held, learned = torch.rand(2, 3, 4, 4), nn.Parameter(torch.rand(2, 3, 4, 4))
    assert producer(lambda _: held) == "unknown"
    assert producer(lambda _: learned[:1]) == "parameter"
