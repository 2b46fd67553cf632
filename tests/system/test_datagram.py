import mmap
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
import trio.testing

from relay.system.datagram import SocketDatagramReceiver, SocketDatagramSender
from relay.system.ports import Endpoint
from relay.system.recvmmsg import SLOTS, DatagramSlots
from tests.system.conftest import Connect, OpenReceiver

MANY = (1000, 1 << 20)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_datagrams_come_in_order_with_their_senders(
    host: str, open_receiver: OpenReceiver, connect: Connect
) -> None:
    receiver = open_receiver(Endpoint("udp", f"{host}:0"))
    assert receiver.receive(*MANY) == ([], [])
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for message in (b"one", b"", b"three"):
        peer.send(message)
    await receiver.readable()
    assert receiver.receive(*MANY) == ([b"one", b"", b"three"], [host.strip("[]")] * 3)
    assert receiver.receive(*MANY) == ([], [])


async def test_unix_senders_are_local(
    tmp_path: Path, open_receiver: OpenReceiver, connect: Connect
) -> None:
    receiver = open_receiver(Endpoint("unix-datagram", str(tmp_path / "log")))
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for message in (b"one", b"", b"three"):
        peer.send(message)
    await receiver.readable()
    assert receiver.receive(*MANY) == ([b"one", b"", b"three"], ["local"] * 3)
    assert receiver.receive(*MANY) == ([], [])
    assert receiver.kernel_drops() == 0


@pytest.mark.parametrize("kind", ["udp", "unix-datagram"])
def test_a_turn_is_bounded_by_messages_and_by_octets(
    kind: str, tmp_path: Path, open_receiver: OpenReceiver, connect: Connect
) -> None:
    address = "127.0.0.1:0" if kind == "udp" else str(tmp_path / "log")
    receiver = open_receiver(Endpoint(kind, address))  # type: ignore[arg-type]
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for _ in range(8):
        peer.send(b"x" * 100)
    assert len(receiver.receive(3, 10_000)[0]) == 3
    # Over UDP the first four datagrams of a turn come together, whatever their length.
    assert len(receiver.receive(100, 201)[0]) == (4 if kind == "udp" else 3)
    assert len(receiver.receive(100, 200)[0]) == (1 if kind == "udp" else 2)


def test_a_turn_that_ends_just_below_its_octets_with_nothing_more_there(
    open_receiver: OpenReceiver, connect: Connect
) -> None:
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for _ in range(4):
        peer.send(b"x" * 60)
    assert len(receiver.receive(100, 260)[0]) == 4
    assert receiver.receive(100, 260) == ([], [])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_each_datagram_has_its_own_sender_s_address(host: str, open_receiver: OpenReceiver) -> None:
    receiver = open_receiver(Endpoint("udp", f"{host}:0"))
    _, _, port = receiver.address.rpartition(":")
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    sources = ["::1"] * 3 if "[" in host else ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    for _ in range(3):
        for source in sources:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.bind((source, 0))
                sock.sendto(b"x", (host.strip("[]"), int(port)))
    assert receiver.receive(100, 1 << 20)[1] == sources * 3


def test_datagrams_of_all_lengths_come_as_they_were_sent(
    open_receiver: OpenReceiver, connect: Connect
) -> None:
    """In several calls; also behind longer ones that have lain in the same places."""
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for most in (3000, 2049, 2048, 100):
        sent = [bytes([number % 251]) * (number * 97 % (most + 1)) for number in range(70)]
        for message in sent:
            peer.send(message)
        assert receiver.receive(*MANY)[0] == sent


def test_sockets_of_both_families_receive_in_turn(open_receiver: OpenReceiver) -> None:
    receivers = [open_receiver(Endpoint("udp", f"{host}:0")) for host in ("127.0.0.1", "[::1]")]
    for turn in range(3):
        for receiver, host in zip(receivers, ("127.0.0.1", "::1"), strict=True):
            _, _, port = receiver.address.rpartition(":")
            for _ in range(2):  # another port each time
                with socket.socket(receiver._family, socket.SOCK_DGRAM) as sock:
                    sock.sendto(b"%d" % turn, (host, int(port)))
            assert receiver.receive(*MANY) == ([b"%d" % turn] * 2, [host] * 2)


def test_the_largest_datagrams_are_not_cut(
    tmp_path: Path, open_receiver: OpenReceiver, connect: Connect
) -> None:
    over_udp = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    connect(over_udp.address, socket.SOCK_DGRAM).send(b"x" * 65507)
    over_unix = open_receiver(Endpoint("unix-datagram", str(tmp_path / "log")))
    connect(over_unix.address, socket.SOCK_DGRAM).send(b"x" * 150_000)
    assert [len(it) for it in over_udp.receive(*MANY)[0]] == [65507]
    assert [len(it) for it in over_unix.receive(*MANY)[0]] == [150_000]


def test_an_ipv4_sender_on_an_inherited_socket_of_both_families_is_ipv4(
    closing: ExitStack, connect: Connect
) -> None:
    sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    sock.bind(("::", 0))
    receiver = SocketDatagramReceiver(sock, shared=True)
    closing.callback(receiver.close)
    port = sock.getsockname()[1]
    connect(f"127.0.0.1:{port}", socket.SOCK_DGRAM).send(b"four")
    connect(f"[::1]:{port}", socket.SOCK_DGRAM).send(b"six")
    assert receiver.receive(*MANY) == ([b"four", b"six"], ["127.0.0.1", "::1"])


def test_pending_errors_are_swallowed(closing: ExitStack) -> None:
    """Connected, since only so an ICMP error gets back to us (udp(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = nobody.getsockname()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver = SocketDatagramReceiver(sock)
    closing.callback(receiver.close)
    sock.connect(gone)
    sock.send(b"anybody there?")
    assert receiver.receive(*MANY) == ([], [])


def test_use_after_close_is_a_bug(open_receiver: OpenReceiver) -> None:
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    receiver.close()
    receiver.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receiver.receive(*MANY)


def test_what_was_received_plus_what_the_kernel_dropped_is_what_was_sent(
    open_receiver: OpenReceiver, connect: Connect
) -> None:
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0", receive_buffer=4096))
    assert receiver.kernel_drops() == 0
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    received = 0
    for _ in range(5):
        for _ in range(200):
            peer.send(b"x" * 200)
        received += len(receiver.receive(*MANY)[0])
        assert received < 1000
        drops = receiver.kernel_drops()
        assert receiver.kernel_drops() == drops
    assert received + receiver.kernel_drops() == 1000
    assert receiver.new_kernel_drops() == receiver.kernel_drops()
    assert receiver.new_kernel_drops() == 0


def test_an_inherited_socket_counts_from_where_an_earlier_process_stopped(
    closing: ExitStack, connect: Connect
) -> None:
    sock = closing.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind(("127.0.0.1", 0))
    first = SocketDatagramReceiver(sock.dup(), shared=True)
    peer = connect(first.address, socket.SOCK_DGRAM)

    def overflow() -> None:
        for _ in range(100):
            peer.send(b"x" * 200)

    overflow()
    booked, raw, cookie = first.kernel_drops(), first.drops_raw(), first.cookie
    first.close()
    overflow()
    fresh = SocketDatagramReceiver(sock.dup(), shared=True)
    closing.callback(fresh.close)
    assert fresh.kernel_drops() == 0  # nothing is known of what came before
    second = SocketDatagramReceiver(sock.dup(), shared=True)
    closing.callback(second.close)
    assert second.cookie == cookie
    second.count_drops_from(raw)
    assert len(second.receive(*MANY)[0]) + booked + second.kernel_drops() == 200


def test_the_count_goes_on_where_the_kernels_wraps(closing: ExitStack, connect: Connect) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind(("127.0.0.1", 0))
    receiver = SocketDatagramReceiver(sock, shared=True)
    closing.callback(receiver.close)
    receiver.count_drops_from(2**32 - 7)
    peer = connect(receiver.address, socket.SOCK_DGRAM)
    for _ in range(100):
        peer.send(b"x" * 200)
    assert len(receiver.receive(*MANY)[0]) + receiver.kernel_drops() == 107


async def test_a_sender_waits_for_room(
    tmp_path: Path, open_receiver: OpenReceiver, closing: ExitStack
) -> None:
    receiver = open_receiver(Endpoint("unix-datagram", str(tmp_path / "log")))
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.connect(receiver.address)
    sender = SocketDatagramSender(sock)
    closing.callback(sender.close)
    sent = 0
    while sender.send(b"message"):
        sent += 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.writable)
        await trio.testing.wait_all_tasks_blocked()
        assert len(receiver.receive(*MANY)[0]) == sent
    assert sender.send(b"message")


def test_a_sender_learns_of_refusals_and_of_what_is_too_large(
    open_receiver: OpenReceiver, closing: ExitStack
) -> None:
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect(("127.0.0.1", int(receiver.address.rpartition(":")[2])))
    sender = SocketDatagramSender(sock)
    closing.callback(sender.close)
    assert not os.get_blocking(sender.fileno())
    with pytest.raises(OSError, match="too long"):
        sender.send(b"x" * 65508)
    receiver.close()
    assert sender.send(b"lost")
    with pytest.raises(ConnectionRefusedError):
        sender.send(b"not sent")


def test_slots_take_memory_only_where_datagrams_came(
    open_receiver: OpenReceiver, connect: Connect
) -> None:
    receiver = open_receiver(Endpoint("udp", "127.0.0.1:0"))
    before = _resident()
    slots = DatagramSlots()
    for _ in range(SLOTS):
        connect(receiver.address, socket.SOCK_DGRAM).send(b"a line")
    messages, *_ = slots.receive(receiver.fileno(), SLOTS, socket.AF_INET)
    assert messages == [b"a line"] * SLOTS
    assert _resident() - before < 1 << 20  # of 4 MiB


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE
