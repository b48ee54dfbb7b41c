"""Pydantic's errors in plain words, each with the file and the line that it is about."""

import difflib
import json
from collections.abc import Iterator
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench.errors import UsageError
from bench.schema.forms import WORDS
from bench.schema.source import Loc, Source, found, quote, shown

T = TypeVar("T", bound=BaseModel)
SHOWN = 5

_KINDS = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "nothing (null)",
}
"""Errors that say which kind of value is wanted; the others are worded in `_other`."""

_BOUNDS = {
    "greater_than": ("gt", "greater than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}


class _Place(NamedTuple):
    """Where an error is: its position in the file, the value there, and the types that are wanted there."""

    loc: Loc
    value: Any
    types: tuple[Any, ...]


class _Problem(NamedTuple):
    line: int
    loc: Loc
    """In the file."""
    wanted: str | None
    """The kind of value that is wanted, where that is the whole problem."""
    text: str
    value: str = ""
    """Words for the value there."""


def validate(model: type[T], source: Source) -> T:
    """The file as a model; a `UsageError` with a line for each of its first problems."""
    try:
        # As JSON, because strict models take a list for a tuple only from there.
        return model.model_validate_json(json.dumps(source.data))
    except ValidationError as error:
        messages = describe(error, source, model=model)
        more = [f"… and {len(messages) - SHOWN} more"] if len(messages) > SHOWN else []
        raise UsageError("\n".join(messages[:SHOWN] + more)) from None


def describe(error: ValidationError, source: Source, at: Loc = (), model: type[BaseModel] | None = None) -> list[str]:
    """Each problem as `path:line: where: message`, in the order of the file.

    `at` is where in the file the validated value stands; with its `model` an unknown key is answered with
    the key that was probably meant.
    """
    problems = sorted(
        {
            _problem(details, source, at, model): None
            for details in error.errors(include_url=False)
            if not _counts_wrong_entries(details)
        },
        key=lambda problem: problem.line,
    )
    return [f"{shown(source.path)}:{p.line}: {where(p.loc)}{p.text}" for p in _joined(problems, source)]


def _counts_wrong_entries(details: Any) -> bool:
    """Pydantic counts only the right entries of a list; that all are wrong is no want of entries."""
    return details["type"] == "too_short" and bool(len(details["input"]) >= details["ctx"]["min_length"])


def _joined(problems: list[_Problem], source: Source) -> Iterator[_Problem]:
    """The alternatives of a union fail one by one; they are one problem."""
    kinds: dict[Loc, list[str]] = {}
    for problem in problems:
        if problem.wanted is not None and problem.wanted not in kinds.setdefault(problem.loc, []):
            kinds[problem.loc].append(problem.wanted)
    for problem in problems:
        if problem.wanted is None:
            yield problem
        elif wanted := kinds.pop(problem.loc, None):
            yield problem._replace(text=f"expected {' or '.join(wanted)}, found {problem.value}")


def _problem(details: Any, source: Source, at: Loc, model: type[BaseModel] | None) -> _Problem:
    kind, raw, context = details["type"], details["loc"], details.get("ctx", {})
    if kind == "missing":
        place = _place(source, at, raw[:-1], model)
        what = f"key {quote(raw[-1])}" if isinstance(raw[-1], str) else f"entry [{raw[-1]}]"
        return _Problem(source.key_line(place.loc), source.origin(place.loc), None, f"missing {what}")
    if raw and raw[-1] == "[key]":
        place = _place(source, at, raw[:-2], model)
        if "expected" in context:
            text = f"unknown key {quote(str(raw[-2]))} (expected {context['expected']})"
        else:
            text = f"key {_other(details, raw[-2]).removeprefix('the string ')}"
        return _of_key(source, (*place.loc, raw[-2]), text)
    if kind == "extra_forbidden":
        place = _place(source, at, raw[:-1], model)
        text = f"unknown key {quote(str(raw[-1]))}{_hint(str(raw[-1]), place)}"
        return _of_key(source, (*place.loc, raw[-1]), text)
    place = _place(source, at, raw, model)
    if kind.startswith("union_tag_"):
        return _tag_problem(kind, context, source, place)
    whole = isinstance(place.value, dict | list)
    line = source.key_line(place.loc) if whole else source.line(place.loc)
    wanted = _KINDS.get(kind)
    if kind in ("literal_error", "enum"):
        wanted = str(context["expected"])
    text = "" if wanted else _other(details, place.value)
    return _Problem(line, source.origin(place.loc), wanted, text, found(place.value))


def _of_key(source: Source, loc: Loc, text: str) -> _Problem:
    """What is wrong with a key, said of the mapping that holds it."""
    return _Problem(source.key_line(loc), source.origin(loc)[:-1], None, text)


def _other(details: Any, value: Any) -> str:
    kind, context = details["type"], details.get("ctx", {})
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return f"must be {words} {context[name]}, found {found(value)}"
    match kind:
        case "string_too_short" | "too_short" if context["min_length"] == 1:
            return "must not be empty"
        case "string_too_short":
            return f"must have at least {context['min_length']} characters, found {found(value)}"
        case "string_too_long":
            return f"must have at most {context['max_length']} characters, found {len(value)}"
        case "too_short":
            return f"must have at least {context['min_length']} entries, found {len(value)}"
        case "too_long":
            return f"must have at most {context['max_length']} entries, found {len(value)}"
        case "string_pattern_mismatch":
            pattern = context["pattern"]
            wrong = f"is no {WORDS[pattern]}" if pattern in WORDS else f"does not match the pattern {pattern}"
            return f"{found(value)} {wrong}"
        case "value_error" | "assertion_error":
            return " ".join(str(context["error"]).split())
    message = " ".join(details["msg"].split())
    return message[:1].lower() + message[1:]


def _tag_problem(kind: str, context: Any, source: Source, place: _Place) -> _Problem:
    """The key that tells a union's members apart (`kind`) is absent or unknown."""
    name = context["discriminator"].strip("'")
    values = [str(v) for m in _models(place.types) for v in _literals(m, name)]
    choices = ", ".join(repr(v) for v in values) or context.get("expected_tags", "")
    if kind == "union_tag_not_found":
        text = f"missing key {quote(name)}" + (f" (one of {choices})" if choices else "")
        return _Problem(source.key_line(place.loc), source.origin(place.loc), None, text)
    loc = (*place.loc, name)
    tag = found(place.value.get(name) if isinstance(place.value, dict) else None)
    return _Problem(source.line(loc), source.origin(loc), None, f"expected one of {choices}, found {tag}")


def _hint(key: str, place: _Place) -> str:
    """What an unknown key was probably meant to be, or which keys there are."""
    models = list(_models(place.types))
    if isinstance(place.value, dict):
        # In a union by `kind` only the fields of the member that the file names are of use.
        models = [m for m in models if _fits(m, place.value)] or models
    names = sorted({field.alias or name for m in models for name, field in m.model_fields.items()})
    if near := difflib.get_close_matches(key, names, n=1):
        return f"; did you mean {quote(near[0])}?"
    return f" (known: {', '.join(names)})" if names else ""


def _fits(model: type[BaseModel], value: dict[str, Any]) -> bool:
    choices = {name: _literals(model, name) for name in model.model_fields.keys() & value.keys()}
    return all(value[name] in allowed for name, allowed in choices.items() if allowed)


def _place(source: Source, at: Loc, raw: Loc, model: type[BaseModel] | None) -> _Place:
    """Follow pydantic's location through the file, leaving out what it adds: a union's tag or type."""
    loc, value = at, _at(source.data, at)
    types: tuple[Any, ...] = (model,) if model else ()
    tagged = False
    for step in raw:
        if (not tagged and len(types) > 1) or not _has(value, step):
            types, tagged = _member(types, step), True
            continue
        types = tuple(t for parent in types for t in _below(parent, step))
        loc, value, tagged = (*loc, step), value[step], False
    return _Place(loc, value, types)


def _member(types: tuple[Any, ...], tag: str | int) -> tuple[Any, ...]:
    """The models of a union that a tag names; all where it names none."""
    named = tuple(m for m in _models(types) if m.__name__ == tag or any(tag in _literals(m, f) for f in m.model_fields))
    return named or types


def _below(parent: Any, step: str | int) -> Iterator[Any]:
    """The alternatives of the type that `parent` wants at a key or an index."""
    origin, arguments = get_origin(parent), get_args(parent)
    if isinstance(parent, type) and issubclass(parent, BaseModel):
        fields = {field.alias or name: field for name, field in parent.model_fields.items()}
        if step in fields:
            yield from _alternatives(fields[str(step)].annotation)
    elif origin is dict:
        yield from _alternatives(arguments[1])
    elif origin is tuple and Ellipsis not in arguments:
        if isinstance(step, int) and step < len(arguments):
            yield from _alternatives(arguments[step])
    elif arguments:
        yield from _alternatives(arguments[0])


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union, without None: pydantic gives `X | None` no tag of its own."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            yield from _alternatives(member)
    elif annotation is not type(None):
        yield annotation


def _models(types: tuple[Any, ...]) -> Iterator[type[BaseModel]]:
    return (t for t in types if isinstance(t, type) and issubclass(t, BaseModel))


def _literals(model: type[BaseModel], name: str) -> tuple[Any, ...]:
    field = model.model_fields.get(name)
    if field is None or get_origin(field.annotation) is not Literal:
        return ()
    return get_args(field.annotation)


def _has(value: Any, step: str | int) -> bool:
    if isinstance(value, dict):
        return step in value
    return isinstance(value, list) and isinstance(step, int) and step < len(value)


def _at(data: Any, loc: Loc) -> Any:
    for step in loc:
        data = data[step] if _has(data, step) else None
    return data


def where(loc: Loc) -> str:
    """`rows[2].bits: `; nothing for the whole file."""
    text = ""
    for step in loc:
        name = f"[{step}]" if isinstance(step, int) else f".{step if step.isidentifier() else quote(step)}"
        text += name
    return f"{text.lstrip('.')}: " if text else ""
