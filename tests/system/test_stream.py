import errno
import os
import resource
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system.ports import ConnectionBroken, Endpoint
from relay.system.stream import SocketAcceptor, SocketConnection
from tests.system.conftest import Connect, OpenAcceptor

Pair = Callable[..., tuple[SocketConnection, socket.socket]]


@pytest.fixture
def pair(open_acceptor: OpenAcceptor, connect: Connect, closing: ExitStack, tmp_path: Path) -> Pair:
    """A connection of ours and the blocking socket of its peer."""

    def pair(kind: str = "tcp") -> tuple[SocketConnection, socket.socket]:
        address = "127.0.0.1:0" if kind == "tcp" else str(tmp_path / "log")
        acceptor = open_acceptor(Endpoint(kind, address))  # type: ignore[arg-type]
        peer = connect(acceptor.address)
        connection = acceptor.accept()
        assert connection is not None
        closing.callback(connection.close)
        return connection, peer

    return pair


KINDS = pytest.mark.parametrize("kind", ["tcp", "unix-stream"])


@KINDS
async def test_receive_tells_nothing_yet_from_the_end(kind: str, pair: Pair) -> None:
    connection, peer = pair(kind)
    assert connection.receive(100) is None
    peer.send(b"hello")
    await connection.readable()
    assert connection.receive(3) == b"hel"
    assert connection.receive(100) == b"lo"
    peer.shutdown(socket.SHUT_WR)
    await connection.readable()
    assert connection.receive(100) == b""


@KINDS
async def test_send_takes_what_there_is_room_for_and_waits_for_more(kind: str, pair: Pair) -> None:
    connection, peer = pair(kind)
    sent = 0
    while taken := connection.send([b"x" * 1000] * 100):
        sent += taken

    def read_all() -> None:
        left = sent
        while left:
            left -= len(peer.recv(1 << 20))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.to_thread.run_sync, read_all)
        await connection.writable()
    assert connection.send([memoryview(b"more"), b"", b" to come"]) == 12


def test_more_buffers_than_the_kernel_takes_at_once_are_sent_in_part(pair: Pair) -> None:
    connection, peer = pair()
    assert connection.send([b"x"] * 3000) == 1024
    assert len(peer.recv(3000)) == 1024


async def test_a_reset_is_a_broken_connection_and_what_was_not_acknowledged_still_known(
    pair: Pair,
) -> None:
    connection, peer = pair()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()
    await connection.readable()
    with pytest.raises(ConnectionBroken, match="reset by peer"):
        connection.receive(100)
    with pytest.raises(ConnectionBroken, match="Broken pipe"):
        connection.send([b"late"])
    assert connection.unacknowledged() == 0
    connection.half_close()
    connection.seal()


def test_use_after_close_is_a_bug_and_no_broken_connection(pair: Pair) -> None:
    connection, _ = pair()
    connection.close()
    connection.close()
    for call in (lambda: connection.receive(1), lambda: connection.send([b""])):
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.half_close()


async def test_closing_wakes_who_waits(pair: Pair) -> None:
    connection, _ = pair()

    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await connection.readable()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        connection.close()


async def test_unacknowledged_is_what_the_peers_kernel_does_not_have(pair: Pair) -> None:
    connection, peer = pair()
    sent = 0
    while taken := connection.send([b"x" * 65536]):
        sent += taken
    held = connection.unacknowledged()
    assert 0 < held < sent
    while sent:
        sent -= len(peer.recv(1 << 20))
    with trio.fail_after(5):
        while connection.unacknowledged():
            await trio.lowlevel.checkpoint()
    connection.half_close()
    assert peer.recv(1) == b""
    peer.send(b"an answer")
    await connection.readable()
    assert connection.receive(100) == b"an answer"


def test_a_unix_connection_has_nothing_unacknowledged(pair: Pair) -> None:
    connection, _ = pair("unix-stream")
    connection.send([b"x" * 1000])
    assert connection.unacknowledged() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_peer_is_its_numeric_address(
    host: str, open_acceptor: OpenAcceptor, connect: Connect, closing: ExitStack
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", f"{host}:0"))
    connect(acceptor.address)
    connection = acceptor.accept()
    assert connection is not None
    closing.callback(connection.close)
    assert connection.peer == host.strip("[]")
    assert acceptor.accept() is None


def test_a_unix_peer_is_local(pair: Pair) -> None:
    connection, _ = pair("unix-stream")
    assert connection.peer == "local"


def test_an_accepted_connection_is_kept_alive_and_does_not_block(pair: Pair) -> None:
    connection, _ = pair()
    with socket.socket(fileno=os.dup(connection.fileno())) as same:
        assert same.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert same.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
    assert not os.get_blocking(connection.fileno())


def test_no_descriptor_left_is_an_error_and_the_connection_waits(
    open_acceptor: OpenAcceptor, connect: Connect, closing: ExitStack
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    connect(acceptor.address)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        with pytest.raises(OSError, match="Too many open files") as caught:
            acceptor.accept()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caught.value.errno == errno.EMFILE
    connection = acceptor.accept()
    assert connection is not None
    connection.close()


def test_a_connection_lost_in_the_backlog_does_not_hide_the_next_one(
    connect: Connect, closing: ExitStack
) -> None:
    class Listening(socket.socket):
        """Its first connection ends as accept(2) says some do; no kernel does so on demand."""

        lost = False

        def accept(self) -> tuple[socket.socket, object]:
            if not self.lost:
                self.lost = True
                raise OSError(errno.EPROTO, "Protocol error")
            return super().accept()

    listening = Listening()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    acceptor = SocketAcceptor(listening)
    closing.callback(acceptor.close)
    connect(acceptor.address)
    connection = acceptor.accept()
    assert connection is not None
    connection.close()
