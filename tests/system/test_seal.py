"""What the kernel took before the seal is readable, what comes later is the sender's."""

import fcntl
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from relay.system import seal
from relay.system.datagram import SocketDatagramReceiver
from relay.system.ports import Endpoint
from relay.system.stream import SocketAcceptor, SocketConnection
from tests.system.conftest import Connect, OpenAcceptor, OpenReceiver

MANY = (1000, 1 << 20)

# Sends until the kernel says that nobody is there, which on loopback answers the datagram before.
UDP_FLOOD = """
import socket, sys
host, port = sys.argv[1].strip("[]"), int(sys.argv[2])
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((host, port))
sent = 0
try:
    while True:
        sock.send(b"x" * 100)
        sent += 1
except ConnectionRefusedError:
    print(sent - 1)
"""

# Sends until the peer's kernel has been silent for half a second; prints what that has.
TCP_FLOOD = """
import fcntl, socket, struct, sys, termios
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sock.settimeout(0.5)
sent = 0
try:
    while True:
        sent += sock.send(b"x" * 3000)
except TimeoutError:
    print(sent - struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
"""


# The same for a peer that closes: its kernel's last word before the reset counts.
TCP_FLOOD_TO_THE_END = """
import fcntl, socket, struct, sys, termios
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])))
sent = 0
try:
    while True:
        sent += sock.send(b"x" * 3000)
except OSError:
    print(sent - struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])
"""


def filters_tcp() -> bool:
    """Whether this kernel lets us put a filter on a TCP socket; some want CAP_NET_ADMIN."""
    with socket.socket() as probe:
        try:
            seal.drop_all(probe)
        except PermissionError:
            return False
    return True


needs_filter = pytest.mark.skipif(
    not filters_tcp(), reason="this kernel wants CAP_NET_ADMIN for a filter on TCP"
)


@contextmanager
def flood(story: str, address: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", story, *address.rsplit(":", 1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[str]) -> int:
    return int(process.communicate(timeout=20)[0])


def drain(receiver: SocketDatagramReceiver) -> int:
    count = 0
    while messages := receiver.receive(*MANY)[0]:
        count += len(messages)
    return count


def read_all(connection: SocketConnection) -> bytes:
    parts = []
    while part := connection.receive(1 << 18):
        parts.append(part)
    return b"".join(parts)


def unacknowledged(sock: socket.socket) -> int:
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0])


@pytest.mark.parametrize(
    ("listen", "to"),
    [
        ("127.0.0.1:0", "127.0.0.1"),
        ("0.0.0.0:0", "127.0.0.1"),
        ("[::1]:0", "[::1]"),
        ("[::]:0", "[::1]"),
    ],
)
def test_under_load_a_udp_socket_is_sealed_between_two_datagrams(
    listen: str, to: str, open_receiver: OpenReceiver
) -> None:
    receiver = open_receiver(Endpoint("udp", listen, receive_buffer=8192))
    port = receiver.address.rpartition(":")[2]
    received = 0
    with flood(UDP_FLOOD, f"{to}:{port}") as sender:
        while not (received and receiver.kernel_drops() > 1000):
            received += len(receiver.receive(*MANY)[0])
        receiver.seal()
        sent = answer(sender)
    received += drain(receiver)
    assert received + receiver.kernel_drops() == sent
    receiver.seal()
    assert receiver.address == f"{listen.rpartition(':')[0]}:{port}"


def test_where_a_udp_socket_cannot_be_hidden_a_filter_seals_it_uncounted(
    open_receiver: OpenReceiver, closing: ExitStack
) -> None:
    receiver = open_receiver(Endpoint("udp", "127.255.255.255:0"))  # loopback's broadcast address
    target = ("127.255.255.255", int(receiver.address.rpartition(":")[2]))
    peer = closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    peer.sendto(b"before", target)
    receiver.seal()
    receiver.seal()
    peer.sendto(b"after", target)
    assert receiver.receive(*MANY)[0] == [b"before"]
    assert receiver.kernel_drops() == 0
    assert receiver.drops_raw() == 1  # so a filter alone would give a wrong number


def test_a_unix_datagram_sender_is_told(
    tmp_path: Path, open_receiver: OpenReceiver, connect: Connect
) -> None:
    receiver = open_receiver(Endpoint("unix-datagram", str(tmp_path / "log")))
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    peer.send(b"before")
    receiver.seal()
    receiver.seal()
    with pytest.raises(BrokenPipeError):
        peer.send(b"after")
    assert receiver.receive(*MANY) == ([b"before"], ["local"])
    assert receiver.receive(*MANY) == ([], [])


@needs_filter
def test_a_tcp_connection_holds_what_it_acknowledged_and_acknowledges_no_more(
    open_acceptor: OpenAcceptor, connect: Connect, closing: ExitStack
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    peer = connect(acceptor.address)
    connection = acceptor.accept()
    assert connection is not None
    closing.callback(connection.close)
    peer.send(b"before")
    connection.seal()
    peer.send(b"after")
    peer.shutdown(socket.SHUT_WR)
    assert read_all(connection) == b"before"
    assert connection.receive(100) is None
    assert unacknowledged(peer) >= len(b"after")
    connection.close()
    assert unacknowledged(peer) >= len(b"after")


@needs_filter
def test_under_load_a_tcp_connection_is_sealed_to_the_octet(open_acceptor: OpenAcceptor) -> None:
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    with flood(TCP_FLOOD, acceptor.address) as sender:
        connection = None
        while connection is None:
            connection = acceptor.accept()
        received = 0
        while received < 10_000_000:
            received += len(connection.receive(1 << 18) or b"")
        connection.seal()
        received += len(read_all(connection))
        assert answer(sender) == received
        assert connection.receive(1) is None
        connection.close()


def test_a_unix_peer_of_a_sealed_connection_is_told(
    tmp_path: Path, open_acceptor: OpenAcceptor, connect: Connect
) -> None:
    acceptor = open_acceptor(Endpoint("unix-stream", str(tmp_path / "log")))
    peer = connect(acceptor.address)
    connection = acceptor.accept()
    assert connection is not None
    peer.send(b"before")
    connection.seal()
    with pytest.raises(BrokenPipeError):
        peer.send(b"after")
    assert read_all(connection) == b"before"
    assert connection.send([b"bye"]) == 3
    peer.close()
    connection.seal()
    connection.close()


@pytest.fixture
def accepted(closing: ExitStack) -> Callable[[SocketAcceptor], int]:
    def accepted(acceptor: SocketAcceptor) -> int:
        count = 0
        while connection := acceptor.accept():
            closing.callback(connection.close)
            count += 1
        return count

    return accepted


@needs_filter
def test_a_sealed_tcp_acceptor_yields_its_backlog_and_answers_nobody(
    open_acceptor: OpenAcceptor,
    connect: Connect,
    closing: ExitStack,
    accepted: Callable[[SocketAcceptor], int],
) -> None:
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    peers = [connect(acceptor.address) for _ in range(3)]
    acceptor.seal()
    late = closing.enter_context(socket.socket())
    late.settimeout(0.1)
    with pytest.raises(TimeoutError):
        late.connect(peers[0].getpeername())
    assert accepted(acceptor) == 3


def test_a_sealed_unix_acceptor_yields_its_backlog_and_refuses(
    tmp_path: Path,
    open_acceptor: OpenAcceptor,
    connect: Connect,
    accepted: Callable[[SocketAcceptor], int],
) -> None:
    acceptor = open_acceptor(Endpoint("unix-stream", str(tmp_path / "log")))
    for _ in range(3):
        connect(acceptor.address)
    acceptor.seal()
    acceptor.seal()
    with pytest.raises(ConnectionRefusedError):
        connect(acceptor.address)
    assert accepted(acceptor) == 3


@pytest.mark.parametrize("kind", ["udp", "unix-datagram"])
def test_a_sealed_receiver_that_is_shared_yields_what_it_held_and_leaves_the_socket_working(
    kind: str, tmp_path: Path, connect: Connect, closing: ExitStack
) -> None:
    family = socket.AF_INET if kind == "udp" else socket.AF_UNIX
    sock = closing.enter_context(socket.socket(family, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0) if kind == "udp" else str(tmp_path / "log"))
    first = SocketDatagramReceiver(sock.dup(), shared=True)
    closing.callback(first.close)
    peer = connect(first.address, socket.SOCK_DGRAM)
    peer.send(b"one")
    first.seal()
    first.seal()
    assert first.receive(*MANY)[0] == [b"one"]
    assert first.receive(*MANY)[0] == []
    peer.send(b"two")
    assert first.receive(*MANY)[0] == []
    first.close()
    second = SocketDatagramReceiver(sock.dup(), shared=True)
    closing.callback(second.close)
    assert second.receive(*MANY)[0] == [b"two"]


def test_a_sealed_receiver_that_is_shared_ends_although_more_keeps_coming(
    connect: Connect, closing: ExitStack
) -> None:
    sock = closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.bind(("127.0.0.1", 0))
    receiver = SocketDatagramReceiver(sock.dup(), shared=True)
    closing.callback(receiver.close)
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for _ in range(10):
        peer.send(b"held")
    receiver.seal()
    received: list[bytes] = []
    while messages := receiver.receive(1, 1000)[0]:
        received += messages
        peer.send(b"late")
    assert received[:10] == [b"held"] * 10
    assert len(received) < 40


def test_a_sealed_acceptor_that_is_shared_leaves_the_socket_working(
    connect: Connect, closing: ExitStack, accepted: Callable[[SocketAcceptor], int]
) -> None:
    sock = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
    first = SocketAcceptor(sock.dup(), shared=True)
    connect(first.address)
    first.seal()
    first.seal()
    assert accepted(first) == 1
    connect(first.address)
    assert accepted(first) == 0
    first.close()
    second = SocketAcceptor(sock.dup(), shared=True)
    assert second.shared
    assert accepted(second) == 1
    second.close()


def unprivileged(sock: socket.socket) -> None:
    raise PermissionError(1, "Operation not permitted")


def test_without_privileges_a_tcp_connection_is_sealed_to_the_octet_within_50_ms(
    open_acceptor: OpenAcceptor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "drop_all", unprivileged)
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    with flood(TCP_FLOOD_TO_THE_END, acceptor.address) as process:
        while (connection := acceptor.accept()) is None:
            time.sleep(0.001)
        octets = 0
        while octets < 20_000_000:
            octets += len(connection.receive(1 << 18) or b"")
        connection.seal()
        heard = time.monotonic()
        while time.monotonic() - heard < 0.05:
            if part := connection.receive(1 << 18):
                octets += len(part)
                heard = time.monotonic()
        connection.close()
        assert answer(process) == octets


def test_without_privileges_a_sealed_acceptor_yields_its_backlog(
    open_acceptor: OpenAcceptor, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "drop_all", unprivileged)
    acceptor = open_acceptor(Endpoint("tcp", "127.0.0.1:0"))
    for _ in range(5):
        connect(acceptor.address, socket.SOCK_STREAM)
    acceptor.seal()
    with ExitStack() as closing:
        for _ in range(5):
            connection = acceptor.accept()
            assert connection is not None
            closing.callback(connection.close)
        assert acceptor.accept() is None
