"""Parameters, bytes and BOPs of rows, against what can be counted by hand."""

import pytest
from conftest import PROJECT, SUITE

from bench.plan.jobs import plan
from bench.quantization.footprint import Footprint
from bench.run.inspect import build, footprint_of
from bench.schema.load import load_suite


@pytest.fixture(scope="module")
def rows() -> dict[str, Footprint]:
    jobs = plan(load_suite(SUITE, PROJECT), "smoke")
    return {job.row.id: footprint_of(job, PROJECT) for job in jobs}


def test_full_precision_has_32_bits_everywhere(rows: dict[str, Footprint]) -> None:
    fp = rows["fp"]
    assert fp == rows["fp-ft-w4a4"]
    assert fp.bytes == 4 * fp.parameters and fp.bops == 32 * 32 * fp.macs


def test_quantized_weights_and_operations(rows: dict[str, Footprint]) -> None:
    """First layer 8 x 3 x 7 x 7 at 8 bits; 32 x 32 outputs of it from 64 x 64 px."""
    fp, lsq = rows["fp"], rows["lsq-w4a4"]
    model = build(plan(load_suite(SUITE, PROJECT), "smoke")[0], PROJECT)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    edge = [f"{layer}.weight" for layer in ("backbone.conv1", "bbox_head.retina_cls", "bbox_head.retina_reg")]
    quantized = [n for n in sizes if n.endswith("weight") and ("conv" in n or "downsample.0" in n) and n not in edge]
    other = sum(sizes.values()) - sum(sizes[n] for n in (*edge, *quantized))
    assert lsq.bytes == (8 * sum(sizes[n] for n in edge) + 4 * sum(sizes[n] for n in quantized) + 32 * other) // 8
    assert (lsq.parameters, lsq.macs) == (fp.parameters, fp.macs)
    places = sum((64 // stride) ** 2 if stride <= 64 else 1 for stride in (8, 16, 32, 64, 128))
    predictors = places * 8 * 9 * 9 * (20 + 4)
    first = 32 * 32 * 8 * 3 * 7 * 7
    assert lsq.bops == 64 * (first + predictors) + 16 * (fp.macs - first - predictors)
