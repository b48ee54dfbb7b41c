"""Bit widths of a row, written 'W/A': weights before activations, as in '4/4', '2/4', 'ter/ter', '4/-'."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

Width = int | Literal["ternary"] | None
"""Bits of one side; None where there is no number of bits (not stated, or not of that kind)."""

FP = 32
"""Bits of a side that has no quantizers."""
WIDTHS = (*range(2, 9), 16, FP)
_WORDS: dict[str, Width] = {"ter": "ternary", "-": None}
_FORM = "a quoted string 'W/A' such as '4/4', each side 2 to 8, 16, 32, ter or -"


@dataclass(frozen=True)
class Bits:
    """Bit widths of weights and activations; `str()` gives the canonical 'W/A'."""

    weight: Width
    activation: Width

    @classmethod
    def parse(cls, text: object) -> "Bits":
        """Read 'W/A'; ValueError says which side is wrong."""
        if isinstance(text, cls):
            return text
        if not isinstance(text, str):
            raise ValueError(f"bits {text!r}: expected {_FORM}")
        sides = text.split("/")
        if len(sides) != 2:
            raise ValueError(f"bits {text!r}: expected {_FORM}")
        return cls(_width(sides[0], "weight", text), _width(sides[1], "activation", text))

    @property
    def is_fp(self) -> bool:
        """Full precision: 32 bits on both sides."""
        return self.weight == self.activation == FP

    @property
    def are_integers(self) -> bool:
        """Whether both sides are numbers of bits that quantizers here have, or 32: no quantizer on that side."""
        return isinstance(self.weight, int) and isinstance(self.activation, int)

    def __str__(self) -> str:
        return f"{_word(self.weight)}/{_word(self.activation)}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Validate from the string and serialise to it."""
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=core_schema.to_string_ser_schema())

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A string in JSON schema."""
        return {"type": "string", "examples": ["4/4", "32/32"]}


def _width(text: str, side: str, whole: str) -> Width:
    if text in _WORDS:
        return _WORDS[text]
    allowed: dict[str, Width] = {str(width): width for width in WIDTHS}
    if text not in allowed:
        raise ValueError(f"bits {whole!r}: {side} bits {text!r} are not supported, expected {_FORM}")
    return allowed[text]


def _word(width: Width) -> str:
    if width is None:
        return "-"
    return "ter" if width == "ternary" else str(width)
