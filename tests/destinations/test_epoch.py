"""`confirm = "epoch"`: a message is delivered when the peer has ended its connection after us."""

from collections.abc import Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from relay.core.lease import WINDOW_MESSAGES
from relay.destinations.session import STALLED_SECONDS
from relay.destinations.tcp import TcpDestination
from relay.system.ports import Unreachable
from relay.wire.frames import frame
from relay.wire.framing import Framer, FramingCounts
from tests.destinations.conftest import MakeRig
from tests.destinations.fakes import FakeConnection, FakeNetwork

MESSAGES = [b"<13>message %d %s" % (n, b"x" * n) for n in range(20)]
FRAMED = frame(MESSAGES, "octet")


class Honest(FakeConnection):
    """Its peer ends when it has read our end."""

    def half_close(self) -> bool:
        if not self.half_closed:
            self.end()
        return super().half_close()


def tcp(**keys: object) -> TcpDestination:
    return TcpDestination.model_validate(
        {"type": "tcp", "address": "siem.example.net:6514", "confirm": "epoch", **keys}
    )


def whole(*connections: FakeConnection) -> list[bytes]:
    return [
        message
        for connection in connections
        for message in Framer("octet", 1 << 16, 1 << 20, FramingCounts()).feed(
            bytes(connection.taken)
        )
    ]


async def test_the_end_of_the_peer_after_ours_confirms_all(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.sleep(4.9)
        assert not connection.half_closed
        await trio.sleep(0.2)
        assert connection.half_closed
        await trio.sleep(3)
        assert rig.confirmed() == 0
        assert rig.channel.held().lent == len(MESSAGES)
        connection.end()
        await rig.delivered()
        assert connection.closed
    assert connection.taken == FRAMED.data
    assert rig.confirmed() == len(MESSAGES)
    assert rig.account.epochs == 1
    assert rig.account.retried == rig.account.failures == 0


@pytest.mark.parametrize(
    ("keys", "size", "epochs"),
    [
        ({}, 100, 1),
        ({"epoch_bytes": "1KiB"}, 100, 10),  # of 11 frames each, put in one by one
        ({"epoch_bytes": "1KiB"}, 2000, 100),
        ({"epoch_bytes": "1MiB", "window": "4KiB"}, 100, 3),
    ],
)
async def test_an_epoch_ends_with_its_octets(
    keys: dict[str, str], size: int, epochs: int, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """Later ones have connections of their own, and nothing goes out of order between them."""
    connections = [Honest() for _ in range(101)]
    rig = make_rig(FakeNetwork(*connections))
    messages = [b"<13>%3d %s" % (n, b"x" * (size - 8)) for n in range(100)]
    async with rig.delivering(tcp(**keys)):
        for message in messages:
            rig.put(message)
            await wait_all_tasks_blocked()
        await rig.delivered()
        assert rig.account.up
    assert whole(*connections) == messages
    assert rig.account.epochs == epochs
    assert rig.account.connections == 1
    assert rig.account.failures == 0


async def test_a_full_window_ends_an_epoch(make_rig: MakeRig, autojump_clock: MockClock) -> None:
    first, second = Honest(), Honest()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*[b"<13>x"] * (WINDOW_MESSAGES + 1))
    async with rig.delivering(tcp(epoch_max="1h")):
        await trio.sleep(1)
        assert rig.confirmed() == WINDOW_MESSAGES
    assert rig.account.epochs == 2


async def test_nothing_is_sent_before_the_end_of_the_epoch_before(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """A peer that does not end is stalled, for as long as it takes, and is not cut."""
    first, second = FakeConnection(), Honest()
    network = FakeNetwork(first, second)
    rig = make_rig(network)
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.sleep(6)
        rig.put(b"<13>more")
        await trio.sleep(STALLED_SECONDS - 2)
        assert not rig.account.stalled
        await trio.sleep(3)
        assert rig.account.stalled
        await trio.sleep(3600)
        assert rig.account.up
        assert not first.closed
        assert len(network.tried) == 1
        first.end()
        await wait_all_tasks_blocked()
        assert not rig.account.stalled
        await rig.delivered()
    assert second.taken == b"8 <13>more"


async def test_an_idle_epoch_is_not_stalled_and_never_ends(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    async with rig.delivering(tcp()):
        await trio.sleep(86400)
        assert not connection.half_closed
        assert not rig.account.stalled
        connection.end()
        await trio.sleep(0.1)
    assert rig.account.down_reason == "connection closed by peer"
    assert rig.account.epochs == 0


@pytest.mark.parametrize("way", ["end", "reset"])
@pytest.mark.parametrize("finished", [False, True])
async def test_a_break_sends_the_whole_epoch_again(
    way: str, finished: bool, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """An end before ours proves nothing, nor does any with something unacknowledged."""
    first, second = FakeConnection(acknowledged=FRAMED.end_of(8)), Honest()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.sleep(5.5 if finished else 1)
        assert first.half_closed == finished
        getattr(first, way)()
        await trio.sleep(0.1)
        assert rig.account.failures == 1
        assert rig.account.down_reason == (
            "connection reset by peer" if way == "reset"
            else "connection closed by peer before it could confirm what it was sent"
        )  # fmt: skip
        await rig.delivered()
    assert second.taken == FRAMED.data
    assert rig.account.retried == len(MESSAGES)
    assert rig.confirmed() == len(MESSAGES)
    assert rig.account.in_doubt == 0


async def test_a_destination_that_goes_between_two_epochs_is_down(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    first, second = Honest(), Honest()
    rig = make_rig(FakeNetwork(first, Unreachable("192.0.2.9:514: Connection refused"), second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await rig.until(lambda: rig.account.failures)
        assert not rig.account.up
        assert rig.confirmed() == len(MESSAGES)
        await trio.sleep(2)
        assert rig.account.up
    assert rig.account.failures == 1
    assert rig.account.connections == 2


@pytest.mark.parametrize(
    ("room", "expected"), [(None, 20), (0, 0), (FRAMED.end_of(7), 7), (FRAMED.end_of(7) + 3, 7)]
)
async def test_a_session_that_we_end_is_an_epoch_as_well(
    room: int | None, expected: int, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = Honest(room)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await trio.sleep(0.1)
    assert connection.closed
    assert rig.confirmed() == expected
    assert rig.channel.held().memory == len(MESSAGES) - expected


@pytest.mark.parametrize("room", [0, 7, 100, 333, None])
@pytest.mark.parametrize("ticks", range(25))
@pytest.mark.parametrize("kind", [FakeConnection, Honest])
async def test_cancelled_at_any_await_what_was_confirmed_is_not_sent_again(
    kind: type[FakeConnection],
    ticks: int,
    room: int | None,
    make_rig: MakeRig,
    autojump_clock: MockClock,
) -> None:
    first = kind(room)
    others: list[FakeConnection] = [Honest(), Honest()]
    network = FakeNetwork(first)
    rig = make_rig(network)
    rig.put(*MESSAGES[:7])
    rig.put(*MESSAGES[7:])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, tcp())
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
            first.take(30 if room is not None else None)
        nursery.cancel_scope.cancel()
    rig.check()
    had: Sequence[bytes] = whole(first) if kind is Honest and first.closed else []
    assert rig.confirmed() == len(had)
    if first.closed:
        network.add(*others)
        async with rig.delivering(tcp()):
            await rig.delivered()
        assert [*had, *whole(*others)] == MESSAGES
