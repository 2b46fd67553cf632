import socket
from contextlib import ExitStack, suppress

import pytest
import trio
import trio.testing

from relay.system.ports import Acceptor, Connection, Endpoint
from relay.system.readyset import EpollReadySet
from relay.system.stream import SocketConnection
from tests.system.conftest import Connect, OpenAcceptor


@pytest.fixture
async def ready_set(closing: ExitStack) -> EpollReadySet:
    ready_set = EpollReadySet()
    closing.callback(ready_set.close)
    return ready_set


def pair(closing: ExitStack) -> tuple[SocketConnection, socket.socket]:
    ours, theirs = socket.socketpair()
    closing.enter_context(theirs)
    connection = SocketConnection(ours, peer="local")
    closing.callback(connection.close)
    return connection, theirs


async def test_acceptors_and_connections_are_watched_together(
    ready_set: EpollReadySet, closing: ExitStack, open_acceptor: OpenAcceptor, connect: Connect
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    connection, peer = pair(closing)
    ready_set.add(acceptor)
    ready_set.add(connection)
    assert ready_set.ready() == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ready_set.wait)
        await trio.testing.wait_all_tasks_blocked()
        peer.send(b"x")
    assert ready_set.ready() == [connection]
    assert ready_set.ready() == [connection]  # level-triggered: it has not been read
    connect(acceptor.address)
    assert set(ready_set.ready()) == {connection, acceptor}
    assert connection.receive(10) == b"x"
    assert ready_set.ready() == [acceptor]


async def test_a_peers_end_makes_a_member_ready(
    ready_set: EpollReadySet, closing: ExitStack
) -> None:
    connection, peer = pair(closing)
    ready_set.add(connection)
    peer.close()
    await ready_set.wait()
    assert ready_set.ready() == [connection]


async def test_discarding_is_harmless_when_repeated_and_spares_the_next_of_that_number(
    ready_set: EpollReadySet, closing: ExitStack
) -> None:
    first, _ = pair(closing)
    ready_set.add(first)
    number = first.fileno()
    ready_set.discard(first)
    ready_set.discard(first)
    first.close()
    ready_set.discard(first)
    second, peer = pair(closing)
    assert second.fileno() == number
    ready_set.add(second)
    ready_set.discard(first)
    peer.send(b"x")
    assert ready_set.ready() == [second]


async def test_every_member_has_its_turn(ready_set: EpollReadySet, closing: ExitStack) -> None:
    pairs = [pair(closing) for _ in range(600)]  # more than are told at once
    for connection, peer in pairs:
        ready_set.add(connection)
        peer.send(b"x")
    seen: set[Connection | Acceptor] = set()
    for _ in range(2):
        turn = ready_set.ready()
        assert len(turn) == 512
        seen |= set(turn)
    assert len(seen) == 600


async def test_a_muted_member_is_told_of_when_it_is_unmuted(
    ready_set: EpollReadySet, closing: ExitStack
) -> None:
    first, peer = pair(closing)
    other, others_peer = pair(closing)
    ready_set.add(first)
    ready_set.add(other)
    peer.send(b"x")
    assert ready_set.ready() == [first]
    ready_set.mute(first)
    peer.send(b"y")
    others_peer.send(b"x")
    assert ready_set.ready() == [other]
    ready_set.unmute(first)
    assert set(ready_set.ready()) == {first, other}
    assert first.receive(10) == b"xy"
    assert ready_set.ready() == [other]


async def test_a_muted_member_may_end_be_told_of_for_that_once_and_be_discarded(
    ready_set: EpollReadySet, closing: ExitStack
) -> None:
    connection, peer = pair(closing)
    ready_set.add(connection)
    ready_set.mute(connection)
    peer.close()
    assert ready_set.ready() in ([connection], [])
    assert ready_set.ready() == []
    ready_set.unmute(connection)
    assert ready_set.ready() == [connection]
    ready_set.mute(connection)
    ready_set.discard(connection)
    ready_set.discard(connection)


async def test_closing_wakes_who_waits_and_is_harmless_when_repeated() -> None:
    ready_set = EpollReadySet()

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await ready_set.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        ready_set.close()
    ready_set.close()


async def test_room_to_send_can_be_watched_instead(
    ready_set: EpollReadySet, closing: ExitStack
) -> None:
    connection, peer = pair(closing)
    ready_set.add(connection, writable=True)
    assert ready_set.ready() == [connection]
    while connection.send([b"x" * 65536]):
        pass
    peer.send(b"y")
    assert ready_set.ready() == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ready_set.wait)
        await trio.testing.wait_all_tasks_blocked()
        peer.setblocking(False)
        with suppress(BlockingIOError):
            while peer.recv(1 << 20):
                pass
    assert ready_set.ready() == [connection]
    ready_set.discard(connection)
    assert ready_set.ready() == []
