"""What every part of a specification has in common: frozen, strict, no unknown keys, no NaN."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Base of all specification models: configuration is resolved once and never changes afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


T = TypeVar("T", bound=BaseModel)


def parse(model: type[T], value: Any) -> T:
    """A JSON value as a model; pydantic's ValidationError where it does not fit.

    Through text, because a strict model takes a list for a tuple only from there.
    """
    return model.model_validate_json(json.dumps(value))
