"""Whatever stands in a file: `ConfigErrors` and no other exception."""

from datetime import date, time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from relay.config import ConfigErrors, load
from tests.config.files import write


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary())
def test_any_bytes_raise_nothing_else(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "relay.toml"
    path.write_bytes(data)
    with pytest.raises(ConfigErrors):
        load(str(path))


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, int) and value.bit_length() > 64:
        return hex(value)  # decimal digits are limited, these are not
    return str(value)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["udp", "tcp", "unix", "file", "siem", "*", "*:514", "[::]:514", "fd:x", "64KiB", "9" * 400,
     "5s", "0640", "auth", "10.0.0.0/8", "(", "never", "off", "block", "Europe/Berlin", "/", ".."]
)  # fmt: skip
SCALARS = (
    TEXTS
    | st.booleans()
    | st.integers()
    | st.just(20000).map(lambda bits: 1 << bits)  # too long to print
    | st.floats()
    | st.sampled_from([date(2026, 11, 23), time(7, 28, 45)])
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4) | st.sampled_from(
    ["type", "listen", "path", "framing", "kind", "mode", "message_max", "timezone", "address",
     "from", "to", "match", "not", "facility", "severity", "regex", "sender", "listener", "name",
     "timestamp", "memory", "spool", "overflow", "state_dir", "drain_max", "owner", "base", "size",
     "fsync"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)
)
TABLES = st.dictionaries(KEYS, VALUES, max_size=6)
NAMED = st.dictionaries(TEXTS, TABLES | VALUES, max_size=3) | VALUES
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "relay": TABLES | VALUES,
        "admin": TABLES | VALUES,
        "listeners": NAMED,
        "destinations": NAMED,
        "pipes": NAMED,
        "other": VALUES,
    },
)


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(DOCUMENTS)
@example({"relay": {"memory_max": "9" * 400 + "TiB", "drain_max": "9" * 400}})
@example({"pipes": {"a": {"from": 1 << 20000, "messages": 1 << 20000, "match": 1 << 20000}}})
@example({"pipes": {"a": {"match": {"facility": 1 << 20000}}}})
def test_any_document_raises_nothing_else(tmp_path: Path, document: dict[str, object]) -> None:
    """And every text is ours: short, one line, lower case at its start."""
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in document.items())
    try:
        load(write(tmp_path, text))
    except ConfigErrors as exc:
        for error in exc.errors:
            assert "\n" not in str(error)
            assert "Input should" not in error.text
            assert "Value error" not in error.text
            assert len(error.text) <= 401
            assert error.line
            assert not error.text[:1].isupper()
            assert not error.text.endswith(".")
