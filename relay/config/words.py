"""What is wrong with a table, in words for people: Pydantic's errors translated."""

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from relay.core.values import parse_duration, parse_size

_SIZE_UNITS = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
_DURATION_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_EXPECTED = {
    "string_type": "text in quotes",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "tuple_type": "a list",
    "list_type": "a list",
    "model_type": "a table",
    "dict_type": "a table",
}
KNOWN_MAX = 30  # names in one error; facilities and keys are fewer
_TEXT_MAX = 400  # characters; values in an error may be as long as the file


def size_text(octets: int) -> str:
    """`64KiB`: the largest unit that needs no fraction."""
    for factor, unit in _SIZE_UNITS:
        if octets and octets % factor == 0:
            return f"{octets // factor}{unit}"
    return f"{octets}B"


def duration_text(seconds: float) -> str:
    """`5s`: the largest unit that needs no fraction."""
    for factor, unit in _DURATION_UNITS:
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:.0f}{unit}"
    return f"{seconds:g}s"


def value_text(value: object) -> str:
    """A TOML value as an error names it, short whatever it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = value if len(value) <= 80 else value[:80] + "…"
        return json.dumps(shown, ensure_ascii=not shown.isprintable())
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a table"
    return str(value)  # a number, a date, a time


def choice_text(value: str, known: Iterable[str]) -> str:
    """`(did you mean "listen"?)`, or what is known where nothing is near."""
    names = list(known)
    near = difflib.get_close_matches(value[:100], names, 1)
    if near:
        return f"(did you mean {value_text(near[0])}?)"
    more = f" and {len(names) - KNOWN_MAX} more" if len(names) > KNOWN_MAX else ""
    return f"(known: {', '.join(names[:KNOWN_MAX])}{more})" if names else "(there is none)"


def error_text(error: ErrorDetails, model: type[BaseModel], raw: object) -> str:
    """What is wrong, for an error of this table; `raw` is the value as it stands in the file."""
    text = _error_text(error, model, raw)
    return text if len(text) <= _TEXT_MAX else text[:_TEXT_MAX] + "…"


def known_keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _error_text(error: ErrorDetails, model: type[BaseModel], raw: object) -> str:
    kind, context = error["type"], error.get("ctx", {})
    table, field = _place(model, error["loc"])
    match kind:
        case "value_error":
            text = str(context["error"])
        case "missing":
            text = "is required"
        case "extra_forbidden":
            text = f"unknown key {choice_text(str(error['loc'][-1]), known_keys(table))}"
        case "literal_error":
            text = _literal_text(field, raw)
        case _ if kind in _EXPECTED:
            text = f"expected {_EXPECTED[kind]}, not {value_text(raw)}"
        case _:
            text = _bound_text(kind, context, field, raw)
    return text or error["msg"][:1].lower() + error["msg"][1:]


def _literal_text(field: object, raw: object) -> str:
    choices = [get_args(part) for part in _parts(field) if get_origin(part) is Literal]
    known = [value for values in choices for value in values]
    if isinstance(raw, str):
        return f"unknown value {value_text(raw)} {choice_text(raw, known)}"
    return f"expected one of {', '.join(known)}, not {value_text(raw)}"


def _bound_text(kind: str, context: Mapping[str, Any], field: object, raw: object) -> str:
    bound = _bound_in(field)
    match kind:
        case "greater_than_equal":
            text = f"must be at least {bound(context['ge'])}, not {value_text(raw)}"
        case "less_than_equal":
            text = f"must be at most {bound(context['le'])}, not {value_text(raw)}"
        case "too_short" | "string_too_short":
            text = "must not be empty"
        case "string_too_long":
            length = len(raw) if isinstance(raw, str) else 0
            text = f"has {length} characters, expected no more than {context['max_length']}"
        case "string_pattern_mismatch":  # of `Path`, the only text with a pattern
            text = "must not contain NUL"
        case "recursion_loop" | "recursion_depth_exceeded":
            text = "is nested too deeply"
        case _:
            text = ""  # Pydantic's words will do
    return text


def _bound_in(field: object) -> Callable[[Any], str]:
    """How a bound of this field is written: as a size, a duration or a number."""
    for part in _parts(field):
        if isinstance(part, BeforeValidator) and part.func is parse_size:
            return size_text
        if isinstance(part, BeforeValidator) and part.func is parse_duration:
            return duration_text
    return str


def _place(
    model: type[BaseModel], path: Iterable[int | str]
) -> tuple[type[BaseModel], FieldInfo | None]:
    """The innermost table that a path leads into, and the field it ends in or below."""
    table, field = model, None
    inner: type[BaseModel] | None = None
    for part in path:
        if isinstance(part, int):
            continue
        table = inner or table
        field = known_keys(table).get(part)
        inner = next((part for part in _parts(field) if _is_table(part)), None)
    return table, field


def _is_table(part: object) -> bool:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _parts(annotation: object) -> Iterator[Any]:
    """An annotation and all that it is made of, metadata included."""
    yield annotation
    if isinstance(annotation, FieldInfo):
        yield from _parts(annotation.annotation)
        yield from annotation.metadata
    for part in get_args(annotation):
        yield from _parts(part)
