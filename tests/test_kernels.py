"""The fused passes against the eager ones and against the papers' equations, and the rule by which one is chosen."""

import importlib.metadata
import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import PROJECT
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.quantization import kernels
from bench.quantization.functional import fake_quantize, lsq
from bench.quantization.grid import RULES, Grid
from bench.quantization.kernels import numba_path
from bench.quantization.lsq import SMALLEST, LsqQuantizer
from bench.quantization.ranges import integer_range

RANGES = [(bits, signed) for bits in range(2, 9) for signed in (True, False)]
SPECIAL = [float("inf"), -float("inf"), float("nan"), 0.0, -0.0, 1e-44, 3e38]
ENTRIES = st.lists(
    st.floats(-300, 300) | st.integers(-600, 600).map(lambda k: k / 2), min_size=1, max_size=60
)  # of x / s, ties among them
FORMS = st.tuples(st.sampled_from(sorted(RULES)), st.sampled_from(RANGES), st.floats(-8, 8), ENTRIES, st.booleans())


def tensors(log_step: float, entries: list[float], special: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """x of about 1,300 entries, its gradient, and the step; a prime number, so that every loop has a remainder."""
    step = torch.tensor(10**log_step, dtype=torch.float32)
    x = (torch.tensor(entries, dtype=torch.float64) * step.double()).float()
    # Neighbours too: one unit in the last place decides where a tie is meant.
    x = torch.cat([x, torch.nextafter(x, torch.tensor(torch.inf)), torch.nextafter(x, torch.tensor(-torch.inf))])
    x = x.repeat(1299 // len(x) + 1)[:1299]
    if special:
        x[: len(SPECIAL)] = torch.tensor(SPECIAL)
    return x, torch.randn(1299, generator=torch.Generator().manual_seed(len(entries))), step


def run(
    path: Any, x: torch.Tensor, parameter: torch.Tensor, grid: Grid, out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Value, gradient of x, gradient of the parameter."""
    x, parameter = x.clone().requires_grad_(), parameter.clone().requires_grad_(grid.kind != "uniform")
    with kernels.using(path):
        y = fake_quantize(x, parameter, grid)
        y.backward(out)
    return y.detach(), x.grad, parameter.grad


def terms(x: torch.Tensor, step: float, grid: Grid, out: torch.Tensor) -> np.ndarray:
    """The terms of the step's gradient by the papers' equations, in float64."""
    v = x.double().numpy() / step
    r = np.round(v)
    low, high = grid.qmin, grid.qmax
    inside = (low < v) & (v < high) if grid.kind == "lsq-paper" else (low <= r) & (r <= high)
    factor = step * np.log(2) if grid.kind == "tqt" else grid.grad_scale
    with np.errstate(invalid="ignore"):
        slope = np.where(inside, r - v, np.clip(v, low, high))
    return out.double().numpy() * slope * factor


@settings(deadline=None, max_examples=200)
@given(FORMS)
@example(("lsq-mqbench", (2, True), 0.0, [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], True))
def test_fused_is_eager(form: tuple[Any, tuple[int, bool], float, list[float], bool]) -> None:
    """Values and the gradient of x to the bit; the step's gradient within 1e-5 of the sum of its absolute terms."""
    scheme, (bits, signed), log_step, entries, special = form
    grid = Grid(scheme, *integer_range(bits, signed), 1.0 if scheme in ("tqt", "uniform") else 0.37)
    x, out, step = tensors(log_step, entries, special)
    parameter = torch.log2(step) if scheme == "tqt" else step
    fused, eager = run("numba", x, parameter, grid, out), run("eager", x, parameter, grid, out)
    assert torch.equal(torch.nan_to_num(fused[0], nan=-1e30), torch.nan_to_num(eager[0], nan=-1e30))
    assert torch.equal(fused[1], eager[1])
    if scheme == "uniform":
        assert fused[2] is None and eager[2] is None
    elif special:
        assert torch.isnan(fused[2]) and torch.isnan(eager[2])  # NaN propagates
    else:
        total = np.abs(terms(x, float(grid.step(parameter)), grid, out)).sum()
        assert abs(float(fused[2]) - float(eager[2])) <= 1e-5 * total + 1e-37


@settings(deadline=None, max_examples=200)
@given(FORMS)
def test_fused_is_the_papers_equations(form: tuple[Any, tuple[int, bool], float, list[float], bool]) -> None:
    """Codes in float32 are those of float64 but within 4 ulp of a tie, and there at most one apart."""
    scheme, (bits, signed), log_step, entries, _ = form
    qmin, qmax = integer_range(bits, signed)
    grid = Grid(scheme, qmin, qmax, 1.0 if scheme in ("tqt", "uniform") else 0.37)
    x, out, step = tensors(log_step, entries, False)
    parameter = torch.log2(step) if scheme == "tqt" else step
    s = float(grid.step(parameter))
    y, _, slope = run("numba", x, parameter, grid, out)
    v = x.double().numpy() / s
    codes, exact = np.round(y.double().numpy() / s), np.clip(np.round(v), qmin, qmax)
    tie = np.abs(np.abs(v - np.floor(v)) - 0.5) <= 4 * np.spacing(np.abs(v).astype(np.float32))
    assert (np.abs(codes - exact) <= tie).all()
    edge = np.abs(np.minimum(np.abs(v - qmin), np.abs(v - qmax)) - (0.5 if scheme != "lsq-paper" else 0))
    clear = ~tie & (edge > 4 * np.spacing(np.abs(v).astype(np.float32)))
    if slope is not None and clear.all():
        found = terms(x, s, grid, out)
        # The slope r - v of float32 is off by half a unit in v's last place.
        rounding = np.abs(out.double().numpy() * np.clip(v, qmin - 1, qmax + 1)).sum() * 2**-23 * abs(grid.grad_scale)
        rounding *= s * np.log(2) if scheme == "tqt" else 1
        assert abs(float(slope) - found.sum()) <= 1e-5 * np.abs(found).sum() + rounding + 1e-37


@pytest.mark.parametrize("scheme", RULES)
def test_large_sums_are_accurate(scheme: Any) -> None:
    """Three million terms of one sign: a float32 accumulator would lose digits that are asked for."""
    x = torch.rand(3_000_017, generator=torch.Generator().manual_seed(0)) * 0.9 + 8
    grid = Grid(scheme, -8, 7)
    parameter = torch.tensor(0.0 if scheme != "tqt" else 3.0) + (scheme != "tqt")
    _, _, slope = run("numba", x, parameter, grid, torch.ones_like(x))
    if slope is not None:
        found = terms(x, float(grid.step(parameter)), grid, torch.ones_like(x))
        assert abs(float(slope) - found.sum()) <= 1e-6 * np.abs(found).sum()


@pytest.mark.parametrize("scheme", RULES)
def test_large_tensors_are_written_past_the_caches(scheme: Any) -> None:
    """Equal to the bit, also where the end fills no vector."""
    x, out = torch.randn(2, numba_path._LARGE + 13, generator=torch.Generator().manual_seed(0))
    parameter = torch.tensor(0.3 if scheme != "tqt" else 1.0)
    eager, fused = (run(path, x, parameter, Grid(scheme, -8, 7), out) for path in ("eager", "numba"))
    assert torch.equal(eager[0], fused[0]) and torch.equal(eager[1], fused[1])


def test_what_the_kernels_serve() -> None:
    """Anything else is eager, and right: other types, gaps, one step a channel, second derivatives."""
    step = torch.tensor(0.3, requires_grad=True)
    x = torch.randn(4, 6, 5, 5, generator=torch.Generator().manual_seed(0))
    last = x.to(memory_format=torch.channels_last)
    assert kernels.choose(x, step) is numba_path and kernels.choose(last, step.reshape(1)) is numba_path
    expected = lsq(x, step, -8, 7)
    per_channel = torch.full((1, 6, 1, 1), 0.3)
    for other, its_step in ((x.double(), step.double()), (x[:, ::2], step), (x, per_channel), (x[:0], step)):
        assert kernels.choose(other, its_step) is None
    assert torch.equal(lsq(x[:, ::2], step, -8, 7), expected[:, ::2])
    assert torch.equal(lsq(x, per_channel, -8, 7), expected) and lsq(x[:0], step, -8, 7).shape == (0, 6, 5, 5)
    # A gradient in another layout than its tensor's.
    leaf = last.clone(memory_format=torch.preserve_format).requires_grad_()
    y = lsq(leaf, step, -8, 7)
    assert y.stride() == last.stride()
    y.backward(x)
    assert torch.equal(leaf.grad, torch.where((x / 0.3 > -8) & (x / 0.3 < 7), x, 0.0))
    # `sum` hands over one number for all entries.
    (slope,) = torch.autograd.grad(lsq(x, step, -8, 7).sum(), step)
    assert torch.isfinite(slope)


def test_second_derivatives_are_eager() -> None:
    """Of float32 tensors that the kernels would serve."""
    grads = []
    for path in ("numba", "eager"):
        x = torch.linspace(-3, 3, 50).requires_grad_()
        step = torch.tensor(0.4, requires_grad=True)
        with kernels.using(path):  # type: ignore[arg-type]
            (first,) = torch.autograd.grad(lsq(x, step, -4, 3).square().sum(), step, create_graph=True)
            grads.append((first, *torch.autograd.grad(first, (x, step))))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*grads, strict=True))


@pytest.mark.parametrize("path", ["numba", "eager"])
def test_a_step_that_training_drove_through_zero_is_mended_where_it_stands(path: Any) -> None:
    x = torch.tensor([-1.0, 0.4, 2.0])
    for found, expected in ((-0.5, 0.5), (0.0, SMALLEST), (-0.0, SMALLEST), (1e-12, SMALLEST), (0.7, 0.7)):
        quantizer = LsqQuantizer(4, True, None, "mqbench", "none", True)
        quantizer.step.data.fill_(found)
        with kernels.using(path):
            y = quantizer(x)
        assert quantizer.step.item() == torch.tensor(expected).item()
        assert torch.equal(y, lsq(x, torch.tensor(expected), -8, 7, 1.0, "mqbench"))


def test_the_path_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    x, step = torch.zeros(3), torch.tensor(1.0)
    assert kernels.name("cpu").startswith("numba ") and kernels.name("mps") == "eager"
    with kernels.using("eager"):
        assert kernels.choose(x, step) is None and kernels.name("cpu") == "eager"
    assert kernels.choose(x, step) is numba_path
    for value, outcome in (("eager", "eager"), ("numba", f"numba {importlib.metadata.version('numba')}")):
        kernels._from_environment.cache_clear()
        monkeypatch.setenv("QDET_KERNELS", value)
        assert kernels.name("cpu") == outcome
    kernels._from_environment.cache_clear()
    monkeypatch.setenv("QDET_KERNELS", "fast")
    with pytest.raises(UsageError, match="QDET_KERNELS=fast: must be one of auto, eager, numba, triton"):
        kernels.choose(x, step)
    monkeypatch.undo()
    kernels._from_environment.cache_clear()


ABSENT = """
import sys
sys.modules["numba"] = None
import torch
from bench.errors import UsageError
from bench.quantization import kernels
from bench.quantization.functional import lsq
x, s = torch.tensor([0.7, 9.0], requires_grad=True), torch.tensor(0.5, requires_grad=True)
lsq(x, s, -8, 7).sum().backward()
assert kernels.name("cpu") == "eager" and kernels.choose(x, s) is None
assert x.grad.tolist() == [1.0, 0.0] and abs(float(s.grad) - 6.6) < 1e-6
try:
    with kernels.using("numba"):
        pass
except UsageError as error:
    print(error)
"""


def python(code: str, **variables: str) -> str:
    """What a fresh interpreter prints."""
    folders = (PROJECT, PROJECT / "tests", os.environ.get("PYTHONPATH", ""))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders)), **variables}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_numba_all_is_eager() -> None:
    assert python(ABSENT) == ("the kernels of numba are asked for, but numba is not installed or cannot compile here\n")


def test_a_machine_without_a_writable_cache_compiles_all_the_same(tmp_path: Path) -> None:
    source = Path(numba_path.__file__).read_text(encoding="utf-8")
    (tmp_path / "alone.py").write_text(source, encoding="utf-8")
    (tmp_path / "__pycache__").write_text("in the way of a folder")
    code = f"""
import sys, torch
sys.path.insert(0, {str(tmp_path)!r})
import alone
print(alone.forward(torch.tensor([0.7, 9.0]), torch.tensor(0.5), -8, 7, "paper").tolist())
"""
    nowhere = "/proc/nowhere"
    printed = python(code, NUMBA_CACHE_DIR=nowhere, HOME=nowhere, XDG_CACHE_HOME=nowhere, PYTHONDONTWRITEBYTECODE="1")
    assert printed == "[0.5, 3.5]\n"


def compare_triton() -> None:
    """Run where TRITON_INTERPRET=1: Triton's interpreter on a CPU."""
    from bench.quantization.kernels import triton_path

    for rule, bits, signed in itertools.product(sorted(set(RULES.values())), (2, 4, 8), (True, False)):
        qmin, qmax = integer_range(bits, signed)
        ties = [k / 2 for k in range(2 * qmin - 6, 2 * qmax + 6)]
        x, out, step = tensors(-0.9, ties[:: max(1, len(ties) // 60)], True)
        ours, theirs = (path.forward(x, step, qmin, qmax, rule) for path in (triton_path, numba_path))
        assert torch.equal(torch.nan_to_num(ours, nan=-1e30), torch.nan_to_num(theirs, nan=-1e30)), (rule, bits)
        for found in (-0.3, 0.0, 1e-9):
            steps = torch.full((2, 1), found)
            ours, theirs = (
                path.forward(x, one, qmin, qmax, rule, 1e-7)
                for path, one in zip((triton_path, numba_path), steps, strict=True)
            )
            assert torch.equal(torch.nan_to_num(ours, nan=-1e30), torch.nan_to_num(theirs, nan=-1e30)), (rule, bits)
            assert (
                steps.flatten().tolist()
                == [max(abs(float(steps.new_tensor(found))), float(steps.new_tensor(1e-7)))] * 2
            )
        x[x.isnan()] = 0
        ours, theirs = (
            path.backward(x, step, out.clone(), qmin, qmax, rule, 0.37, path is triton_path)
            for path in (triton_path, numba_path)
        )
        assert torch.equal(ours[0], theirs[0]) and ours[1].shape == step.shape, (rule, bits)
        total = np.abs(terms(x, float(step), Grid("lsq-paper", qmin, qmax, 0.37), out)).sum()
        assert abs(float(ours[1]) - float(theirs[1])) <= 1e-5 * total, (rule, bits)
        print(rule, bits, signed)


def test_triton_computes_what_numba_does() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    printed = python("import test_kernels; test_kernels.compare_triton()", TRITON_INTERPRET="1")
    assert len(printed.splitlines()) == 18


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from bench.quantization.kernels import triton_path
for kernel in (triton_path._forward, triton_path._backward):
    for rule in (0, 1, 2):
        # Triton makes a constant of each argument that is 1.
        fixed = {"qmax": 1, "RULE": rule, "BLOCK": 1024, **({"MENDS": True} if "MENDS" in kernel.arg_names else {})}
        types = {n: "*fp32" if n.endswith("_at") else "constexpr" if n in fixed else "i32" for n in kernel.arg_names}
        types.update({"least": "fp32"} if "least" in types else {})
        source = ASTSource(fn=kernel, signature=types, constexprs=fixed)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=triton_path._EXACT)
        ptx = made.asm["ptx"]
        assert "div.rn.f32" in ptx and "0f4B400000" in ptx and "fma" not in ptx and ".ftz" not in ptx
        print(kernel.__name__, rule, len(made.asm["cubin"]) > 0)
"""


def test_triton_compiles_for_a_gpu_and_contracts_nothing(tmp_path: Path) -> None:
    """Needs no GPU: divisions rounded to nearest, the rounding's additions kept, no fused multiply-add."""
    pytest.importorskip("triton", reason="Triton is not installed")
    printed = python(COMPILED, TRITON_CACHE_DIR=str(tmp_path))
    assert printed.splitlines() == [f"{name} {rule} True" for name in ("_forward", "_backward") for rule in range(3)]
