"""Configuration files for tests, and how their errors are compared."""

from pathlib import Path

import pytest

from relay.config import ConfigErrors, load
from relay.listeners import LISTENERS

ROOT = Path(__file__).parents[2]
SHIPPED = sorted([ROOT / "config/relay.toml", *(ROOT / "config/examples").glob("*.toml")])

WHOLE = """\
[listeners.udp]
type = "udp"
listen = ["127.0.0.1:5514"]
[listeners.tcp]
type = "tcp"
listen = ["127.0.0.1:5514"]
[destinations.siem]
type = "tcp"
address = "siem.example.net:6514"
[pipes.all]
from = "*"
to = "siem"
"""
LISTENER_TYPES = ", ".join(LISTENERS)
END = WHOLE.count("\n")  # lines before what a case adds


def write(directory: Path, text: str) -> str:
    path = directory / "relay.toml"
    path.write_bytes(text.encode())
    return str(path)


def errors_of(path: str) -> list[str]:
    """All errors as text, without the file's name."""
    with pytest.raises(ConfigErrors) as raised:
        load(path)
    lines = [str(error) for error in raised.value.errors]
    assert str(raised.value).split("\n") == lines
    assert all(line.startswith(f"{path}:") for line in lines)
    return [line.removeprefix(f"{path}:") for line in lines]


def check(directory: Path, text: str, *expected: str) -> None:
    assert errors_of(write(directory, text)) == list(expected)


def check_more(directory: Path, text: str, *expected: str) -> None:
    """`text` after a file that is right; lines count from the first line of `text`."""
    shifted = []
    for error in errors_of(write(directory, WHOLE + text)):
        line, _, rest = error.partition(": ")
        shifted.append(f"{int(line) - END}: {rest}")
    assert shifted == list(expected)
