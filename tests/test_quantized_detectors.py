"""Every detector of the catalogue, quantized as suites/detectors/quantized.yaml declares it."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import PROJECT
from detector_scales import drawn_batch, losses
from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.detectors.build import build_detector
from bench.detectors.checkpoint import load_weights, save_weights
from bench.engine.place import trace_placement
from bench.methods.lsq import LSQ
from bench.quantization.apply import apply, quantized_layers
from bench.quantization.attention import Attention, explicit_attention
from bench.quantization.placement import Placement, check_pins
from bench.quantization.trace import record_reads, tensors
from bench.schema.bits import Bits
from bench.schema.catalog import CATALOG
from bench.schema.load import load_suite

# mmdet's own, and on every pass.
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("User", "Deprecation", "Future")]

SUITE = load_suite("detectors/quantized", PROJECT).suite
SCALES = SUITE.tiers["smoke"].detectors
NAMES = tuple(CATALOG)
CLASSES = ("a", "b", "c")
SIDE = 64
NO_LAYERS = {"query_embedding.weight", "level_embed"}
"""Parameters of two dimensions or more that are learned inputs."""
DETACHED = {
    "deformable-detr-refine-r50": "quantizers.bbox_head/reg_branches/",
    "dab-detr-r50": "quantizers.bbox_head/fc_reg/",
}
"""The decoder calls the box branch too, and lets no gradient through what comes out."""
CONSTANT = {
    "detr-r50": {f"decoder.layers.0.self_attn.attn.{n}" for n in ("v_proj", "out_proj")},
    "dab-detr-r50": {f"decoder.layers.0.self_attn.{n}" for n in ("qcontent_proj", "kcontent_proj", "v_proj")},
}
"""What the first decoder layer reads of the queries is zeros."""


def make(name: str, seed: int = 0) -> tuple[Any, Placement]:
    """The detector with quantizers that are not calibrated, and its placement."""
    row = SUITE.row(f"{name}-lsq-w4a4")
    policy = SUITE.policies[row.policy or ""]
    model: Any = build_detector(name, SCALES[name], CLASSES, seed)
    # Some of mmdet's initial weights are zeros, a norm's among them, and hide what stands before them.
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (p for n, p in model.named_parameters() if n.endswith("weight")):
            noise = torch.randn(weight.shape, generator=generator) * 0.1
            weight.add_(noise if weight.dim() > 1 else noise.abs() + 0.5)
        # Statistics of the data, as a trained model has them: in training the same values flow as in calibration.
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
        losses(model, drawn_batch(SIDE))
    placement = trace_placement(model, drawn_batch(SIDE), policy, Bits.parse("4/4"))
    check_pins(placement, policy, row.pins["smoke"])
    apply(model, placement, LSQ(row.methods[0].options).make_quantizers(placement))
    return model, placement


@pytest.fixture(scope="module", params=NAMES)
def quantized(request: pytest.FixtureRequest) -> tuple[str, Any, Placement]:
    model, placement = make(request.param)
    LSQ(SUITE.row(f"{request.param}-lsq-w4a4").methods[0].options).calibrate(model, Batches(model, [drawn_batch(SIDE)]))
    return request.param, model.eval(), placement


@torch.no_grad()
def outputs(model: Any) -> list[Tensor]:
    """What the model gives, and each quantized layer: of Faster R-CNN's first stage little reaches the second."""
    seen: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, result: seen.append(result.clone()))
        for layer in quantized_layers(model).values()
    ]
    seen += tensors(next(iter(Batches(model, [drawn_batch(SIDE)])))())
    for handle in hooks:
        handle.remove()
    return seen


def equal(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) > 0 and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_every_detector_has_a_row_in_fp_and_one_at_int4() -> None:
    assert {row.detector for row in SUITE.rows if row.bits.is_fp} == set(NAMES) == set(SCALES)
    assert {row.detector for row in SUITE.rows if str(row.bits) == "4/4"} == set(NAMES)


def test_every_weight_is_quantized_but_embeddings(quantized: tuple[str, Any, Placement]) -> None:
    """Independent of what the placement calls a layer: by the parameters' dimensions."""
    _, model, placement = quantized
    matrices = {name for name, p in model.named_parameters() if p.dim() > 1} - NO_LAYERS
    assert {site.name for site in placement.weights} == matrices == {f"{n}.weight" for n in quantized_layers(model)}
    assert not any(isinstance(module, nn.MultiheadAttention) for module in model.modules())
    left = {name for name, _ in model.named_parameters() if not name.startswith("quantizers.")} - matrices
    assert set(placement.fp) == left


def test_no_quantized_weight_is_used_in_fp(quantized: tuple[str, Any, Placement]) -> None:
    """Snap every weight to its grid and move it by less than half a step: who reads it in FP would notice.

    Moved by whole steps, each weight is noticed.
    """
    name, model, _ = quantized
    model = copy.deepcopy(model)
    layers = quantized_layers(model)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in layers.values():
            layer.weight.copy_(layer.held.weight(layer.weight))
        snapped = outputs(model)
        grid = {n: layer.weight.clone() for n, layer in layers.items()}
        for n, layer in layers.items():
            noise = torch.rand(grid[n].shape, generator=generator) * 0.9 - 0.45
            layer.weight.add_(noise * layer.held.weight.step)
        assert equal(snapped, outputs(model))
        for n, layer in layers.items():
            layer.weight.copy_(grid[n])
        unseen = []
        for n, layer in layers.items():
            noise = torch.randint(-2, 3, grid[n].shape, generator=generator)
            layer.weight.add_(noise * layer.held.weight.step)
            unseen += [n] if equal(snapped, outputs(model)) else []
            layer.weight.copy_(grid[n])
        assert set(unseen) == CONSTANT.get(name, set())


def test_every_input_is_quantized(quantized: tuple[str, Any, Placement]) -> None:
    """Layers see at most 2^bits values of each tensor."""
    _, model, placement = quantized
    site_of = {reader: site for site in placement.activations for reader in site.readers}
    calls: dict[str, int] = {}
    seen = []

    def watch(name: str) -> Any:
        def hook(module: Any, args: tuple[Tensor]) -> None:
            call = calls.get(name, 0)
            calls[name] = call + 1
            own, site = module.held.inputs[call], site_of[name, call]
            # One that is quantized behind what made it comes on its grid.
            assert (own is None) == (site.tap is not None) and (own is None or own.bits == site.bits)
            values = args[0] if own is None else own(args[0])
            seen.append(values.unique().numel() <= 2**site.bits)

        return hook

    hooks = [layer.register_forward_pre_hook(watch(n)) for n, layer in quantized_layers(model).items()]
    outputs(model)
    for handle in hooks:
        handle.remove()
    assert all(seen) and len(seen) == len(site_of)


def test_it_trains_saves_loads_and_predicts_the_same_bits(
    quantized: tuple[str, Any, Placement], tmp_path: Path
) -> None:
    name, model, placement = quantized
    model = copy.deepcopy(model).train()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    loss = losses(model, drawn_batch(SIDE))
    loss.backward()
    assert torch.isfinite(loss)
    steps = {n: p for n, p in model.named_parameters() if n.endswith(".step")}
    assert len(steps) == len(placement.sites)
    untrained = [n for n, p in model.named_parameters() if p.grad is None]
    assert all(n.startswith(DETACHED.get(name, "-")) and n.endswith(".step") for n in untrained), untrained
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    torch.optim.SGD(model.parameters(), lr=1e-2).step()
    changed = [n for n, p in model.named_parameters() if not torch.equal(before[n], p)]
    assert len(changed) > 0.5 * len(before), "without positive samples a level's layers stay"
    digest = save_weights(model, tmp_path / "x.pth")
    other, _ = make(name, seed=1)
    load_weights(other, tmp_path / "x.pth", digest)
    assert equal(predictions(model), predictions(other))
    assert equal(outputs(model.eval()), outputs(other.eval()))


@torch.no_grad()
def predictions(model: Any) -> list[Tensor]:
    found = [sample.pred_instances for sample in model.eval().test_step(drawn_batch(SIDE))]
    return [values for image in found for values in (image.bboxes, image.scores, image.labels)]


@pytest.mark.parametrize("batch_first", [False, True])
def test_explicit_attention_is_torchs(batch_first: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(16, 4, batch_first=batch_first).train()
    nn.init.normal_(theirs.in_proj_bias)
    ours = nn.Sequential(copy.deepcopy(theirs))
    explicit_attention(ours)
    assert type(ours[0]) is Attention
    query, key, value = torch.randn(5, 2, 16), torch.randn(7, 2, 16), torch.randn(7, 2, 16)
    if batch_first:
        query, key, value = (x.transpose(0, 1) for x in (query, key, value))
    padding = torch.tensor([[False] * 7, [False] * 4 + [True] * 3])
    for mask in (None, torch.rand(5, 7) > 0.7, torch.randn(5, 7), torch.rand(8, 5, 7) > 0.8):
        options: dict[str, Any] = {"key_padding_mask": padding, "attn_mask": mask}
        if mask is not None and mask.dtype != torch.bool:
            options["key_padding_mask"] = torch.zeros(2, 7).masked_fill(padding, float("-inf"))
        a, weights = theirs(query, key, value, **options)
        b, own = ours[0](query, key, value, **options)
        assert torch.allclose(a, b, atol=1e-6) and torch.allclose(weights, own, atol=1e-6)


def test_explicit_attention_replaces_a_shared_one_everywhere_once() -> None:
    attention = nn.MultiheadAttention(8, 2)
    model = nn.ModuleList([attention, nn.ModuleDict({"again": attention})])
    explicit_attention(model)
    assert model[0] is model[1]["again"] and isinstance(model[0], Attention)


def test_attention_of_a_form_that_is_not_offered_is_refused() -> None:
    for options in ({"kdim": 4}, {"add_bias_kv": True}, {"add_zero_attn": True}):
        with pytest.raises(ValueError, match="not offered"):
            Attention(nn.MultiheadAttention(8, 2, **options))


class _Signs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(4, 4) for name in "abcdefg"})
        self.embedding = nn.Parameter(torch.ones(2, 4))

    def forward(self, x: Tensor) -> None:
        layers, relu = self.layers, torch.relu(x)
        layers["a"](torch.dropout(relu, 0.1, self.training))
        layers["b"](relu.reshape(-1, 4).unsqueeze(0))
        layers["c"](torch.cat([relu, x]))
        layers["d"](nn.functional.max_pool2d(x[None], 1)[0])
        layers["e"](nn.functional.max_pool2d(relu[None], 1)[0])
        layers["f"](self.embedding.unsqueeze(0).expand(3, -1, -1))
        relu[:, 0] = x[:, 0]
        layers["g"](nn.functional.hardtanh(x, 0, 6, True))


def test_signs_follow_the_values_through_what_moves_them() -> None:
    model, x = _Signs().eval(), torch.randn(2, 4)
    reads = record_reads(model, [f"layers.{n}" for n in "abcdefg"], lambda: model(x)).reads
    found = {read.module[-1]: read.producer for read in reads}
    expected = {"a": "relu", "b": "relu", "c": "cat", "d": "input", "e": "max_pool2d", "f": "parameter", "g": "relu6"}
    assert found == expected
