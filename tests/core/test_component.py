import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from relay.core.component import DestinationKeys, ListenerKeys


def test_defaults() -> None:
    listener = ListenerKeys()
    assert (listener.message_max, listener.timezone) == (65536, "local")
    assert listener.timestamp == "keep"
    assert DestinationKeys().format == "preserve"


def test_no_plugin_has_a_part_in_the_configuration() -> None:
    code = (
        "import importlib.metadata; importlib.metadata.entry_points = None\n"
        "from relay.core.component import ListenerKeys; print(ListenerKeys().message_max)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert run.stdout == b"65536\n"


@pytest.mark.parametrize(
    "keys",
    [{"message_max": "8KiB"}, {"message_max": "16MiB"}, {"timezone": "Europe/Berlin"},
     {"timezone": "+02:00"}, {"timezone": "UTC"}, {"timestamp": "received"}],
)  # fmt: skip
def test_keys_of_every_listener(keys: dict[str, Any]) -> None:
    ListenerKeys(**keys)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"message_max": 8191}, "greater than or equal to 8192"),  # RFC 5425 section 4.3.1
        ({"message_max": "17MiB"}, "less than or equal to 16777216"),
        ({"timezone": "Europe/Atlantis"}, "not 'Europe/Atlantis'"),
        ({"timestamp": "ours"}, "'keep' or 'received'"),
        ({"colour": "red"}, "Extra inputs are not permitted"),
    ],
)
def test_keys_that_no_listener_takes(keys: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError) as raised:
        ListenerKeys(**keys)
    assert reason in str(raised.value)


def test_components_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DestinationKeys().format = "json"  # type: ignore[misc]


def test_a_format_is_one_of_those_that_exist() -> None:
    with pytest.raises(ValidationError):
        DestinationKeys(format="xml")
