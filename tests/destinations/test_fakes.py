"""The fakes do what the real ports do, as far as the tests here rely on it."""

import contextlib
import os
import socket
from functools import partial
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system.net import SocketConnection
from relay.system.ports import Connection, ConnectionBroken, Disk
from tests.destinations.conftest import real_disk
from tests.destinations.fakes import FakeConnection, FakeDisk


class RealPeer:
    """Drives a real connection as the methods of `FakeConnection` drive the fake."""

    def __init__(self) -> None:
        ours, self.socket = socket.socketpair()
        self.connection = SocketConnection(ours, peer="local")

    def take(self) -> None:
        self.socket.setblocking(False)
        try:
            while self.socket.recv(1 << 20):
                pass
        except BlockingIOError:
            pass

    def say(self, data: bytes) -> None:
        self.socket.send(data)

    def end(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.close()  # with something unread: unix(7) gives ECONNRESET


class FakePeer:
    def __init__(self) -> None:
        self.connection = FakeConnection(100_000)

    def take(self) -> None:
        self.connection.take(100_000)

    def say(self, data: bytes) -> None:
        self.connection.say(data)

    def end(self) -> None:
        self.connection.end()

    def reset(self) -> None:
        self.connection.reset()


@pytest.mark.parametrize("kind", [RealPeer, FakePeer])
async def test_connections(kind: type[RealPeer] | type[FakePeer]) -> None:
    peer = kind()
    connection: Connection = peer.connection
    assert connection.receive(10) is None
    peer.say(b"hello")
    await connection.readable()
    assert connection.receive(3) == b"hel"
    assert connection.receive(3) == b"lo"
    assert connection.receive(3) is None

    piece = memoryview(b"x" * 65536)
    while connection.send([piece, piece]):
        pass
    with trio.move_on_after(0.01) as waiting:
        await connection.writable()
    assert waiting.cancelled_caught
    peer.take()
    await connection.writable()
    assert connection.send([piece])

    peer.end()
    await connection.readable()
    assert connection.receive(10) == b""
    assert connection.receive(10) == b""
    peer.reset()
    await connection.readable()
    await connection.writable()
    for call in partial(connection.receive, 10), partial(connection.send, [piece]):
        with contextlib.suppress(ConnectionBroken):  # told once, or as long as it is asked
            assert not call()
    with pytest.raises(ConnectionBroken):
        connection.send([piece])
    connection.half_close()
    connection.close()
    connection.close()


@pytest.mark.parametrize("kind", [real_disk, FakeDisk])
async def test_disks(kind: type[FakeDisk], tmp_path: Path) -> None:
    disk: Disk = kind()
    base = str(tmp_path)
    file = await disk.open_append(base, "all", mode=0o600)
    assert await file.append([b"one\n", b"two\n"]) == 8
    assert not await file.replaced()
    if isinstance(disk, FakeDisk):
        del disk.files["all"]
    else:
        os.unlink(tmp_path / "all")
    assert await file.replaced()
    with trio.CancelScope() as scope:
        scope.cancel()
        again = await disk.open_append(base, "all", mode=0o600)
        assert await again.append([b"three\n"]) == 6
        assert not await again.replaced()
        await again.close()
        await file.close()
    assert not scope.cancelled_caught, "a cancelled call runs to its end"
    if isinstance(disk, FakeDisk):
        assert disk.content("all") == b"three\n"
    else:
        assert (tmp_path / "all").read_bytes() == b"three\n"
