"""What all models of files have in common: they are frozen and strict, and refuse unknown keys and NaN."""

import ast
import inspect
import json
from itertools import pairwise
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from bench.schema.forms import SLUG

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

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """With the docstring below each field as its description."""
        found = handler(schema)
        fields = handler.resolve_ref_schema(found).get("properties", {})
        for name, text in field_docs(cls).items():
            fields[name].setdefault("description", text)
        return found


def field_docs(model: type[Spec]) -> dict[str, str]:
    """By field the docstring below it, also of fields that a model inherits.

    Only `qdet-bench schema` and the reference ask for it. pydantic's `use_attribute_docstrings` would read the sources
    of all models whenever they are imported, which took a sixth of a command that only reads.
    """
    found: dict[str, str] = {}
    for base in reversed(model.__mro__[: model.__mro__.index(Spec)]):
        own: Any = ast.parse(inspect.getsource(base)).body[0]
        for field, below in pairwise([*own.body, None]):
            match field, below:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                    found[name] = inspect.cleandoc(text)
                case ast.AnnAssign(target=ast.Name(id=name)), _:
                    found.pop(name, None)
    return found


T = TypeVar("T", bound=BaseModel)


def parse(model: type[T], value: Any) -> T:
    """A JSON value as a model; pydantic's ValidationError where it does not fit.

    Through text, because a strict model takes a list for a tuple only from there.
    """
    return model.model_validate_json(json.dumps(value))
