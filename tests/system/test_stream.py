import errno
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system.descriptors import Descriptors
from relay.system.ports import ConnectionBroken, Endpoint
from relay.system.stream import SocketAcceptor, SocketConnection
from tests.scenarios.harness.link import impossible, linked
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
    with pytest.raises(ConnectionBroken, match="reset by peer"):
        connection.send([b"late"])
    assert connection.unacknowledged() == 0
    assert not connection.half_close()
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


def test_our_end_counts_as_one_octet_until_it_is_acknowledged(pair: Pair) -> None:
    connection, peer = pair()
    while connection.send([b"x" * 65536]):
        pass
    held = connection.unacknowledged()
    assert held
    assert connection.half_close()
    assert connection.unacknowledged() == held + 1
    while peer.recv(1 << 20):
        pass
    peer.close()
    while connection.unacknowledged():
        pass
    assert connection.silent_seconds() == 0
    assert connection.receive(1) == b""


def test_what_a_reset_peer_did_not_have_stays_known(pair: Pair) -> None:
    connection, peer = pair()
    while connection.send([b"x" * 65536]):
        pass
    held = connection.unacknowledged()
    peer.close()  # with something unread: a reset
    with pytest.raises(ConnectionBroken, match="reset by peer"):
        connection.silent_seconds()
    assert connection.unacknowledged() == held
    assert not connection.half_close()
    assert connection.unacknowledged() == held


def test_a_reset_after_the_peers_end_is_told_although_reading_hides_it(pair: Pair) -> None:
    connection, peer = pair()
    peer.close()
    assert connection.receive(1) == b""
    connection.send([b"x" * 100])
    assert connection.receive(1) == b""
    with pytest.raises(ConnectionBroken, match="reset by peer"):
        connection.silent_seconds()
    assert connection.unacknowledged() == 100


@KINDS
def test_an_idle_peer_is_not_silent(kind: str, pair: Pair) -> None:
    connection, _ = pair(kind)
    assert connection.silent_seconds() == 0
    connection.send([b"x"])
    assert connection.silent_seconds() == 0


async def test_the_kernel_of_a_peer_that_does_not_read_answers(pair: Pair) -> None:
    """Window probes are asked, and answered: silence is over soon after it has begun."""
    connection, _ = pair()
    while connection.send([b"x" * 65536]):
        pass
    with trio.fail_after(10):
        while not connection.silent_seconds():
            await trio.sleep(0.01)
        while connection.silent_seconds():
            await trio.sleep(0.01)


@pytest.mark.skipif(impossible() != "", reason=impossible())
async def test_the_kernel_of_a_peer_behind_a_dead_link_does_not(closing: ExitStack) -> None:
    link = closing.enter_context(linked())
    acceptor = SocketAcceptor(socket.create_server((link.near, 0)))
    closing.callback(acceptor.close)
    host, port = acceptor.address.split(":")
    code = f"import socket; socket.create_connection(({host!r}, {port})).recv(1)"
    peer = closing.enter_context(subprocess.Popen([*link.launcher, sys.executable, "-c", code]))
    with trio.fail_after(30):
        while not (connection := acceptor.accept()):
            await trio.sleep(0.01)
    closing.callback(connection.close)
    assert connection.silent_seconds() == 0
    link.cut()
    connection.send([b"x" * 1000])
    silent = 0.0
    with trio.fail_after(30):
        while silent < 1.5:
            await trio.sleep(0.1)
            before, silent = silent, connection.silent_seconds()
            assert silent >= before
    assert connection.unacknowledged() == 1000
    peer.kill()


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


class Failing(socket.socket):
    """A listening socket whose accept(2) fails."""

    error = errno.ECONNABORTED
    asked = 0

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        *((error, 64) for error in (errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN)),
        *((error, 1) for error in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)),
        (errno.EPERM, 1),  # a rule of the host forbids it, and the connection stays where it is
    ],
)
def test_an_accept_that_goes_on_failing_ends(
    error: int, asked: int, closing: ExitStack, connect: Connect
) -> None:
    """Whoever accepts has something else to do, too."""
    listening = Failing()
    listening.error = error
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    acceptor = SocketAcceptor(listening)
    closing.callback(acceptor.close)
    assert acceptor.accept() is None  # nobody waits: there is nothing to complain about
    connect(acceptor.address)
    listening.asked = 0
    with pytest.raises(OSError, match=os.strerror(error)):
        acceptor.accept()
    assert listening.asked == asked


def test_a_connection_counts_until_it_is_closed(closing: ExitStack, connect: Connect) -> None:
    descriptors = Descriptors()
    acceptor = SocketAcceptor(socket.create_server(("127.0.0.1", 0)), descriptors=descriptors)
    closing.callback(acceptor.close)
    connect(acceptor.address)
    connection = acceptor.accept()
    assert connection is not None
    assert descriptors.connections == 1
    connection.close()
    connection.close()
    assert descriptors.connections == 0


@KINDS
@pytest.mark.parametrize("unread", [b"", b"unread"])
@pytest.mark.parametrize("way", ["end", "close"])
def test_a_peer_that_hung_up_is_seen_behind_what_is_not_read(
    way: str, unread: bytes, kind: str, pair: Pair
) -> None:
    connection, peer = pair(kind)
    peer.send(unread)
    assert not connection.hung_up()
    if way == "end":
        peer.shutdown(socket.SHUT_WR)
    else:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
    assert connection.hung_up()
