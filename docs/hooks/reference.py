"""Write the reference pages from the code: commands from argparse, fields of a suite file from the pydantic models.

A page holds a comment such as `<!-- generated: commands -->`; what is generated takes its place.
"""

import argparse
import ast
import inspect
import textwrap
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
    """The models that a suite file is made of, each with its fields."""
    return _tables(Suite)


def methods() -> str:
    """The options of each built-in method."""
    texts = []
    for name, method in BUILTIN.items():
        model = method.options
        texts.append(f"### `{name}`\n\n{_docstring(model)}\n\n{_fields(model, model.model_json_schema())}")
    return "\n\n".join(texts)


def _tables(root: type[BaseModel]) -> str:
    schema = root.model_json_schema()
    models = {model.__name__: model for model in _models(root)}
    parts = {root.__name__: schema} | schema["$defs"]
    return "\n\n".join(
        f"### {name}\n\n{_docstring(model)}\n\n{_fields(model, parts[name])}" for name, model in models.items()
    )


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


def _fields(model: type[BaseModel], schema: dict[str, Any]) -> str:
    said = {name: field.description for name, field in model.model_fields.items() if field.description}
    said = said or _field_docstrings(model)
    lines = ["| field | value | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in schema.get("required", ()) else _default(field.get("default"))
        cells = (f"`{name}`", _type(field), default, said.get(name, "").replace("\n", " "))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _default(value: Any) -> str:
    return "" if value in (None, [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _field_docstrings(model: type[BaseModel]) -> dict[str, str]:
    """The string below each field, in the source of the class or of those it derives from."""
    found: dict[str, str] = {}
    for cls in reversed([cls for cls in model.__mro__ if issubclass(cls, BaseModel) and cls is not BaseModel]):
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _text(after):
                found[field.target.id] = inspect.cleandoc(_text(after)).replace("\n", " ")
    return found


def _text(node: ast.stmt) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return ""


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
