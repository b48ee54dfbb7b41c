"""Fisher-aware mixed precision (Yang et al., 2407.03442): more bits where the critical objective is sensitive.

The sensitivity of a layer is the diagonal of its empirical Fisher information under alpha * L_A + L_F (eq. 8); bits
come from an integer program (eq. 11). A reconstruction: alpha, bit widths and budgets were not to be found.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from bench.calibration.batches import Batches
from bench.calibration.fisher import fisher
from bench.detectors.critical import Group, Objective
from bench.errors import UsageError
from bench.methods.bit_budget import BitBudget, single_losses
from bench.quantization.budget import allocate_bits
from bench.schema.methods import options_of
from bench.schema.options.fisher import CriticalOptions, FisherOptions

__all__ = ["Fisher", "allocate_bits", "critical_group"]


class Fisher(BitBudget):
    """Fisher-Overall, and with categories Fisher-Critical; quantizers are another method's."""

    version = 1

    def __init__(self, options: FisherOptions | dict[str, Any]) -> None:
        self.options: FisherOptions = options_of(FisherOptions, options)

    def importance(self, model: nn.Module, weights: Sequence[Tensor], batches: Batches) -> list[Tensor]:
        """The Fisher information of each entry, or with `form: norm` its sum over the layer."""
        o = self.options
        self.group = critical_group(model, o)
        losses = single_losses(Objective(model, self.group, 1.0 if o.alpha is None else o.alpha), batches)
        found = fisher(losses, weights)
        return [each.sum() for each in found] if o.form == "norm" else found

    def facts(self, model: nn.Module) -> Mapping[str, Any]:
        """The categories too."""
        return {"categories": names_of(model, self.group), **self.allocated}


def critical_group(model: nn.Module, options: CriticalOptions) -> Group | None:
    """The group of the options among the model's classes, or the one drawn in its place; None without a group.

    UsageError where the names are no group of the classes.
    """
    if options.categories is None:
        return None
    classes: Sequence[str] = model.dataset_meta["classes"]  # type: ignore[index,assignment]
    group = Group.of(options.categories, classes)
    if options.shuffled is None:
        return group
    m, rest = len(group.critical), group.others
    if m > len(rest):
        raise UsageError(f"critical categories: {m} cannot be drawn from the {len(rest)} others")
    return group._replace(critical=tuple(sorted(random.Random(options.shuffled).sample(rest, m))))


def names_of(model: nn.Module, group: Group | None) -> list[str] | None:
    """The critical categories by name."""
    classes: Sequence[str] = model.dataset_meta["classes"]  # type: ignore[index,assignment]
    return None if group is None else [classes[k] for k in group.critical]
