"""One text for equal values: what every hash of facts is taken over."""

import json
from typing import Any


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces; ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
