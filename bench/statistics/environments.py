"""Whether several machines or devices measured different gains: the one-way analysis of variance."""

from collections.abc import Sequence
from statistics import fmean


def p_of_no_difference(groups: Sequence[Sequence[float]]) -> float | None:
    """p that all groups have one mean, by F; None where fewer than two groups or no spread within them can tell."""
    groups = [group for group in groups if group]
    values = [value for group in groups for value in group]
    between, within = len(groups) - 1, len(values) - len(groups)
    if between < 1 or within < 1:
        return None
    mean = fmean(values)
    explained = sum(len(group) * (fmean(group) - mean) ** 2 for group in groups)
    left = sum((value - fmean(group)) ** 2 for group in groups for value in group)
    if left == 0:
        return None
    from scipy.special import fdtrc

    return float(fdtrc(between, within, explained / between / (left / within)))
