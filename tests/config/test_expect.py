"""The key `expect`: addresses in one spelling, hosts, and each once."""

from pathlib import Path

import pytest

from relay.config import load
from tests.config.files import WHOLE, check_more, write

LISTENER = '[listeners.x]\ntype = "internal"\nexpect = {}\n'


def test_addresses_are_written_as_those_of_senders(tmp_path: Path) -> None:
    text = LISTENER.format('["2001:DB8:0::7", "192.0.2.7", "fw1"]')
    config = load(write(tmp_path, WHOLE + text))
    assert config.listeners["x"].expect == ("2001:db8::7", "192.0.2.7", "fw1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ('["fw1", "fw1"]', "3: listeners.x.expect: 'fw1' is named twice"),
        ('["2001:db8::7", "2001:db8:0::7"]', "3: listeners.x.expect: '2001:db8::7' is named twice"),
    ],
)
def test_one_that_is_named_twice_is_a_mistake(tmp_path: Path, value: str, expected: str) -> None:
    check_more(tmp_path, LISTENER.format(value), expected)


@pytest.mark.parametrize("name", ["fw 1", "", "Müller"])
def test_a_name_is_printable_ascii(tmp_path: Path, name: str) -> None:
    what = "expected an address or a host of 1 to 255 printable ASCII characters"
    expected = f"3: listeners.x.expect[0]: {what}, not {name!r}"
    check_more(tmp_path, LISTENER.format(f'["{name}"]'), expected)
