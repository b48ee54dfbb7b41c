"""Bits for each layer under one budget for all (2407.03442, eq. 11; HAWQ-V3, 2011.10680, section 3.4)."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from bench.errors import BenchError, UsageError

_SCALE = 1e4
"""Of the budget and of the sum of costs in the solver, whose tolerances of about 1e-6 are absolute."""


def allocate_bits(cost: ArrayLike, size: ArrayLike, budget: float) -> NDArray[np.int64]:
    """The choice of each layer that makes the sum of costs least while the sum of sizes is at most the budget.

    Args:
        cost: [layers, choices], what a choice costs in accuracy; any finite numbers.
        size: [layers, choices], what it takes of the budget: bytes, or bit operations; 0 or more.
        budget: in the unit of `size`.

    Returns:
        [layers], the index of each layer's choice.

    Raises UsageError where the arrays do not fit, or where even the smallest choices exceed the budget.
    """
    costs, sizes = _table(cost, "cost"), _table(size, "size")
    if costs.shape != sizes.shape:
        raise UsageError(f"bit allocation: cost is {list(costs.shape)} and size {list(sizes.shape)}; both must agree")
    if (sizes < 0).any():
        raise UsageError("bit allocation: a size is below 0")
    least = float(sizes.min(1).sum())
    if not least <= budget:
        raise UsageError(f"bit allocation: the budget is {budget:,.0f}, the smallest possible size {least:,.0f}")
    # Costs span many powers of ten: each round scales them by the best sum so far, beyond which no choice can lie.
    costs = costs - costs.min(1, keepdims=True)
    chosen: NDArray[np.int64] = sizes.argmin(1)
    best = _sum(costs, chosen)
    while best > 0:
        found = _solve(np.minimum(costs * (_SCALE / best), 2 * _SCALE), sizes, budget)
        if _sum(costs, found) >= best * (1 - 1e-9):
            break
        chosen, best = found, _sum(costs, found)
    return chosen


def _solve(costs: NDArray[Any], sizes: NDArray[Any], budget: float) -> NDArray[np.int64]:
    layers, choices = costs.shape
    of_layer = csr_array((np.ones(costs.size), (np.repeat(np.arange(layers), choices), np.arange(costs.size))))
    scaled = csr_array(sizes.reshape(1, -1) * (_SCALE / budget if budget else 1.0))
    limits = [LinearConstraint(of_layer, 1, 1), LinearConstraint(scaled, -np.inf, _SCALE if budget else 0)]
    while True:
        options = {"mip_rel_gap": 0.0}
        found = milp(
            costs.reshape(-1), integrality=np.ones(costs.size), bounds=Bounds(0, 1), constraints=limits, options=options
        )
        if found.x is None:
            raise BenchError(f"bit allocation: the solver found nothing: {found.message}")
        chosen: NDArray[np.int64] = found.x.reshape(layers, choices).argmax(1)
        if _sum(sizes, chosen) <= budget:
            return chosen
        # Within the solver's tolerance, but not within the budget: any other one.
        taken = csr_array(
            (np.ones(layers), (np.zeros(layers, int), np.arange(layers) * choices + chosen)), (1, costs.size)
        )
        limits.append(LinearConstraint(taken, -np.inf, layers - 1))


def _sum(table: NDArray[Any], chosen: NDArray[np.int64]) -> float:
    return float(table[np.arange(len(table)), chosen].sum())


def _table(values: ArrayLike, name: str) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape or not np.isfinite(table).all():
        raise UsageError(f"bit allocation: {name} must be a table of layers x choices of finite numbers")
    return table
