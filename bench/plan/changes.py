"""In which keys two JSON objects differ, such as the protocols of two identities."""

from typing import Any, NamedTuple

from bench.records.canonical import canonical

SHOWN = 48
"""Characters of a value."""
_MISSING = object()


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Such as `recipe.optimizer.lr 0.01 -> 0.02`, for every key that differs; derived seeds only if alone."""
    found = [f"{at.path} {at.old} -> {at.new}" for at in differences(before, after)]
    # The seeds follow from the data pin and the detector, so they are no reason of their own.
    return [text for text in found if not text.startswith("seeds.")] or found


class Difference(NamedTuple):
    """A place in which two JSON values differ, such as `recipe.optimizer.lr`, and both values as short texts."""

    path: str
    old: str
    new: str


def differences(before: Any, after: Any, path: str = "") -> list[Difference]:
    """All leaves in which two JSON values differ, in the order of `before`; `path` stands before each place."""
    return [Difference(at, _word(at, old), _word(at, new)) for at, old, new in _differ(path, before, after)]


def _differ(path: str, before: Any, after: Any) -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        pairs = [(f".{key}", before.get(key, _MISSING), after.get(key, _MISSING)) for key in keys]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = [(f"[{i}]", old, new) for i, (old, new) in enumerate(zip(before, after, strict=True))]
    else:
        return [] if _same(before, after) else [(path, before, after)]
    return [change for step, old, new in pairs for change in _differ((path + step).lstrip("."), old, new)]


def _same(before: Any, after: Any) -> bool:
    """As the identity sees it: 1 and 1.0 are two values, since their texts differ."""
    if before is _MISSING or after is _MISSING:
        return False
    return canonical(before) == canonical(after)


def _word(path: str, value: Any) -> str:
    if value is _MISSING:
        return "(absent)"
    if path in ("start", "data.pin") and isinstance(value, str):
        return value.removeprefix("sha256:")[:12]
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
