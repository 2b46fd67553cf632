"""The JSON schema of the file, for editors; `relay schema` prints it."""

import ast
import inspect
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic.json_schema import models_json_schema

from relay.config.admin import AdminKeys
from relay.config.model import PipeKeys, RelayKeys
from relay.config.tables import NAME_PATTERN
from relay.core.keys import Keys
from relay.destinations import DESTINATIONS
from relay.listeners import LISTENERS

Schema = dict[str, Any]


def schema() -> Schema:
    """JSON schema, draft 2020-12, of the whole file."""
    models: list[type[Keys]] = [
        RelayKeys,
        AdminKeys,
        PipeKeys,
        *LISTENERS.values(),
        *DESTINATIONS.values(),
    ]
    _, found = models_json_schema([(model, "validation") for model in models])
    definitions = found["$defs"]
    for model in _all(Keys):
        if definition := definitions.get(model.__name__):
            _describe(definition, model)
    for definition in definitions.values():
        _tidy(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Relay",
        "type": "object",
        "properties": {
            "relay": _reference(RelayKeys),
            "admin": _reference(AdminKeys),
            "listeners": _named("What receives, by name.", _by_type(LISTENERS)),
            "destinations": _named("Where messages go, by name.", _by_type(DESTINATIONS)),
            "pipes": _named("Which listeners feed which destination.", _reference(PipeKeys)),
        },
        "required": ["listeners", "destinations", "pipes"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _reference(model: type[Keys]) -> Schema:
    return {"$ref": f"#/$defs/{model.__name__}"}


def _by_type(models: Mapping[str, type[Keys]]) -> Schema:
    return {"oneOf": [_reference(model) for model in models.values()]}


def _named(description: str, table: Schema) -> Schema:
    return {
        "description": description,
        "type": "object",
        "propertyNames": {"pattern": f"^{NAME_PATTERN}$"},
        "additionalProperties": table,
        "minProperties": 1,
    }


def _all(model: type[Keys]) -> Iterator[type[Keys]]:
    for child in model.__subclasses__():
        yield child
        yield from _all(child)


def _describe(definition: Schema, model: type[Keys]) -> None:
    texts = dict(_docstrings(model))
    for field, info in model.model_fields.items():
        if text := texts.get(field):
            definition["properties"][info.alias or field]["description"] = text


def _docstrings(model: type[Keys]) -> Iterator[tuple[str, str]]:
    """Fields, and the strings below them in the source (PEP 257); those of a base come first."""
    for cls in reversed(model.__mro__):
        if issubclass(cls, Keys):
            (source,) = ast.parse(dedent(inspect.getsource(cls))).body
            assert isinstance(source, ast.ClassDef)
            for field, below in pairwise(source.body):
                match field, below:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        yield name, inspect.cleandoc(text)


def _tidy(definition: Schema) -> None:
    """Take Pydantic's titles away, and write defaults as the file would have them."""
    definition.pop("title", None)
    for key in definition.get("properties", {}).values():
        key.pop("title", None)
        if key.get("default", 0) is None:
            del key["default"]  # absent: TOML has no null
            key.update(_without_null(key.pop("anyOf")))
        if key.get("type") == "string" and isinstance(key.get("default"), int):
            key["default"] = f"{key['default']:04o}"  # permissions


def _without_null(choices: Iterable[Schema]) -> Schema:
    rest = [choice for choice in choices if choice != {"type": "null"}]
    return rest[0] if len(rest) == 1 else {"anyOf": rest}
