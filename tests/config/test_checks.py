"""Addresses that two want to bind, and those that lead back to us."""

import os
from pathlib import Path

import pytest

from relay.config import load
from relay.config.addresses import clash, reaches
from relay.config.summary import warnings
from relay.system.ports import Endpoint
from tests.config.files import check, check_more, errors_of, write

REST = """\
[destinations.out]
type = "stdout"
[pipes.all]
from = "*"
to = "out"
"""


@pytest.mark.parametrize(
    ("first", "second", "clashes"),
    [
        ("127.0.0.1:514", "127.0.0.1:514", True),
        ("127.0.0.1:514", "127.0.0.1:0514", True),
        ("127.0.0.1:514", "127.0.0.1:515", False),
        ("127.0.0.1:514", "127.0.0.2:514", False),
        ("127.0.0.1:0", "127.0.0.1:0", True),
        ("*:0", "*:0", True),
        ("*:0", "127.0.0.1:0", False),
        ("0.0.0.0:514", "127.0.0.1:514", True),
        ("0.0.0.0:514", "[::1]:514", False),
        ("0.0.0.0:514", "[::]:514", False),
        ("[::]:514", "[::1]:514", True),
        ("[::1]:514", "[0:0:0:0:0:0:0:1]:514", True),
        ("[fe80::1%eth0]:514", "[fe80::1%eth1]:514", False),
        ("[fe80::1%eth0]:514", "[::]:514", True),
        ("*:514", "127.0.0.1:514", True),
        ("*:514", "[::1]:514", True),
        ("*:514", "0.0.0.0:514", True),
        ("*:514", "*:514", True),
        ("*:514", "edge:514", True),
        ("edge:514", "EDGE:514", True),
        ("edge:514", "core:514", False),
        ("edge:514", "0.0.0.0:514", False),
        ("localhost:514", "127.0.0.1:514", True),
        ("localhost:514", "[::1]:514", True),
        ("localhost:514", "[::]:514", True),
        ("localhost:514", "10.0.0.1:514", False),
        ("fd:syslog", "fd:syslog", True),
        ("fd:syslog", "fd:admin", False),
        ("fd:syslog", "*:514", False),
    ],
)
def test_which_addresses_clash(first: str, second: str, clashes: bool) -> None:
    one, other = Endpoint("tcp", first), Endpoint("tcp", second)
    assert clash(one, other) is clashes
    assert clash(other, one) is clashes
    if not first.startswith("fd:"):
        assert not clash(one, Endpoint("udp", second))


@pytest.mark.parametrize(
    ("first", "second", "clashes"),
    [
        ("state/log", "state/log", True),
        ("state/log", "./state//log", True),
        ("state/log", os.path.abspath("state/log"), True),
        ("state/log", "state/log2", False),
    ],
)
def test_which_paths_clash(first: str, second: str, clashes: bool) -> None:
    one = Endpoint("unix-datagram", first)
    assert clash(one, Endpoint("unix-datagram", second)) is clashes
    assert clash(one, Endpoint("unix-stream", second)) is clashes
    assert not clash(one, Endpoint("tcp", "127.0.0.1:514"))


@pytest.mark.parametrize(
    ("address", "at", "arrives"),
    [
        ("127.0.0.1:514", "127.0.0.1:514", True),
        ("127.0.0.1:514", "*:514", True),
        ("127.0.0.5:514", "0.0.0.0:514", True),
        ("127.0.0.1:514", "[::]:514", False),
        ("[::1]:514", "[::]:514", True),
        ("localhost:514", "[::]:514", True),
        ("localhost:514", "127.0.0.1:514", True),
        ("localhost:514", "127.0.0.1:515", False),
        ("10.0.0.1:514", "10.0.0.1:514", True),
        ("10.0.0.1:514", "*:514", False),
        ("edge:514", "*:514", True),
        ("edge:514", "127.0.0.1:514", False),
        ("core:514", "*:514", False),
        ("127.0.0.1:514", "fd:syslog", False),
    ],
)
def test_which_destinations_are_our_own(address: str, at: str, arrives: bool) -> None:
    assert reaches("udp", address, Endpoint("udp", at), "Edge") is arrives
    assert not reaches("tcp", address, Endpoint("udp", at), "edge")


def test_a_service_is_none_of_ours_as_far_as_is_known() -> None:
    assert not reaches("tcp", "srv:_syslog._tcp.edge", Endpoint("tcp", "*:514"), "edge")


def test_a_unix_destination_may_be_our_own() -> None:
    at = Endpoint("unix-datagram", "state/log")
    assert reaches("unix-datagram", "./state/log", at, "edge")
    assert not reaches("unix-stream", "./state/log", at, "edge")
    assert not reaches("unix-datagram", "/dev/log", at, "edge")


def test_a_second_internal_listener(tmp_path: Path) -> None:
    check_more(
        tmp_path,
        """\
[listeners.own]
type = "internal"
[listeners.more]
message_max = "64KiB"
type = "internal"
[listeners.third]
type = "internal"
wrong = 1
""",
        '5: listeners.more.type: there is an internal listener already, "own"',
        '7: listeners.third.type: there is an internal listener already, "own"',
        "8: listeners.third.wrong: unknown key (known: message_max, timezone, timestamp, hop, "
        "expect, silent_after, type)",
    )


def test_two_listeners_on_an_address(tmp_path: Path) -> None:
    check(
        tmp_path,
        """\
[listeners.a]
type = "udp"
listen = ["127.0.0.1:5514"]
[listeners.b]
type = "tcp"
listen = ["127.0.0.1:5514"]
[listeners.c]
type = "udp"
listen = [
  "[::]:5514",
  "0.0.0.0:5514",
]
[listeners.d]
type = "udp"
listen = ["[::]:5514"]
"""
        + REST,
        '11: listeners.c.listen[1]: "0.0.0.0:5514" is already taken by listener a '
        '("127.0.0.1:5514")',
        '15: listeners.d.listen[0]: "[::]:5514" is already taken by listener c',
    )


def test_one_listener_twice_on_an_address(tmp_path: Path) -> None:
    check_more(
        tmp_path,
        "[listeners.x]\ntype = 'udp'\nlisten = ['*:1', '127.0.0.1:1', '*:0', '127.0.0.1:0']\n",
        '3: listeners.x.listen[1]: "127.0.0.1:1" is already taken by this listener ("*:1")',
    )


@pytest.mark.parametrize(
    ("listen", "text"),
    [
        (["*:1", "127.0.0.1:1"], '"127.0.0.1:1" is already taken by the admin server ("*:1")'),
        (["unix:a", "unix:./a"], '"./a" is already taken by the admin server ("a")'),
    ],
)
def test_the_admin_server_twice_on_one_address(
    tmp_path: Path, listen: list[str], text: str
) -> None:
    check_more(tmp_path, f"[admin]\nlisten = {listen}\n", f"2: admin.listen[1]: {text}")


def test_a_listener_on_the_admin_servers_address(tmp_path: Path) -> None:
    """The default one as well; only on TCP."""
    check_more(
        tmp_path,
        "[listeners.x]\ntype = 'tcp'\nlisten = ['*:9514']\n"
        "[listeners.y]\ntype = 'udp'\nlisten = ['*:9514']\n",
        '3: listeners.x.listen[0]: "*:9514" is already taken by the admin server '
        '("127.0.0.1:9514")',
    )


def test_a_unix_path_twice(tmp_path: Path) -> None:
    check_more(
        tmp_path,
        "[listeners.x]\ntype = 'unix'\npath = 'log'\n"
        "[listeners.y]\ntype = 'unix'\nkind = 'stream'\npath = './log'\n",
        '7: listeners.y.path: "./log" is already taken by listener x ("log")',
    )


JOURNAL = """\
[listeners.j]
type = "journal"
[listeners.kernel]
type = "kmsg"
[listeners.forwarded]
type = "unix"
path = ["/run/systemd/journal/syslog"]
[destinations.d]
type = "stdout"
[pipes.p]
from = "*"
to = "d"
overflow = "block"
"""


def test_what_the_journal_brings_twice_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("relay.listeners.journal.is_installed", lambda: True)
    twice = [text for text in warnings(load(write(tmp_path, JOURNAL))) if "comes twice" in text]
    assert twice == [
        f"pipe p: the journal has what listener {name} receives: "
        "with listener j each of these messages comes twice"
        for name in ("kernel", "forwarded")
    ]


def test_a_journal_needs_systemd_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relay.listeners.journal.is_installed", lambda: False)
    assert errors_of(write(tmp_path, JOURNAL)) == [
        "2: listeners.j.type: needs systemd-python, which is not installed "
        "(pip install syslog-relay[journal])"
    ]
