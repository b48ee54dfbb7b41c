"""The form in which an author writes a suite: the whole form of `bench.schema.suite`, and what shortens it.

`kinds` and `defaults` hold fields that rows share, `methods` holds options under names, a policy may have pins, and a
recipe can take over another by `from`. `bench.schema.expand` writes the whole form out. All fields come from the models
of the whole form. Here a field may be missing where a kind, a default or another recipe can give it; the models of the
whole form check that nothing is missing in the end.
"""

from collections.abc import Collection
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, GetJsonSchemaHandler, Tag, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from bench.schema.base import Slug, Spec, Text, field_docs
from bench.schema.claim import Claim
from bench.schema.methods import BUILTIN
from bench.schema.placement import Pins, Policy
from bench.schema.recipe import Recipe
from bench.schema.suite import MethodName, MethodUse, Row, Suite, Tier, TierSpec


def by_tier(pins: Any) -> bool:
    """Whether pins as an author wrote them name tiers; the others are counts that hold at every tier."""
    return isinstance(pins, dict) and not pins.keys() & Pins.model_fields.keys()


def _pins_form(pins: Any) -> str:
    return "dict" if by_tier(pins) else "Pins"


def _method_form(use: Any) -> str:
    return "MethodUse" if isinstance(use, dict) else "str"


# A union with tags, so that a wrong value is told what its own form wants, and not what every other form would.
WrittenPins = Annotated[
    Annotated[Pins, Tag("Pins")] | Annotated[dict[Tier, Pins], Tag("dict")], Discriminator(_pins_form)
]
"""Counts of a placement: for every tier, or by tier."""
WrittenMethod = Annotated[
    Annotated[Slug, Tag("str")] | Annotated[MethodUse, Tag("MethodUse")], Discriminator(_method_form)
]
"""The name of a set of options in `methods`, or a method and its options in full."""


class _Form(Spec):
    """Base of the models that are made here; their fields bring their descriptions along."""

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """They have no source in which a docstring could stand."""
        return handler(schema)


def _derived(
    model: type[Spec], doc: str, base: type[Spec] = _Form, needed: Collection[str] = (), **own: Any
) -> dict[str, Any]:
    """What `create_model` wants to make `model` with every field optional that is not `needed`, and fields of its own.

    A field of its own that is None is left out.
    """
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        default = ... if name in needed else None
        described = Field(default=default, json_schema_extra=partial(_describe, model, name))
        fields[name] = (field.rebuild_annotation(), described)
    return {"__base__": base, "__doc__": doc, **{k: v for k, v in (fields | own).items() if v is not None}}


def _describe(model: type[Spec], name: str, schema: dict[str, Any]) -> None:
    """Give a field's schema the description of the model's field."""
    if (text := field_docs(model).get(name)) is not None:
        schema["description"] = text


_PINS = Field(default=None, description="Counts of the placement, for every tier or by tier; instead of the policy's.")
_SHARED: dict[str, Any] = {
    "methods": (
        tuple[WrittenMethod, ...],
        Field(default=None, description="Applied in this order: names of `methods`, or methods with their options."),
    ),
    "pins": (WrittenPins, _PINS),
    "published": (
        Literal[True] | Text | None,
        Field(default=None, description="Id of the published row in the suite's table; true: the row's own id."),
    ),
}
Fields = create_model(
    "Fields",
    **_derived(Row, "Fields that rows share; what a row writes itself has precedence.", id=None, label=None, **_SHARED),
)
WrittenRow = create_model(
    "WrittenRow",
    **_derived(
        Row,
        "One line of the table.",
        needed=("id", "label"),
        kind=(Slug | None, Field(default=None, description="Name of the kind in `kinds` whose fields it takes over.")),
        **_SHARED,
    ),
)
ClaimFields = create_model("ClaimFields", **_derived(Claim, "Fields that claims share.", id=None))
WrittenClaim = create_model("WrittenClaim", **_derived(Claim, "What the paper asserts.", needed=("id", "text", "rows")))


class Defaults(Spec):
    """Fields of all rows and of all claims; a kind, a row or a claim that has one itself has precedence."""

    row: Fields = Field(default_factory=Fields)  # type: ignore[valid-type]
    claim: ClaimFields = Field(default_factory=ClaimFields)  # type: ignore[valid-type]


class NamedSet(Spec):
    """A set of options under a name of the author's: `name` is the method, everything else its options."""

    model_config = ConfigDict(extra="allow")
    name: MethodName
    """A built-in's name or `package.module:Class`."""


class _Sets(_Form):
    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, NamedSet]


def _set_of(builtin: str) -> tuple[type[Spec], None]:
    options = BUILTIN[builtin].options
    needed = [name for name, field in options.model_fields.items() if field.is_required()]
    name = (Literal[builtin], None)
    derived = _derived(options, options.__doc__ or "", needed=needed, name=name)
    made: type[Spec] = create_model(options.__name__, **derived)
    return made, None


_BUILTIN_SETS: dict[str, Any] = {builtin: _set_of(builtin) for builtin in BUILTIN}
Sets = create_model(
    "Sets",
    __base__=_Sets,
    __doc__="Options under names. Under the name of a built-in method stand its options; others say whose by `name`.",
    **_BUILTIN_SETS,
)


class WrittenPolicy(Policy):
    """Which layers are quantized, and how many quantizers that makes."""

    pins: WrittenPins | None = None
    """Counts of the placement, for every tier or by tier; a row may have others."""


class _RecipeBase(_Form):
    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {"required": ["from"]},
                {"required": [name for name, field in Recipe.model_fields.items() if field.is_required()]},
            ]
        }
    )


_FROM: dict[str, Any] = {
    "from": (
        str,
        Field(default=None, description="Another recipe of the tier; it gives the fields that this one lacks."),
    )
}
WrittenRecipe = create_model("WrittenRecipe", **_derived(Recipe, "One training schedule.", base=_RecipeBase, **_FROM))


class WrittenTier(TierSpec):
    """The scale at which a suite runs; it changes data, scale and schedule, never a method."""

    recipes: dict[str, WrittenRecipe | None] = {}  # type: ignore[valid-type]
    """Null: rows of that recipe are not trained at this tier, because they are a published checkpoint."""


class WrittenSuite(Suite):
    """One table of one paper."""

    policies: dict[str, WrittenPolicy] = {}  # type: ignore[assignment]
    methods: Sets = Field(default_factory=Sets)  # type: ignore[valid-type]
    """Sets of options that rows name."""
    kinds: dict[Slug, Fields] = {}  # type: ignore[valid-type]
    """Fields that rows of a kind share, by the kind's name; a kind cannot have a kind itself."""
    defaults: Defaults = Field(default_factory=Defaults)
    rows: tuple[WrittenRow, ...] = Field(min_length=1)  # type: ignore[valid-type]
    tiers: dict[Tier, WrittenTier] = Field(min_length=1)  # type: ignore[assignment]
    claims: tuple[WrittenClaim, ...] = ()  # type: ignore[valid-type]


class _Schema(GenerateJsonSchema):
    def field_title_should_be_set(self, schema: Any) -> bool:
        """No field has a title beside its name."""
        return False

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        """Without "default: null", which would promise that null may stand there."""
        found = super().default_schema(schema)
        if found.get("default", ...) is None:
            del found["default"]
        return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a suite file, for editors."""
    return {"$schema": GenerateJsonSchema.schema_dialect, **WrittenSuite.model_json_schema(schema_generator=_Schema)}
