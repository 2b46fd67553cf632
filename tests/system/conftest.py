"""Opened sockets that are closed when the test ends, and a disk that is soon full."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from relay.system.address import split_host_port
from relay.system.datagram import SocketDatagramReceiver
from relay.system.ports import Endpoint
from relay.system.sockets import Opened, open_endpoint
from relay.system.stream import SocketAcceptor

Open = Callable[..., list[Opened]]
OpenReceiver = Callable[[Endpoint], SocketDatagramReceiver]
OpenAcceptor = Callable[[Endpoint], SocketAcceptor]
Connect = Callable[..., socket.socket]


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def open_all(closing: ExitStack) -> Open:
    def open_all(
        endpoint: Endpoint, inherited: Mapping[str, list[socket.socket]] | None = None
    ) -> list[Opened]:
        opened = open_endpoint(endpoint, inherited or {})
        for each in opened:
            closing.callback(each.close)
        return opened

    return open_all


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    mount = tmp_path / "small"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(mount)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")
    yield mount
    subprocess.run(["umount", "--lazy", str(mount)], check=True)


@pytest.fixture
def open_receiver(open_all: Open) -> OpenReceiver:
    def open_receiver(endpoint: Endpoint) -> SocketDatagramReceiver:
        [receiver] = open_all(endpoint)
        assert isinstance(receiver, SocketDatagramReceiver)
        return receiver

    return open_receiver


@pytest.fixture
def open_acceptor(open_all: Open) -> OpenAcceptor:
    def open_acceptor(endpoint: Endpoint) -> SocketAcceptor:
        [acceptor] = open_all(endpoint)
        assert isinstance(acceptor, SocketAcceptor)
        return acceptor

    return open_acceptor


@pytest.fixture
def connect(closing: ExitStack) -> Connect:
    """A peer's socket, blocking, connected to where a receiver or acceptor listens."""

    def connect(address: str, kind: socket.SocketKind = socket.SOCK_STREAM) -> socket.socket:
        if address.startswith("/"):
            peer = socket.socket(socket.AF_UNIX, kind)
            target: tuple[str, int] | str = address
        else:
            target = split_host_port(address)
            peer = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, kind)
        closing.enter_context(peer)
        peer.connect(target)
        return peer

    return connect
