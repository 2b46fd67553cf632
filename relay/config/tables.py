"""The tables of a document, each validated on its own: one bad table does not hide another."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import ValidationError

from relay.config.admin import AdminKeys
from relay.config.lines import KeyPath
from relay.config.model import PipeKeys, RelayKeys
from relay.config.words import choice_text, error_text, value_text
from relay.core.component import DestinationKeys, ListenerKeys
from relay.core.keys import Keys
from relay.destinations import DESTINATIONS
from relay.listeners import LISTENERS

Model = TypeVar("Model", bound=Keys)
Section = Literal["listeners", "destinations", "pipes"]

SECTIONS: tuple[Section, ...] = ("listeners", "destinations", "pipes")
TABLES = ("relay", "admin", *SECTIONS)
NAME_MAX = 64
NAME_PATTERN = rf"[A-Za-z0-9_.-]{{1,{NAME_MAX}}}"


class Problem(NamedTuple):
    """One mistake and the key it is about."""

    path: KeyPath
    text: str


@dataclass(slots=True, eq=False, repr=False)
class Tables:
    """What of a document is valid in itself, and the problems of the rest."""

    relay: RelayKeys | None = None
    admin: AdminKeys | None = None
    listeners: dict[str, ListenerKeys] = field(default_factory=dict)
    destinations: dict[str, DestinationKeys] = field(default_factory=dict)
    pipes: dict[str, PipeKeys] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def read_tables(document: Mapping[str, Any]) -> Tables:
    """Validate every table."""
    tables = Tables()
    tables.problems += [
        Problem((key,), f"unknown table {choice_text(key, TABLES)}")
        for key in document
        if key not in TABLES
    ]
    tables.relay = _validate(RelayKeys, ("relay",), document.get("relay", {}), tables.problems)
    tables.admin = _validate(AdminKeys, ("admin",), document.get("admin", {}), tables.problems)
    for name, table in _named(document, "listeners", tables.problems):
        listener = _typed(LISTENERS, ("listeners", name), table, tables.problems)
        if listener is not None:
            tables.listeners[name] = listener
    for name, table in _named(document, "destinations", tables.problems):
        destination = _typed(DESTINATIONS, ("destinations", name), table, tables.problems)
        if destination is not None:
            tables.destinations[name] = destination
    for name, table in _named(document, "pipes", tables.problems):
        pipe = _validate(PipeKeys, ("pipes", name), table, tables.problems)
        if pipe is not None:
            tables.pipes[name] = pipe
    return tables


def section(document: Mapping[str, Any], name: Section) -> Mapping[str, Any]:
    """The tables of a section by name; empty where it is missing or no table."""
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _named(
    document: Mapping[str, Any], name: Section, problems: list[Problem]
) -> Iterator[tuple[str, dict[str, Any]]]:
    found = document.get(name, {})
    if not isinstance(found, dict):
        problems.append(Problem((name,), f"expected tables [{name}.NAME], not {value_text(found)}"))
    elif not found:
        problems.append(Problem((name,), f"is required: there is no table [{name}.NAME]"))
    for key, table in section(document, name).items():
        if not isinstance(table, dict):
            text = f"expected a table [{name}.NAME], not {value_text(table)}"
            problems.append(Problem((name, key), text))
            continue
        if not re.fullmatch(NAME_PATTERN, key):
            text = 'a name has 1 to 64 letters, digits, "_", "-" and "."'
            problems.append(Problem((name, key), text))
        yield key, table


def _typed(
    models: Mapping[str, type[Model]],
    path: KeyPath,
    table: Mapping[str, object],
    problems: list[Problem],
) -> Model | None:
    kind = table.get("type")
    if isinstance(kind, str) and kind in models:
        return _validate(models[kind], path, table, problems)
    if kind is None:
        text = f"is required (known: {', '.join(models)})"
    elif isinstance(kind, str):
        text = f"unknown type {value_text(kind)} {choice_text(kind, models)}"
    else:
        text = f"expected one of {', '.join(models)}, not {value_text(kind)}"
    problems.append(Problem((*path, "type"), text))
    return None


def _validate(
    model: type[Model], path: KeyPath, table: object, problems: list[Problem]
) -> Model | None:
    try:
        return model.model_validate(table)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            real, raw = _real_path(table, error["loc"])
            if error["type"] == "too_short" and raw:
                continue  # Pydantic has counted the right ones only
            problems.append(Problem((*path, *real), error_text(error, model, raw)))
        return None


def _real_path(table: object, path: KeyPath) -> tuple[KeyPath, object]:
    """The path as it is in the file, and the value there.

    Where one value may stand for a list of one, Pydantic has seen the list and its first place.
    """
    real: KeyPath = ()
    value: Any = table
    for part in path:
        if isinstance(part, int) and not isinstance(value, list):
            continue
        real += (part,)
        try:
            value = value[part]
        except (LookupError, TypeError):
            return real, None
    return real, value
