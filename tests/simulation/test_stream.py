"""The simulated connection does what a real one does: the same stories on both."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

import pytest
import trio

from relay.system.ports import Connection, ConnectionBroken
from relay.system.stream import SocketConnection
from tests.simulation.flow import Link
from tests.simulation.stream import Buffers, End, connect
from tests.simulation.timeline import Timeline


class Peer(Protocol):
    """The other side, which is a program on another host."""

    def say(self, data: bytes) -> None: ...
    def read(self, octets_max: int) -> bytes: ...
    def close(self) -> None: ...


@dataclass
class SimulatedPeer:
    end: End

    def say(self, data: bytes) -> None:
        assert self.end.send([data]) == len(data)

    def read(self, octets_max: int) -> bytes:
        return self.end.receive(octets_max) or b""

    def close(self) -> None:
        self.end.close()


@dataclass
class RealPeer:
    socket: socket.socket

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def read(self, octets_max: int) -> bytes:
        return self.socket.recv(octets_max)

    def close(self) -> None:
        self.socket.close()


Pair = tuple[Connection, Peer]


@asynccontextmanager
async def simulated() -> AsyncIterator[Pair]:
    mine, its = connect(Link(Timeline()), Buffers(), Buffers(), our_name="us", their_name="them")
    yield mine, SimulatedPeer(its)


@asynccontextmanager
async def real() -> AsyncIterator[Pair]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        mine = socket.create_connection(server.getsockname())
        its, _ = server.accept()
    connection = SocketConnection(mine, peer="127.0.0.1")
    try:
        yield connection, RealPeer(its)
    finally:
        connection.close()
        its.close()


async def until(condition: Callable[[], object]) -> None:
    with trio.fail_after(5):
        while not condition():
            await trio.sleep(0.001)


async def broken(call: Callable[[], object]) -> None:
    """The call says sooner or later that the connection is broken."""
    with trio.fail_after(5):
        while True:
            try:
                call()
            except ConnectionBroken:
                return
            await trio.sleep(0.001)


@pytest.fixture(params=[simulated, real], ids=["simulated", "real"])
def pair(request: pytest.FixtureRequest) -> object:
    return request.param


async def test_what_the_peer_says_can_be_read(pair: Callable[[], object]) -> None:
    async with pair() as (ours, peer):  # type: ignore[attr-defined]
        assert ours.receive(10) is None
        peer.say(b"hello")
        await ours.readable()
        assert ours.receive(3) == b"hel"
        assert ours.receive(10) == b"lo"
        assert ours.receive(10) is None


async def test_what_was_acknowledged_is_known(pair: Callable[[], object]) -> None:
    async with pair() as (ours, peer):  # type: ignore[attr-defined]
        assert ours.send([b"abc", b"def"]) == 6
        await until(lambda: ours.unacknowledged() == 0)
        assert peer.read(10) == b"abcdef"
        assert ours.half_close()
        await until(lambda: ours.unacknowledged() == 0)
        assert not ours.hung_up()


async def test_a_peer_that_does_not_read_takes_a_while_and_then_no_more(
    pair: Callable[[], object],
) -> None:
    async with pair() as (ours, _):  # type: ignore[attr-defined]
        sent = 0
        with trio.move_on_after(0.5):
            while True:
                sent += ours.send([b"x" * 65536])
                await ours.writable()
        assert sent
        assert ours.send([b"y" * (64 << 20)]) < 64 << 20
        assert 0 < ours.unacknowledged() < sent + (64 << 20)


async def test_a_peer_that_has_read_all_ends_cleanly(pair: Callable[[], object]) -> None:
    async with pair() as (ours, peer):  # type: ignore[attr-defined]
        ours.send([b"abc"])
        await until(lambda: ours.unacknowledged() == 0)
        assert peer.read(10) == b"abc"
        peer.close()
        await ours.readable()
        assert ours.receive(10) == b""
        assert ours.hung_up()


async def test_a_peer_that_closes_with_something_unread_resets(
    pair: Callable[[], object],
) -> None:
    async with pair() as (ours, peer):  # type: ignore[attr-defined]
        ours.send([b"abc"])
        await until(lambda: ours.unacknowledged() == 0)
        peer.close()
        await broken(lambda: ours.receive(10))
        await broken(lambda: ours.send([b"d"]))
        assert ours.unacknowledged() == 0
        assert not ours.half_close()


async def test_what_arrived_before_a_reset_can_be_read(pair: Callable[[], object]) -> None:
    async with pair() as (ours, peer):  # type: ignore[attr-defined]
        ours.send([b"abc"])
        peer.say(b"last words")
        await until(lambda: ours.unacknowledged() == 0)
        peer.close()
        await until(ours.hung_up)
        assert ours.receive(100) == b"last words"
        await broken(lambda: ours.receive(10))


async def test_what_is_sent_after_the_peers_end_is_reset(pair: Callable[[], object]) -> None:
    async with pair() as (ours, peer):  # type: ignore[attr-defined]
        peer.close()
        await ours.readable()
        assert ours.receive(10) == b""
        assert ours.send([b"abc"]) == 3
        await broken(lambda: ours.send([b"d"]))
        assert ours.receive(10) == b""  # it goes on saying that the peer has ended


async def test_a_closed_connection_lets_nobody_wait(pair: Callable[[], object]) -> None:
    async with pair() as (ours, _):  # type: ignore[attr-defined]
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(trio.ClosedResourceError):
                    await ours.readable()

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            ours.close()
        ours.close()
