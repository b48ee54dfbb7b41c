"""What all models of files have in common: they are frozen and strict, and refuse unknown keys and NaN."""

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field

SLUG = r"^[a-z0-9][a-z0-9._+-]*$"
Slug = Annotated[str, Field(pattern=SLUG, max_length=60)]
"""A name in lower case, which may stand in a file's name."""
Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=1)]
Index = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Spec(BaseModel):
    """Base of all specification models: configuration is resolved once and never changes afterwards."""

    # The docstring below a field is its description in the JSON Schema and in the reference.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


T = TypeVar("T", bound=BaseModel)


def parse(model: type[T], value: Any) -> T:
    """A JSON value as a model; pydantic's ValidationError where it does not fit.

    Through text, because a strict model takes a list for a tuple only from there.
    """
    return model.model_validate_json(json.dumps(value))
