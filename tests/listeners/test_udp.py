"""The udp listener on real sockets."""

import socket

import pytest
import trio
from pydantic import ValidationError

from relay.core.account import Refusal
from relay.listeners.udp import UdpListener
from tests.core.parts import waiting
from tests.listeners.conftest import Rig

STAMPED = b"<13>Nov 23 07:45:25 web01 app: "


def udp(*listen: str, receive_buffer: int = 1 << 20) -> UdpListener:
    return UdpListener.model_validate(
        {"type": "udp", "listen": list(listen), "receive_buffer": receive_buffer}
    )


def sender(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.connect((host.strip("[]"), int(port)))
    return sock


async def test_datagrams_of_both_families_and_several_addresses_arrive(rig: Rig) -> None:
    listener = udp("127.0.0.1:0", "127.0.0.1:0", "[::1]:0")
    async with rig.running(listener):
        for number, bound in enumerate(rig.sockets):
            with sender(bound.address) as sock:
                sock.send(STAMPED + b"%d" % number)
        assert sorted(await rig.texts(3)) == [b"0", b"1", b"2"]
        (first, *_) = [batch.senders for batch in waiting(rig.channel)]
        assert set(first) <= {"127.0.0.1", "::1"}


async def test_dual_stack_is_a_socket_for_each_family(rig: Rig) -> None:
    listener = udp("*:0")
    rig.open(listener.endpoints())
    families = [bound.address.startswith("[") for bound in rig.sockets]
    assert families == [False, True]
    async with rig.running(listener):
        pass


async def test_terminators_at_the_end_of_a_datagram_are_not_part_of_the_message(rig: Rig) -> None:
    async with rig.running(udp("127.0.0.1:0")):
        with sender(rig.sockets[0].address) as sock:
            for end in (b"", b"\n", b"\0", b"\n\0", b"\r\n"):
                sock.send(STAMPED + b"x" + end)
        assert await rig.texts(5) == [b"x"] * 5
    assert rig.account.received_octets == 5 * len(STAMPED + b"x") + 6


async def test_an_empty_datagram_is_refused_and_counted(rig: Rig) -> None:
    async with rig.running(udp("127.0.0.1:0")):
        with sender(rig.sockets[0].address) as sock:
            sock.send(b"")
            sock.send(b"\n")
            sock.send(STAMPED + b"after")
        assert await rig.texts(1) == [b"after"]
    assert rig.account.refused[Refusal.EMPTY] == 2
    assert (rig.account.received, rig.account.accepted) == (3, 1)


async def test_a_datagram_beyond_message_max_is_cut_and_counted(rig: Rig) -> None:
    listener = UdpListener.model_validate(
        {"type": "udp", "listen": ["127.0.0.1:0"], "message_max": 8192}
    )
    async with rig.running(listener):
        with sender(rig.sockets[0].address) as sock:
            sock.send(STAMPED + b"y" * 9000)
        await rig.texts(1)
    assert len(rig.held()[0]) == 8192
    assert rig.account.truncated == 1
    assert rig.account.truncated_octets == len(STAMPED) + 9000 - 8192


async def test_what_is_missing_in_the_header_goes_in_front(rig: Rig) -> None:
    async with rig.running(udp("127.0.0.1:0")):
        with sender(rig.sockets[0].address) as sock:
            sock.send(b"no header")
        await rig.texts(1)
    message = rig.held()[0]
    assert message.startswith(b"<13>2")
    assert message.endswith(b"Z 127.0.0.1 no header")
    assert rig.account.invalid_headers == 1


async def test_received_and_kernel_drops_are_what_was_sent(rig: Rig) -> None:
    """Nobody reads while the datagrams come, and the receive buffer is small."""
    sent = 2000
    listener = udp("127.0.0.1:0", receive_buffer=8192)
    rig.open(listener.endpoints())
    with sender(rig.sockets[0].address) as sock:
        for number in range(sent):
            sock.send(STAMPED + b"%d" % number)
    async with rig.running(listener):
        rig.account.refresh()
        assert rig.account.kernel_dropped > 0
    assert rig.account.received + rig.account.kernel_dropped == sent
    notices = rig.ledger.losses.due(0)
    assert notices == [f"dropped {rig.account.kernel_dropped} messages to listener in: kernel"]


async def test_kernel_drops_are_booked_once_over_restarts(rig: Rig) -> None:
    """The socket outlives the run of its listener, as in a reload; so does its count."""
    listener = udp("127.0.0.1:0", receive_buffer=8192)
    rig.open(listener.endpoints())
    with sender(rig.sockets[0].address) as sock:
        for _ in range(500):
            sock.send(STAMPED)
        intake = rig.intake(listener)
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await listener.run(rig.sockets, intake, task_status=task_status)

            await nursery.start(run)
            await rig.texts(1)
            nursery.cancel_scope.cancel()
        async with rig.running(listener):
            pass
    assert rig.account.received + rig.account.kernel_dropped == 500


async def test_the_stop_reads_what_the_kernel_holds_and_nothing_later(rig: Rig) -> None:
    listener = udp("127.0.0.1:0")
    rig.open(listener.endpoints())
    with sender(rig.sockets[0].address) as sock:
        for number in range(300):
            sock.send(STAMPED + b"%d" % number)
        async with rig.running(listener):
            pass
        sock.send(STAMPED + b"late")
    assert [m.rsplit(b" ", 1)[-1] for m in rig.held()] == [b"%d" % n for n in range(300)]
    assert rig.account.kernel_dropped == 0


@pytest.mark.parametrize("listen", [[], "127.0.0.1:5514", ["nonsense"], ["127.0.0.1:99999"]])
def test_bad_addresses_are_errors(listen: object) -> None:
    with pytest.raises(ValidationError):
        UdpListener.model_validate({"type": "udp", "listen": listen})
