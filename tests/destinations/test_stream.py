from collections.abc import Sequence

import pytest
import trio
import trio.testing

from relay.core.errors import DestinationDown
from relay.destinations import stream
from relay.destinations.session import STALLED_SECONDS
from relay.destinations.tcp import TcpDestination
from relay.system.ports import Unreachable
from relay.wire.frames import OutFraming, frame
from relay.wire.framing import Framer, FramingCounts
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.fakes import FakeConnection, FakeNetwork

MESSAGES = [b"<13>message %d %s" % (n, b"x" * n) for n in range(20)]


def tcp(framing: OutFraming = "octet") -> TcpDestination:
    return TcpDestination(
        type="tcp", address="siem.example.net:6514", framing=framing, confirm="sent"
    )


def whole(data: bytearray, framing: OutFraming = "octet") -> list[bytes]:
    """The messages whose frames are whole in what one connection carried."""
    framer = Framer(framing, 1 << 16, 1 << 20, FramingCounts())
    return framer.feed(bytes(data))


@pytest.mark.parametrize("framing", ["octet", "lf", "nul"])
async def test_every_framing_carries_the_messages_in_order(
    framing: OutFraming, make_rig: MakeRig
) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    async with rig.delivering(tcp(framing)):
        rig.put(*MESSAGES[:3])
        rig.put(*MESSAGES[3:])
        await rig.delivered()
        connection.end()
    assert connection.taken == frame(MESSAGES, framing).data
    assert rig.sent() == len(MESSAGES)
    assert rig.account.connections == 1


async def test_terminator_inside_a_message_does_not_end_its_frame(make_rig: MakeRig) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    rig.put(b"<13>one\ntwo")
    async with rig.delivering(tcp("lf")):
        await rig.delivered()
        connection.end()
    assert connection.taken == b"<13>one#012two\n"


async def test_partial_send_settles_whole_messages_only(make_rig: MakeRig) -> None:
    """The kernel takes two frames and a half: two are delivered, the rest is in hand."""
    framed = frame(MESSAGES, "octet")
    connection = FakeConnection(framed.end_of(2) + 5)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.testing.wait_all_tasks_blocked()
        assert rig.sent() == 2
        assert rig.channel.held().lent == len(MESSAGES) - 2
        connection.take(framed.end_of(3) - framed.end_of(2) - 6)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.sent() == 2
        connection.take(1)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.sent() == 3
        connection.take(None)
        await rig.delivered()
        connection.end()
    assert connection.taken == framed.data


async def test_end_by_peer_is_noticed_while_idle(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = FakeConnection(), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    async with rig.delivering(tcp()):
        await trio.testing.wait_all_tasks_blocked()
        assert rig.account.up
        first.end()
        await trio.testing.wait_all_tasks_blocked()
        assert not rig.account.up
        assert rig.account.down_reason == "connection closed by peer"
        assert first.half_closed
        assert first.closed
        rig.put(*MESSAGES)
        await rig.delivered()
        second.end()
    assert second.taken == frame(MESSAGES, "octet").data
    assert rig.account.retried == 0


@pytest.mark.parametrize("way", ["end", "reset"])
async def test_break_while_blocked_recalls_what_was_not_taken(
    way: str, make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """The next connection begins with the message that was cut, whole."""
    framed = frame(MESSAGES, "octet")
    first, second = FakeConnection(framed.end_of(4) + 3), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.testing.wait_all_tasks_blocked()
        getattr(first, way)()
        await rig.delivered()
        second.end()
    assert whole(first.taken) == MESSAGES[:4]
    assert second.taken == framed.data[framed.end_of(4) :]
    assert rig.account.retried == len(MESSAGES) - 4
    assert not first.half_closed, "there was a cut frame"


async def test_reset_is_told_as_such(make_rig: MakeRig) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    async with rig.delivering(tcp()):
        await trio.testing.wait_all_tasks_blocked()
        connection.reset()
        await trio.testing.wait_all_tasks_blocked()
        assert rig.account.down_reason == "connection reset by peer"


async def test_faults_leave_run_bare(make_rig: MakeRig) -> None:
    """No exception group: the delivery knows a destination that is down."""
    connection = FakeConnection()
    connection.reset()
    rig = make_rig(FakeNetwork(connection))
    with pytest.raises(DestinationDown, match="connection reset"), rig.channel.lease() as lease:
        await tcp().run(lease, rig.outlet, task_status=trio.TASK_STATUS_IGNORED)


async def test_what_the_peer_says_is_discarded(make_rig: MakeRig) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    async with rig.delivering(tcp()):
        connection.say(b"hello" * 100_000)
        rig.put(*MESSAGES)
        await rig.delivered()
        await trio.testing.wait_all_tasks_blocked()
        assert connection.receive(1) is None
        connection.end()
    assert rig.account.connections == 1


async def test_session_that_we_end_says_goodbye(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """FIN, then the peer's end is awaited, so that nothing it has not read is reset away."""
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, tcp())
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
            assert connection.half_closed
            assert not connection.closed
            connection.end()
    assert connection.closed


async def test_goodbye_to_a_deaf_peer_is_short(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    async with rig.delivering(tcp()):
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(stream.GOODBYE_SECONDS_MAX)
    assert connection.closed


async def test_stalled_peer_is_shown_and_never_cut(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    connection = FakeConnection(10)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.sleep(STALLED_SECONDS - 0.1)
        assert not rig.account.stalled
        await trio.sleep(1.2)
        assert rig.account.stalled
        await trio.sleep(86400)
        assert rig.account.stalled
        connection.take(1)
        await trio.testing.wait_all_tasks_blocked()
        assert not rig.account.stalled
        await trio.sleep(STALLED_SECONDS + 1.1)
        assert rig.account.stalled
        connection.take(None)
        await rig.delivered()
        assert not rig.account.stalled
        connection.end()
    assert rig.account.connections == 1


async def test_all_addresses_are_tried_in_order(make_rig: MakeRig) -> None:
    connection = FakeConnection()
    network = FakeNetwork(Unreachable("[2001:db8::9]:6514: No route to host"), connection)
    network.addresses = [("2001:db8::9", 6514), ("192.0.2.9", 6514)]
    rig = make_rig(network)
    rig.put(b"<13>hello")
    async with rig.delivering(tcp()):
        await rig.delivered()
        connection.end()
    assert network.tried == network.addresses
    assert rig.account.failures == 0


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (
            ["siem.example.net:6514: Connection refused"],
            "siem.example.net:6514: connection refused",
        ),
        (
            ["192.0.2.9:6514: Connection refused", "192.0.2.8:6514: No route to host"],
            "siem.example.net:6514: 192.0.2.9:6514: Connection refused; "
            "192.0.2.8:6514: No route to host",
        ),
    ],
)
async def test_reason_names_each_address(
    faults: Sequence[str], reason: str, make_rig: MakeRig
) -> None:
    network = FakeNetwork(*map(Unreachable, faults))
    network.addresses = [("192.0.2.9", 6514), ("192.0.2.8", 6514)][: len(faults)]
    assert await _down_reason(make_rig(network)) == reason


async def test_name_that_does_not_resolve_is_down(make_rig: MakeRig) -> None:
    network = FakeNetwork()
    network.failure = Unreachable("siem.example.net: Name or service not known")
    reason = await _down_reason(make_rig(network))
    assert reason == "siem.example.net:6514: name or service not known"


async def _down_reason(rig: Rig) -> str:
    with pytest.raises(DestinationDown) as down, rig.channel.lease() as lease:
        await tcp().run(lease, rig.outlet, task_status=trio.TASK_STATUS_IGNORED)
    return str(down.value)


@pytest.mark.parametrize("room", [0, 7, 100, 333, None])
@pytest.mark.parametrize("ticks", range(25))
async def test_cancelled_at_any_await_nothing_is_lost_or_sent_twice(
    ticks: int,
    room: int | None,
    make_rig: MakeRig,
    autojump_clock: trio.testing.MockClock,
) -> None:
    """What both connections carried whole is each message exactly once, in order."""
    first, second = FakeConnection(room), FakeConnection()
    rig = make_rig(FakeNetwork(first))
    rig.put(*MESSAGES[:7])
    rig.put(*MESSAGES[7:])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, tcp())
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
            first.take(30 if room is not None else None)
        nursery.cancel_scope.cancel()
    rig.check()
    network = rig.network
    assert isinstance(network, FakeNetwork)
    if first.closed:
        network.add(second)
    else:
        first, second = FakeConnection(), first
        second.take(None)
    async with rig.delivering(tcp()):
        await rig.delivered()
        second.end()
    assert whole(first.taken) + whole(second.taken) == MESSAGES
    assert rig.sent() == len(MESSAGES)
