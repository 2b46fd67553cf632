"""Who may connect, and with what: keys of every listener that accepts connections."""

import socket
import ssl

import pytest
import trio
from pydantic import ValidationError

from relay.core.account import ConnectionRefusal
from tests.listeners.conftest import Rig
from tests.listeners.test_deadlines import failed
from tests.listeners.test_network import from_address, listener
from tests.listeners.test_relp import OPENING
from tests.listeners.test_tcp import STAMPED, until
from tests.wire.test_client_hello import hello


@pytest.mark.parametrize(
    ("connections_max", "per_address_max"), [(1, 1), (2, 2), (10, 9), (100, 90), (10_000, 9000)]
)
def test_nobody_has_all_connections_by_default(connections_max: int, per_address_max: int) -> None:
    found = listener("tcp", connections_max=connections_max).limits()  # type: ignore[attr-defined]
    assert found.per_address_max == per_address_max


def test_an_address_cannot_have_more_than_there_are() -> None:
    with pytest.raises(ValidationError, match="11 is more than connections_max, which is 10"):
        listener("tcp", connections_max=10, connections_per_address_max=11)


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_one_address_fills_its_share_and_others_still_get_in(rig: Rig, kind: str) -> None:
    refused = rig.account.connections_refused
    keys = {"connections_max": 5, "connections_per_address_max": 3}
    async with rig.running(listener(kind, **keys)):
        socks = [from_address("127.0.0.1", rig) for _ in range(10)]
        await until(lambda: refused[ConnectionRefusal.CONNECTIONS_PER_ADDRESS_MAX] == 7)
        with from_address("127.0.0.2", rig) as other:
            other.sendall(OPENING if kind == "relp" else STAMPED + b"in\n")
            await until(lambda: rig.account.connections_open == 4)
            if kind == "tcp":
                assert await rig.texts(1) == [b"in"]
        for sock in socks:
            sock.close()
        await until(lambda: rig.account.connections_open == 0)
        with from_address("127.0.0.1", rig):
            await until(lambda: rig.account.connections_open == 1)


async def test_who_connects_for_each_message_is_held_to_its_rate(rig: Rig) -> None:
    refused = rig.account.connections_refused
    async with rig.running(listener("tcp", accept_rate="1/h", accept_burst=5)):
        for number in range(20):
            with from_address("127.0.0.1", rig) as sock:
                sock.sendall(STAMPED + b"%d\n" % number)
                await until(lambda n=number: rig.account.connections_accepted
                            + sum(refused.values()) == n + 1)  # fmt: skip
        with from_address("127.0.0.2", rig) as sock:
            sock.sendall(STAMPED + b"other\n")
            assert await rig.texts(6) == [b"0", b"1", b"2", b"3", b"4", b"other"]
    assert refused[ConnectionRefusal.ACCEPT_RATE] == 15


@pytest.mark.parametrize(
    ("keys", "burst"),
    [
        ({"accept_rate": "30/m"}, 30),
        ({"accept_rate": "10/s"}, 600),
        ({"accept_rate": "5/h"}, 1),
        ({"accept_rate": "5/h", "accept_burst": 20}, 20),
    ],
)
def test_a_minutes_worth_may_connect_at_once_by_default(
    keys: dict[str, object], burst: int
) -> None:
    accepts = listener("tcp", **keys).peer_limits(1 << 20).accepts  # type: ignore[attr-defined]
    assert accepts.limit.burst == burst


def test_a_burst_needs_a_rate() -> None:
    with pytest.raises(ValidationError, match="means nothing without accept_rate"):
        listener("relp", accept_burst=5)


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_tls_to_a_cleartext_listener_is_refused_and_never_a_message(
    rig: Rig, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    context = ssl.create_default_context()

    def shake_hands() -> None:
        with from_address("127.0.0.1", rig) as sock:
            sock.settimeout(10)
            with pytest.raises(OSError):  # noqa: PT011 - a reset or a TLS error, as it comes
                context.wrap_socket(sock, server_hostname="relay.example.net")

    async with rig.running(listener(kind)):
        for _ in range(3):
            await trio.to_thread.run_sync(shake_hands)
        await until(lambda: failed(rig) == {"tls": 3})
        assert rig.account.connections_open == 0
    assert rig.account.received == 0
    assert rig.account.frames.incomplete == 0
    assert caplog.messages == [
        "listener in: connection from 127.0.0.1 "
        "refused: it begins TLS, and this listener speaks none",
        "listener in: 3 connections from 127.0.0.1 within 0 s "
        "refused: it begins TLS, and this listener speaks none",
    ]


async def test_tls_is_recognised_however_its_octets_come(rig: Rig) -> None:
    async with rig.running(listener("tcp")):
        with from_address("127.0.0.1", rig) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for place in range(6):
                sock.send(hello()[place : place + 1])
                await until(lambda n=place + 1: rig.account.received_octets == n)
            await until(lambda: failed(rig) == {"tls": 1})
    assert rig.account.received == 0


async def test_octets_that_only_might_become_tls_are_text_at_the_end(rig: Rig) -> None:
    async with rig.running(listener("tcp", framing="lf")):
        for text in (b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\x00\x05", b"\x16\x03x\n"):
            with from_address("127.0.0.1", rig) as sock:
                sock.sendall(text)
        await until(lambda: rig.account.connections_accepted == 4)
    found = [message.rpartition(b" ")[2] for message in rig.held()]
    assert sorted(found) == [b"\x16", b"\x16\x03\x01", b"\x16\x03\x01\x00\x05", b"\x16\x03x"]
    assert failed(rig) == {}


async def test_tls_octets_in_the_middle_of_a_connection_are_text(rig: Rig) -> None:
    async with rig.running(listener("tcp", framing="nul")):
        with from_address("127.0.0.1", rig) as sock:
            sock.sendall(STAMPED + b"1\0")
            await until(lambda: rig.account.received == 1)
            sock.sendall(b"\x16\x03\x01\x02\x05\x01\0")
            await until(lambda: rig.account.received == 2)
    assert failed(rig) == {}
