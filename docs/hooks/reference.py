"""Write the reference pages from the code: commands from argparse, fields of a suite file from the pydantic models.

A page holds a comment such as `<!-- generated: commands -->`; what is generated takes its place.
"""

import argparse
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from mkdocs.structure.pages import Page
from pydantic import BaseModel

from bench.cli.main import _parser
from bench.schema.methods import BUILTIN
from bench.schema.suite import Suite


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The page's text, with what its comments ask for."""
    for name, write in GENERATED.items():
        comment = f"<!-- generated: {name} -->"
        if comment in markdown:
            markdown = markdown.replace(comment, write())
    return markdown


def commands() -> str:
    """Each command's own help, under a heading."""
    return "\n\n".join(
        f"## {parser.prog}\n\n```text\n{parser.format_help().strip()}\n```" for parser in _parsers(_parser())
    )


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _parsers(child)


def suite() -> str:
    """The models of a suite written out, each with its fields: only this form has all defaults."""
    return _tables(Suite)


def methods() -> str:
    """The options of each built-in method."""
    texts = []
    for name, method in BUILTIN.items():
        model = method.options
        texts.append(f"### `{name}`\n\n{_docstring(model)}\n\n{_fields(model.model_json_schema())}")
    return "\n\n".join(texts)


def _tables(root: type[BaseModel]) -> str:
    schema = root.model_json_schema()
    models = {model.__name__: model for model in _models(root)}
    parts = {root.__name__: schema} | schema["$defs"]
    return "\n\n".join(f"### {name}\n\n{_docstring(model)}\n\n{_fields(parts[name])}" for name, model in models.items())


def _models(model: type[BaseModel]) -> list[type[BaseModel]]:
    """The model and those that its fields mention, a model before what it holds."""
    found: list[type[BaseModel]] = []
    waiting = [model]
    while waiting:
        next_model = waiting.pop(0)
        if next_model not in found:
            found.append(next_model)
            waiting += [part for field in next_model.model_fields.values() for part in _mentioned(field.annotation)]
    return found


def _mentioned(annotation: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _mentioned(part)


def _docstring(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").replace("\n", " ")


def _fields(schema: dict[str, Any]) -> str:
    lines = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(field.get("default"))
        cells = (f"`{name}`", _type(field), default, field.get("description", "").replace("\n", " "))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _default(value: Any) -> str:
    return "" if value in (None, [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in words: `one of a, b`, `list of Row`, `whole number of at least 1`."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(_type(choice) for choice in choices if choice.get("type") != "null")
    return _structure(schema) + _limits(schema)


def _structure(schema: dict[str, Any]) -> str:
    match schema.get("type"):
        case "array" if "prefixItems" in schema:
            return "[" + ", ".join(_type(item) for item in schema["prefixItems"]) + "]"
        case "array":
            return f"list of {_type(schema['items'])}"
        case "object":
            values = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
            return f"names, each with {_type(values)}" if isinstance(values, dict) and values else "mapping"
        case kind:
            return {"string": "text", "integer": "whole number", "number": "number", "boolean": "true or false"}.get(
                kind, "anything"
            )


def _limits(schema: dict[str, Any]) -> str:
    words = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{word} {schema[key]:g}" for key, word in words.items() if key in schema]
    return f" ({', '.join(found)})" if found else ""


GENERATED: dict[str, Callable[[], str]] = {"commands": commands, "suite": suite, "methods": methods}
