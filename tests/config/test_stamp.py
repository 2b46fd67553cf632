"""Destinations that stamp need a format with structured data."""

from pathlib import Path

import pytest

from relay.config import load
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
