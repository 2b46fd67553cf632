import errno
import os

import pytest
import trio
import trio.testing

from relay.core.account import Drop
from relay.core.errors import DestinationDown
from relay.destinations.udp import UdpDestination
from relay.system.ports import Unreachable
from tests.destinations.conftest import MakeRig
from tests.destinations.fakes import FakeNetwork, FakeSender

MESSAGES = [b"<13>message %d" % n for n in range(20)]


def udp(address: str = "siem.example.net:514") -> UdpDestination:
    return UdpDestination(type="udp", address=address)


def error(number: int) -> OSError:
    return OSError(number, os.strerror(number))


async def test_messages_arrive_as_datagrams(make_rig: MakeRig) -> None:
    receiver = trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM)
    with receiver:
        await receiver.bind(("127.0.0.1", 0))
        rig = make_rig()
        rig.put(*MESSAGES)
        async with rig.delivering(udp(f"127.0.0.1:{receiver.getsockname()[1]}")):
            await rig.delivered()
        assert [await receiver.recv(2000) for _ in MESSAGES] == MESSAGES
    assert rig.sent() == len(MESSAGES)


async def test_icmp_errors_are_counted_and_no_drop(make_rig: MakeRig) -> None:
    """Nobody listens on the port: a send tells of the datagram before, and is repeated."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as closed:
        await closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(udp(f"127.0.0.1:{port}")):
        await rig.delivered()
    assert rig.sent() == len(MESSAGES)
    assert rig.account.network_errors == len(MESSAGES) - 1
    assert rig.account.failures == 0


async def test_second_icmp_error_on_one_message_is_down(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    refused = error(errno.ECONNREFUSED)
    first, second = FakeSender(True, refused, refused), FakeSender()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(udp()):
        await rig.delivered()
    assert first.sent + second.sent == MESSAGES
    assert rig.account.network_errors == 2
    assert rig.account.failures == 1
    assert first.closed


async def test_long_messages_are_cut_between_characters_and_counted(make_rig: MakeRig) -> None:
    sender = FakeSender()
    rig = make_rig(FakeNetwork(sender))
    long = b"<13>x" + "ä".encode() * 1000
    rig.put(b"<13>short", long, b"<13>" + b"y" * 1176)
    async with rig.delivering(udp()):
        await rig.delivered()
    assert [len(datagram) for datagram in sender.sent] == [9, 1179, 1180]
    assert long.startswith(sender.sent[1])
    sender.sent[1].decode()
    assert rig.account.truncated == 1
    assert rig.account.truncated_octets == 2005 - 1179


async def test_message_cut_twice_is_counted_once(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = FakeSender(True, error(errno.ENETUNREACH)), FakeSender()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(b"<13>" + b"x" * 1177, b"<13>" + b"y" * 1178)
    async with rig.delivering(udp()):
        await rig.delivered()
    assert rig.account.retried == 1
    assert rig.account.truncated == 2
    assert rig.account.truncated_octets == 3


async def test_too_large_for_the_kernel_costs_this_message_alone(make_rig: MakeRig) -> None:
    sender = FakeSender(True, True, error(errno.EMSGSIZE))
    rig = make_rig(FakeNetwork(sender))
    rig.put(*MESSAGES)
    async with rig.delivering(udp()):
        await rig.delivered()
    assert sender.sent == MESSAGES[:2] + MESSAGES[3:]
    assert rig.account.dropped[Drop.TOO_LARGE] == 1
    assert rig.account.failures == 0


async def test_any_other_error_is_down_with_its_text(make_rig: MakeRig) -> None:
    rig = make_rig(FakeNetwork(FakeSender(error(errno.ENETUNREACH))))
    rig.put(*MESSAGES)
    wrong = "^network is unreachable$"
    with pytest.raises(DestinationDown, match=wrong), rig.channel.lease() as lease:
        await udp().run(lease, rig.outlet, task_status=trio.TASK_STATUS_IGNORED)


async def test_sender_that_fails_at_once_is_not_up_again_each_time(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """A firewall's EPERM comes at the first send: the back-off grows all the same."""
    rig = make_rig(FakeNetwork(*(FakeSender(error(errno.EPERM)) for _ in range(5)), FakeSender()))
    rig.put(*MESSAGES)
    began = trio.current_time()
    async with rig.delivering(udp()):
        await rig.delivered(60)
    assert rig.account.connections == 1
    assert trio.current_time() - began > 0.8 * (1 + 2 + 4 + 8 + 16)


async def test_without_room_it_waits(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender(True, False, False, True, False)
    rig = make_rig(FakeNetwork(sender))
    rig.put(*MESSAGES)
    async with rig.delivering(udp()):
        await rig.delivered()
    assert sender.sent == MESSAGES


async def test_name_is_resolved_again(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    first, second, third = FakeSender(), FakeSender(), FakeSender()
    rig = make_rig(FakeNetwork(first, second, third))
    async with rig.delivering(udp()):
        rig.put(*MESSAGES[:5])
        await trio.sleep(59)
        rig.put(*MESSAGES[5:10])
        await trio.sleep(70)  # two look-ups, of which the last counts
        rig.put(*MESSAGES[10:])
        await rig.delivered()
    assert first.sent == MESSAGES[:10]
    assert second.sent == []
    assert third.sent == MESSAGES[10:]
    assert first.closed
    assert second.closed
    assert third.closed
    assert rig.account.connections == 1


async def test_idle_pipe_leaves_no_socket_open(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = FakeSender(), FakeSender()
    rig = make_rig(FakeNetwork(first, second))
    async with rig.delivering(udp()):
        await trio.sleep(61)
    assert first.closed
    assert second.closed


async def test_last_address_stays_in_use_while_the_name_does_not_resolve(
    make_rig: MakeRig,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    sender = FakeSender()
    network = FakeNetwork(sender)
    rig = make_rig(network)
    async with rig.delivering(udp()):
        await trio.testing.wait_all_tasks_blocked()
        network.failure = Unreachable("siem.example.net: Temporary failure in name resolution")
        await trio.sleep(600)
        rig.put(*MESSAGES)
        await rig.delivered()
    assert sender.sent == MESSAGES
    assert caplog.text.count("temporary failure in name resolution") == 1, "told once"


async def test_resolver_that_hangs_does_not_hold_the_messages(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    sender = FakeSender()
    rig = make_rig(FakeNetwork(sender))  # the second attempt gets no answer
    async with rig.delivering(udp()):
        await trio.sleep(100)
        rig.put(*MESSAGES)
        await rig.delivered()
    assert sender.sent == MESSAGES


@pytest.mark.parametrize("ticks", range(25))
async def test_cancelled_at_any_await_nothing_is_lost_or_sent_twice(
    ticks: int, make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    answers: list[bool | OSError] = [True, False, error(errno.ECONNREFUSED)]
    first = FakeSender(*answers * 10)
    second = FakeSender()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES[:7])
    rig.put(*MESSAGES[7:])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, udp())
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        nursery.cancel_scope.cancel()
    rig.check()
    async with rig.delivering(udp()):
        await rig.delivered()
    assert first.sent + second.sent == MESSAGES
    assert rig.sent() == len(MESSAGES)
