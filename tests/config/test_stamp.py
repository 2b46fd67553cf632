"""Destinations that stamp need a format with structured data."""

from pathlib import Path

import pytest

from relay.config import load
from relay.config.summary import warnings
from tests.config.files import WHOLE, check_more, write

STDOUT = '[destinations.x]\ntype = "stdout"\nformat = "{}"\nstamp = true\n'


@pytest.mark.parametrize("kind", ["rfc3164", "json"])
def test_a_format_without_structured_data_is_an_error(tmp_path: Path, kind: str) -> None:
    check_more(
        tmp_path,
        STDOUT.format(kind),
        "4: destinations.x.stamp: a hop record needs structured data, which "
        f"'{kind}' has no place for",
    )


@pytest.mark.parametrize("kind", ["preserve", "rfc5424"])
def test_one_that_has_it_is_valid(tmp_path: Path, kind: str) -> None:
    config = load(write(tmp_path, WHOLE + STDOUT.format(kind)))
    assert config.destinations["x"].stamp


SHARED = """
[destinations.a]
type = "stdout"
stamp = true
[destinations.b]
type = "stdout"
[pipes.shared]
from = "*"
to = ["a", "b"]
"""


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        (SHARED + 'strategy = "balance"', True),
        (SHARED, False),
        (SHARED.replace("stamp = true", "") + 'strategy = "balance"', False),
    ],
)
def test_numbers_that_are_shared_out_are_warned_of(
    tmp_path: Path, text: str, *, warned: bool
) -> None:
    found = warnings(load(write(tmp_path, WHOLE + text)))
    text = (
        "pipe shared shares its numbered messages out to a and b: "
        "unless these are one receiver, each sees gaps"
    )
    assert (text in found) == warned
