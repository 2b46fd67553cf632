"""Destinations whose addresses are members of their pipe: keys, errors, warnings, summary."""

from pathlib import Path

import pytest

from relay.config import load
from relay.config.summary import summary, warnings
from relay.core.sharing import Sharing
from tests.config.files import WHOLE, check_more, write

PIPE = """\
[destinations.file]
type = "file"
path = "/var/log/relay.log"
[destinations.collectors]
type = "TYPE"
address = "ADDRESS"
[pipes.more]
from = "tcp"
to = TO
KEYS
"""


def text(
    keys: str,
    address: str = "srv:_syslog-tls._tcp.example.net",
    to: str = '"collectors"',
    type_: str = "relp",
) -> str:
    filled = PIPE.replace("TYPE", type_).replace("ADDRESS", address).replace("TO", to)
    return WHOLE + filled.replace("KEYS", keys)


def test_each_address_is_one_of_several_and_summed_up(tmp_path: Path) -> None:
    keys = 'each_address = true\nstrategy = "balance"\nresolve_every = "5s"\nspool = "never"'
    config = load(write(tmp_path, text(keys)))
    assert config.pipes["more"].sharing == Sharing("balance", 30.0, 60.0, 5.0)
    assert (
        "more: tcp -> collectors (relp srv:_syslog-tls._tcp.example.net) match everything, "
        "each address, resolve_every 5s, balance, return_after 30s, stalled_max 1m, "
        "memory 64MiB, overflow drop-newest"
    ) in summary(config)
    plain = load(write(tmp_path, text('spool = "never"')))
    assert plain.pipes["more"].sharing is None
    assert config.descriptors == plain.descriptors + 15 * 2


@pytest.mark.parametrize(
    ("keys", "address", "expected"),
    [
        ('strategy = "balance"\neach_address = true', "siem.example.net:514", []),
        ("each_address = true", "192.0.2.1:514",
         ["pipe more: each_address means nothing: 192.0.2.1:514 is one"]),
        ("each_address = true", "[fe80::1%2]:514",
         ["pipe more: each_address means nothing: [fe80::1%2]:514 is one"]),
        ('resolve_every = "5s"', "siem.example.net:514",
         ["pipe more: resolve_every means nothing without each_address"]),
        ('strategy = "balance"', "siem.example.net:514",
         ["pipe more: strategy means nothing: it has one destination"]),
    ],
)  # fmt: skip
def test_what_means_nothing_is_warned_of(
    tmp_path: Path, keys: str, address: str, expected: list[str]
) -> None:
    found = warnings(load(write(tmp_path, text(keys, address))))
    assert [it for it in found if "means nothing" in it] == expected


def test_numbered_messages_for_several_receivers_are_warned_of(tmp_path: Path) -> None:
    keys = 'each_address = true\nstrategy = "balance"'
    stamped = text(keys).replace('type = "relp"', 'type = "relp"\nstamp = true')
    assert (
        "pipe more shares its numbered messages out to each address: "
        "unless these are one receiver, each sees gaps"
    ) in warnings(load(write(tmp_path, stamped)))


def test_mistakes_are_told(tmp_path: Path) -> None:
    check_more(
        tmp_path,
        """\
[destinations.file]
type = "file"
path = "/var/log/relay.log"
[destinations.service]
type = "udp"
address = "srv:_syslog._tcp.example.net"
[destinations.other]
type = "tcp"
address = "srv:example.net"
[pipes.a]
from = "tcp"
to = "file"
each_address = true
[pipes.b]
from = "tcp"
to = ["siem", "file"]
each_address = true
[pipes.c]
from = "tcp"
to = "siem"
each_address = true
resolve_every = "0.5s"
""",
        "6: destinations.service.address: '_tcp' is not the protocol of this type: it needs '_udp'",
        '9: destinations.other.address: expected "srv:_SERVICE._tcp.DOMAIN", not '
        "'srv:example.net'",
        '13: pipes.a.each_address: destination "file" is of type file, which has no address on '
        "the network",
        "17: pipes.b.each_address: needs one destination, whose addresses these are",
        '22: pipes.c.resolve_every: must be at least 1s, not "0.5s"',
    )
