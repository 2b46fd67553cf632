"""Keys that change nothing where they stand are warned of by `relay check`."""

from pathlib import Path

import pytest

from relay.config import load
from relay.config.summary import warnings
from tests.config.files import write

TEXT = """
[listeners.net]
type = "relp"
listen = ["127.0.0.1:2514"]
LISTENER
[listeners.internal]
type = "internal"
INTERNAL
[destinations.ring]
type = "memory"
[pipes.all]
from = FROM
to = "ring"
overflow = "OVERFLOW"
PIPE
"""


def found(directory: Path, **changes: str) -> list[str]:
    text = TEXT
    everything = {"LISTENER": "", "INTERNAL": "", "FROM": '"*"', "OVERFLOW": "block", "PIPE": ""}
    for key, value in (everything | changes).items():
        text = text.replace(key, value)
    return warnings(load(write(directory, text)))


@pytest.mark.parametrize(
    ("place", "keys", "warning"),
    [
        ("LISTENER", 'silent_after = "5m"',
         "listener net: silent_after means nothing without expect"),
        ("INTERNAL", "hop = true",
         "listener internal: hop means nothing: no other relay's messages come here"),
        ("PIPE", 'shed = { below = "debug" }',
         "pipe all: shed drops nothing: no severity is below debug"),
        ("PIPE", "sample = [{ one_in = 2 }, { one_in = 3 }]",
         "pipe all: sample[0] matches every message: those behind it mean nothing"),
        ("PIPE", "rewrite = [{ severity = 3 }, {}]", "pipe all: rewrite[1] sets nothing"),
    ],
)  # fmt: skip
def test_a_key_without_effect_is_warned_of(
    tmp_path: Path, place: str, keys: str, warning: str
) -> None:
    assert found(tmp_path, **{place: keys}) == [warning]


@pytest.mark.parametrize("key", ["sample = { one_in = 2,", "rewrite = { severity = 3,"])
def test_a_rule_for_a_listener_that_does_not_feed_the_pipe_is_warned_of(
    tmp_path: Path, key: str
) -> None:
    rule = key + ' match = { listener = "net" } }'
    unfed = "listener net feeds no pipe: what it receives goes nowhere"
    nothing = f"pipe all: {key.split()[0]}[0].match[0] matches nothing: net does not feed this pipe"
    assert found(tmp_path, FROM='"internal"', PIPE=rule) == [unfed, nothing]


@pytest.mark.parametrize("key", ['shed = { below = "err" }', 'rate_limit = "5/s"'])
def test_pressure_that_takes_nothing_from_who_is_told_yes_is_warned_of(
    tmp_path: Path, key: str
) -> None:
    name = key.split()[0]
    internal = "listener internal feeds no pipe: what it receives goes nowhere"
    why = "it keeps, and all that feed it answer their senders"
    assert found(tmp_path, PIPE=key) == []
    assert found(tmp_path, FROM='"net"', PIPE=key) == [
        internal,
        f"pipe all: {name} drops nothing: {why}",
    ]
    assert why not in "".join(found(tmp_path, FROM='"net"', PIPE=key, OVERFLOW="drop-newest"))


def test_what_has_an_effect_is_not(tmp_path: Path) -> None:
    keys = 'sample = [{ one_in = 2, match = { program = "a" } }, { one_in = 3 }]\n'
    keys += 'rewrite = { data = { "a@1" = { b = "c" } } }'
    assert found(tmp_path, LISTENER='expect = ["fw1"]\nsilent_after = "5m"', PIPE=keys) == []
