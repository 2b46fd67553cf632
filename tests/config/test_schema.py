"""The JSON schema describes every key and agrees with what `load` takes."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli

from relay.config.schema import schema
from tests.config.files import SHIPPED, WHOLE


def test_the_schema_describes_every_key() -> None:
    for name, definition in schema()["$defs"].items():
        assert definition["description"], name
        assert definition["additionalProperties"] is False, name
        for key, field in definition["properties"].items():
            assert key == "type" or field["description"], f"{name}.{key}"
            assert not key.endswith("_"), "the file's names, not Python's"
    definitions = schema()["$defs"]
    assert definitions["UnixListener"]["properties"]["mode"]["default"] == "0666"
    assert definitions["PipeKeys"]["required"] == ["from", "to"]
    assert definitions["PipeKeys"]["properties"]["messages"]["default"] == 500_000


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_schema_accepts_what_is_shipped(path: Path) -> None:
    assert list(faults(tomli.loads(path.read_text()), schema(), schema())) == []


@pytest.mark.parametrize(
    "text",
    [
        WHOLE + "colour = 'red'\n",
        WHOLE.replace("tcp", "tpc"),
        WHOLE.replace('type = "udp"\n', ""),
        WHOLE.replace('["127.0.0.1:5514"]', "[]"),
        WHOLE.replace("listeners.udp", 'listeners."a b"'),
        WHOLE + "messages = 0\n",
        WHOLE + "memory = '5 parsecs'\n",
        WHOLE + "overflow = 'drop'\n",
        WHOLE + "match = [{ program = [] }]\n",
        WHOLE + "[other]\n",
        "",
    ],
)
def test_the_schema_refuses(text: str) -> None:
    assert list(faults(tomli.loads(text), schema(), schema()))


@pytest.mark.parametrize(
    "keys",
    ["match = { regex = 'a' }", "match = [{ not = { facility = ['auth', 3] } }]", "memory = 70000"],
)
def test_the_schema_accepts(keys: str) -> None:
    assert not list(faults(tomli.loads(WHOLE + keys), schema(), schema()))


TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict,
    "array": list,
}  # fmt: skip
KEYWORDS = {
    "$schema", "$defs", "$ref", "title", "description", "examples", "default", "type", "const",
    "enum", "anyOf", "oneOf", "properties", "additionalProperties", "propertyNames", "required",
    "minProperties", "items", "minItems", "maxItems", "uniqueItems", "pattern", "minLength",
    "maxLength", "minimum", "maximum",
}  # fmt: skip


def faults(value: Any, rule: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:  # noqa: ANN401
    """A small validator, for the part of JSON schema that is used here."""
    assert set(rule) <= KEYWORDS
    if "type" in rule and not isinstance(value, TYPES[rule["type"]]):
        return [f"{value!r} is no {rule['type']}"]
    found = choice_faults(value, rule, root)
    if isinstance(value, dict):
        found += object_faults(value, rule, root)
    elif isinstance(value, list):
        found += ["minItems"] * (len(value) < rule.get("minItems", 0))
        found += ["maxItems"] * (len(value) > rule.get("maxItems", len(value)))
        for item in value:
            found += faults(item, rule.get("items", {}), root)
    elif isinstance(value, str):
        found += ["minLength"] * (len(value) < rule.get("minLength", 0))
        found += ["pattern"] * (not re.search(rule.get("pattern", ""), value))
    elif not isinstance(value, bool):
        found += ["minimum"] * (value < rule.get("minimum", value))
        found += ["maximum"] * (value > rule.get("maximum", value))
    return found


def object_faults(
    value: Mapping[str, Any], rule: Mapping[str, Any], root: Mapping[str, Any]
) -> list[str]:
    found = [f"{key} is required" for key in rule.get("required", ()) if key not in value]
    found += ["minProperties"] * (len(value) < rule.get("minProperties", 0))
    more = rule.get("additionalProperties", {})
    for key, item in value.items():
        found += faults(key, rule.get("propertyNames", {}), root)
        inner = rule.get("properties", {}).get(key, more)
        found += [f"{key} is unknown"] if inner is False else faults(item, inner, root)
    return found


def choice_faults(value: Any, rule: Mapping[str, Any], root: Mapping[str, Any]) -> list[str]:  # noqa: ANN401
    found: list[str] = []
    if "$ref" in rule:
        found += faults(value, root["$defs"][rule["$ref"].rpartition("/")[2]], root)
    found += ["const"] * (value != rule.get("const", value))
    found += ["enum"] * (value not in rule.get("enum", [value]))
    for word, wanted in (("anyOf", range(1, 99)), ("oneOf", range(1, 2))):
        if word in rule and sum(not faults(value, it, root) for it in rule[word]) not in wanted:
            found.append(word)
    return found
