"""Who may send to a listener on a network."""

import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress

import pytest
import trio
import trio.testing

from relay.core.account import ConnectionRefusal, Refusal
from relay.core.component import Listener
from relay.listeners.gate import Gate
from relay.listeners.relp import RelpListener
from relay.listeners.tcp import TcpListener
from relay.listeners.udp import UdpListener
from relay.wire.relp.client import ClientSession
from tests.listeners.conftest import Rig
from tests.listeners.test_tcp import STAMPED, descriptors_max, until

KINDS: dict[str, type[UdpListener | TcpListener | RelpListener]] = {
    "udp": UdpListener,
    "tcp": TcpListener,
    "relp": RelpListener,
}


def listener(kind: str, *allow: str, **keys: object) -> Listener:
    keys |= {"type": kind, "listen": ["127.0.0.1:0"]} | ({"allow": list(allow)} if allow else {})
    return KINDS[kind].model_validate(keys)


def from_address(source: str, rig: Rig) -> socket.socket:
    """A sender to the first socket that has this address."""
    endpoint = rig.sockets[0]
    stream = hasattr(endpoint, "accept")
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    sock.bind((source, 0))
    host, _, port = endpoint.address.rpartition(":")
    sock.connect((host, int(port)))
    return sock


async def test_datagrams_of_others_are_refused_counted_and_told(rig: Rig) -> None:
    async with rig.running(listener("udp", "127.0.0.8/30")):
        for number, source in enumerate(["127.0.0.1", "127.0.0.9", "127.0.0.1", "127.0.0.12"]):
            with from_address(source, rig) as sock:
                sock.send(STAMPED + b"%d" % number)
        assert await rig.texts(1) == [b"1"]
        await until(lambda: rig.account.received == 4)
    assert rig.account.refused[Refusal.NOT_ALLOWED] == 3
    assert rig.account.received_octets == 4 * len(STAMPED + b"0")
    assert sorted(rig.ledger.losses.rest(0)) == [
        "dropped 1 message from 127.0.0.12 to listener in: not-allowed",
        "dropped 2 messages from 127.0.0.1 to listener in: not-allowed",
    ]


async def test_a_batch_that_passes_whole_stays_the_object_it_was(rig: Rig) -> None:
    udp = listener("udp", "10.0.0.0/8", rate_limit="2/s")
    assert isinstance(udp, UdpListener)
    messages, senders = [b"a", b"b", b"c"], ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    passed = Gate(rig.intake(udp), udp.allowed, udp.buckets()).admit(messages, senders)
    assert passed[0] is messages
    assert passed[1] is senders


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_connections_of_others_are_closed_unread_and_counted(
    rig: Rig, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running(listener(kind, "127.0.0.9", "::1")) as intake:
        with from_address("127.0.0.1", rig) as stranger, from_address("127.0.0.9", rig):
            stranger.settimeout(10)
            await until(lambda: refused(rig) == 1)
            assert stranger.recv(1) == b""
            await until(lambda: rig.account.connections_open == 1)
            assert [it.peer for it in intake.streams.table] == ["127.0.0.9"]
    assert rig.account.connections_accepted == 1
    assert rig.account.received == 0
    assert "listener in: connection from 127.0.0.1 refused: not allowed" in caplog.messages


async def test_a_list_holds_for_connections_whose_accept_was_deferred(rig: Rig) -> None:
    """Without descriptors they wait in the backlog; the list is asked when they leave it."""
    sources: Sequence[str] = ["127.0.0.9", "127.0.0.1"] * 4
    async with rig.running(listener("tcp", "127.0.0.9")):
        with ExitStack() as stack:
            with descriptors_max(len(sources) + 2):
                socks = [stack.enter_context(from_address(it, rig)) for it in sources]
                for number, sock in enumerate(socks):
                    sock.sendall(STAMPED + b"%d\n" % number)
                await until(lambda: rig.account.accept_deferred > 0)
            assert sorted(await rig.texts(4)) == [b"0", b"2", b"4", b"6"]
            await until(lambda: refused(rig) == 4)
    assert rig.account.connections_accepted == 4
    assert rig.account.received == 4


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_a_reload_ends_the_connections_that_it_allows_no_more(rig: Rig, kind: str) -> None:
    before, after = listener(kind, "127.0.0.0/8"), listener(kind, "127.0.0.9")
    rig.open(before.endpoints())
    intake = rig.intake(before)

    async def run(it: Listener, *, task_status: trio.TaskStatus[None]) -> None:
        await it.run(rig.sockets, intake, task_status=task_status)

    with from_address("127.0.0.1", rig) as stranger, from_address("127.0.0.9", rig):
        async with trio.open_nursery() as nursery:
            await nursery.start(run, before)
            await until(lambda: rig.account.connections_open == 2)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            await nursery.start(run, after)
            stranger.setblocking(False)
            await until(lambda: has_ended(stranger))
            stranger.close()
            await until(lambda: rig.account.connections_open == 1)
            assert [it.peer for it in intake.streams.table] == ["127.0.0.9"]
            intake.draining.set()
    rig.check()


def has_ended(sock: socket.socket) -> bool:
    """Whether the peer has sent its FIN, behind whatever it had to say."""
    try:
        while sock.recv(1024):
            pass
    except BlockingIOError:
        return False
    return True


async def test_a_noisy_sender_of_datagrams_loses_exactly_what_it_sends_too_much(rig: Rig) -> None:
    quiet = [f"127.0.1.{number}" for number in range(1, 51)]
    async with rig.running(listener("udp", rate_limit="1/m", burst=10)):
        with ExitStack() as stack:
            noisy = stack.enter_context(from_address("127.0.0.9", rig))
            socks = [stack.enter_context(from_address(source, rig)) for source in quiet]
            for turn in range(10):
                for number, sock in enumerate(socks):
                    sock.send(STAMPED + b"q%d.%d" % (number, turn))
                for shot in range(10):
                    noisy.send(STAMPED + b"n%d" % (10 * turn + shot))
            await until(lambda: rig.account.received == 600)
        texts = await rig.texts(510)
    assert [text for text in texts if text.startswith(b"n")] == [b"n%d" % n for n in range(10)]
    assert rig.account.refused[Refusal.RATE] == 90
    assert rig.ledger.losses.rest(0) == ["dropped 90 messages from 127.0.0.9 to listener in: rate"]


async def test_connections_above_the_rate_wait_and_lose_nothing(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running(listener("tcp", rate_limit="100/s", burst=10)):
        with from_address("127.0.0.1", rig) as noisy, from_address("127.0.0.2", rig) as quiet:
            began = trio.current_time()
            noisy.sendall(b"".join(STAMPED + b"%d\n" % number for number in range(60)))
            await until(lambda: rig.account.received == 60)  # at once, by one read
            noisy.sendall(STAMPED + b"60\n")
            await until(lambda: rig.account.connections_waiting == 1)
            quiet.sendall(STAMPED + b"quiet\n")
            await until(lambda: rig.account.received == 61)
            await until(lambda: rig.account.received == 62)
            took = trio.current_time() - began
            assert rig.account.connections_waiting == 0
            texts = await rig.texts(62)
    assert took >= 0.49
    assert [text for text in texts if text != b"quiet"] == [b"%d" % n for n in range(61)]
    assert texts[-2:] == [b"quiet", b"60"]
    assert rig.account.connections_paced > 0
    text = "listener in: 127.0.0.1 sends more than its rate_limit and has to wait"
    assert caplog.messages == [text]


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_a_stop_waits_for_nobodys_rate(rig: Rig, kind: str) -> None:
    opening = ClientSession()
    frames = opening.opening() if kind == "relp" else b""
    async with rig.running(listener(kind, rate_limit="1/h")):
        with from_address("127.0.0.1", rig) as sock:
            sock.setblocking(False)
            sock.send(frames)
            if kind == "relp":
                await until(lambda: hears(sock, opening) == "open")
            sock.send(frame(kind, opening, b"1"))
            await until(lambda: rig.account.received == 1)
            sock.send(frame(kind, opening, b"2"))
            if kind == "tcp":
                sock.shutdown(socket.SHUT_WR)
            await until(lambda: rig.account.connections_waiting == 1)
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert rig.account.received == 1
    assert rig.account.received == (2 if kind == "tcp" else 1)  # not read: the RELP sender's still
    assert rig.account.connections_waiting == 0


def hears(sock: socket.socket, session: ClientSession) -> str:
    with suppress(BlockingIOError):
        session.feed(sock.recv(1 << 16))
    return session.state


def frame(kind: str, session: ClientSession, text: bytes) -> bytes:
    return session.frames([STAMPED + text]) if kind == "relp" else STAMPED + text + b"\n"


def refused(rig: Rig) -> int:
    return rig.account.connections_refused[ConnectionRefusal.NOT_ALLOWED]
