"""`confirm = "acked"`: a message is delivered when the peer's kernel has its last octet."""

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from relay.destinations import stream
from relay.destinations.session import STALLED_SECONDS
from relay.destinations.tcp import TcpDestination
from relay.wire.frames import frame
from relay.wire.framing import Framer, FramingCounts
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.fakes import FakeConnection, FakeNetwork

MESSAGES = [b"<13>message %d %s" % (n, b"x" * n) for n in range(20)]
FRAMED = frame(MESSAGES, "octet")
PIECE = 60_000  # octets that a slow reader's kernel has room for


def tcp(**keys: object) -> TcpDestination:
    return TcpDestination.model_validate(
        {"type": "tcp", "address": "siem.example.net:6514", "replay": 0, **keys}
    )


def whole(data: bytearray) -> list[bytes]:
    """The messages whose frames are whole in what one connection carried."""
    return Framer("octet", 1 << 16, 1 << 20, FramingCounts()).feed(bytes(data))


async def looked() -> None:
    """Longer than the longest pause between two looks."""
    await trio.sleep(0.06)


@pytest.mark.parametrize("octets", range(0, len(FRAMED.data), 7))
async def test_exactly_what_is_acknowledged_is_delivered(
    octets: int, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection(acknowledged=0)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES[:7])
    rig.put(*MESSAGES[7:])
    async with rig.delivering(tcp()):
        await looked()
        assert rig.acked() == 0
        assert rig.channel.held().lent == len(MESSAGES)
        connection.acknowledged = octets
        await looked()
        assert rig.acked() == FRAMED.complete(octets)
        assert rig.channel.held().lent == len(MESSAGES) - rig.acked()
        connection.acknowledged = len(FRAMED.data)
        await looked()
        assert rig.channel.is_empty
        connection.end()
    assert rig.account.retried == 0


async def test_a_partial_send_and_its_acknowledgement(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """Our kernel has two frames and a half, the peer's one and a half."""
    connection = FakeConnection(FRAMED.end_of(2) + 5, acknowledged=FRAMED.end_of(1) + 5)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await looked()
        assert rig.acked() == 1
        connection.take(None)
        connection.acknowledged = None
        await rig.delivered()
        connection.end()
    assert connection.taken == FRAMED.data
    assert rig.acked() == len(MESSAGES)


@pytest.mark.parametrize("octets", [0, 5, FRAMED.end_of(3), FRAMED.end_of(4) - 1, FRAMED.end_of(9)])
async def test_a_reset_settles_what_the_peer_had_and_sends_the_rest_again_whole(
    octets: int, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    first, second = FakeConnection(FRAMED.end_of(9) + 3, acknowledged=0), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await looked()
        first.acknowledged = octets  # which nobody has seen when the reset comes
        first.reset()
        await rig.delivered()
        second.end()
    had = FRAMED.complete(octets)
    assert whole(second.taken) == MESSAGES[had:]
    assert rig.account.retried == len(MESSAGES) - had
    assert rig.account.in_doubt == had
    assert rig.acked() == len(MESSAGES)
    assert not first.half_closed


async def test_the_tail_comes_again_before_the_rest_after_a_reset(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """Six messages were acknowledged; the tail has room for the last two or so of them."""
    first, second = FakeConnection(acknowledged=FRAMED.end_of(6)), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    for message in MESSAGES:
        rig.put(message)
    async with rig.delivering(tcp(replay=len(MESSAGES[5]) + 1)):
        await looked()
        assert rig.acked() == 6
        first.reset()
        await rig.delivered()
        second.end()
    assert whole(second.taken) == MESSAGES[4:]
    assert rig.account.replayed == 2
    assert rig.account.in_doubt == 4
    assert rig.account.retried == len(MESSAGES) - 6
    assert rig.acked() == len(MESSAGES), "what comes again is not counted again"


async def test_what_comes_again_may_break_again(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    first, second = FakeConnection(), FakeConnection(acknowledged=FRAMED.end_of(2))
    third = FakeConnection()
    rig = make_rig(FakeNetwork(first, second, third))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp(replay="1MiB")):
        await rig.delivered()
        first.reset()
        await rig.until(lambda: second.taken == FRAMED.data)
        second.reset()
        await rig.until(lambda: third.taken == FRAMED.data)
        await looked()
        third.end()
    assert rig.account.replayed == 2 * len(MESSAGES)
    assert rig.account.in_doubt == 0
    assert rig.acked() == len(MESSAGES)


@pytest.mark.parametrize("unclean", [False, True])
async def test_after_a_clean_end_nothing_comes_again(
    unclean: bool, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """The peer has ended with everything acknowledged: a reset of the next changes nothing."""
    first, second, third = FakeConnection(), FakeConnection(), FakeConnection()
    rig = make_rig(FakeNetwork(first, second, third))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp(replay="1MiB")):
        await rig.delivered()
        first.end()
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason == "connection closed by peer"
        assert first.half_closed
        rig.put(b"<13>more")
        await rig.delivered()
        if unclean:
            second.reset()
            await rig.until(lambda: third.taken)
            third.end()
    assert whole(second.taken) == [b"<13>more"]
    assert whole(third.taken) == ([b"<13>more"] if unclean else [])
    assert rig.account.replayed == unclean


async def test_acknowledgements_are_taken_for_a_while_after_the_peers_end(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    first, second = FakeConnection(acknowledged=0), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await looked()
        first.end()
        await trio.sleep(1)
        assert first.half_closed
        assert not first.closed
        first.acknowledged = FRAMED.end_of(12)
        await trio.sleep(3.8)
        assert not first.closed
        assert rig.account.up
        await trio.sleep(0.3)
        assert first.closed
        await rig.delivered()
        second.end()
    assert whole(second.taken) == MESSAGES[12:]
    assert rig.account.retried == len(MESSAGES) - 12
    assert rig.account.in_doubt == 0


async def test_all_acknowledged_after_the_peers_end_is_the_end_at_once(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """Our FIN counts as one octet, and may stay unacknowledged."""
    first = FakeConnection(acknowledged=0)
    rig = make_rig(FakeNetwork(first))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await looked()
        first.end()
        await looked()
        first.acknowledged = len(FRAMED.data)
        await looked()
        assert first.closed
        assert rig.acked() == len(MESSAGES)
    assert rig.account.retried == 0


async def test_a_reset_after_the_peers_end_is_no_clean_end(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    first, second = FakeConnection(acknowledged=FRAMED.end_of(6)), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp(replay="1MiB")):
        await looked()
        first.end()
        await looked()
        first.reset()
        await looked()
        assert rig.account.down_reason == "connection reset by peer"
        await rig.delivered()
        second.end()
    assert whole(second.taken) == MESSAGES
    assert rig.account.replayed == 6


async def test_an_end_that_comes_with_a_message_is_seen_before_it_is_sent(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """After a pause; otherwise the answer to that message would be a reset."""
    first, second = FakeConnection(), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    async with rig.delivering(tcp()):
        await trio.sleep(1)
        rig.put(*MESSAGES)
        first.end()
        await rig.delivered()
        second.end()
    assert not first.taken
    assert whole(second.taken) == MESSAGES


@pytest.mark.parametrize("confirm", ["sent", "acked"])
async def test_an_early_end_means_nothing_with_half_close(
    confirm: str, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection, second = FakeConnection(), FakeConnection()
    rig = make_rig(FakeNetwork(connection, second))
    async with rig.delivering(tcp(confirm=confirm, half_close=True)):
        connection.end()
        await trio.sleep(1)
        rig.put(*MESSAGES[:10])
        await rig.delivered()
        assert rig.account.up
        connection.reset()
        await trio.sleep(3)
        rig.put(*MESSAGES[10:])
        await rig.delivered()
        second.end()
    assert connection.taken == frame(MESSAGES[:10], "octet").data
    assert whole(second.taken) == MESSAGES[10:]
    assert rig.account.in_doubt == 10


@pytest.mark.parametrize("confirm", ["sent", "acked", "epoch"])
async def test_a_dead_peer_is_left(
    confirm: str, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """It has acknowledged a part and then says nothing, whatever our kernel repeats."""
    first, second = FakeConnection(acknowledged=FRAMED.end_of(5)), FakeConnection()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp(confirm=confirm, dead_after="20s")):
        began = trio.current_time()
        await looked()
        while not rig.account.failures:
            first.silent = trio.current_time() - began
            assert not rig.account.stalled
            await trio.sleep(0.5)
        assert 20 <= trio.current_time() - began <= 23
        assert rig.account.down_reason == "peer is dead: its kernel has not answered for 20 s"
        assert first.closed
        if confirm == "epoch":
            await rig.until(lambda: second.half_closed)
        else:
            await rig.delivered()
        second.end()
    if confirm != "sent":
        assert whole(second.taken) == MESSAGES[5 if confirm == "acked" else 0 :]
    assert rig.account.in_doubt == {"sent": 20, "acked": 5, "epoch": 0}[confirm]


@pytest.mark.parametrize("confirm", ["sent", "acked", "epoch"])
async def test_a_stalled_peer_is_shown_and_never_cut(
    confirm: str, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """Its kernel answers every window probe, for an hour."""
    connection = FakeConnection(50, acknowledged=50)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp(confirm=confirm)):
        await trio.sleep(STALLED_SECONDS - 0.1)
        assert not rig.account.stalled
        await trio.sleep(2)
        assert rig.account.stalled
        for _ in range(60):
            connection.silent = 59.0
            await trio.sleep(1.5)
            connection.silent = 0.0
            await trio.sleep(58.5)
        assert rig.account.stalled
        connection.take(None)
        connection.acknowledged = None
        if confirm == "epoch":
            await rig.until(lambda: connection.half_closed)
        else:
            await rig.delivered()
        assert not rig.account.stalled
        connection.end()
        await rig.delivered()
    assert rig.account.retried == 0


class Slow(FakeConnection):
    """Its peer's kernel has room for a piece, and acknowledges what is read; it ends after us."""

    def __init__(self) -> None:
        super().__init__(PIECE, acknowledged=0)

    def read(self) -> None:
        self.acknowledged = len(self.taken) + self.half_closed
        if self.half_closed:
            self.end()
        else:
            self.take(PIECE - (self.room or 0))


async def read_slowly(connections: Sequence[Slow]) -> None:
    """20 kB a second, one connection after the other."""
    for connection in connections:
        while not connection.half_closed:
            await trio.sleep(3)
            connection.read()


@pytest.mark.parametrize("confirm", ["sent", "acked", "epoch"])
async def test_a_slow_reader_is_neither_stalled_nor_cut(
    confirm: str, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """20 kB a second for an hour, acknowledged every three seconds."""
    connections = [Slow() for _ in range(200)]
    rig = make_rig(FakeNetwork(*connections))
    messages = [b"<13>%d %s" % (n, b"x" * 60_000) for n in range(1200)]
    for message in messages:
        rig.put(message)
    async with trio.open_nursery() as nursery, rig.delivering(tcp(confirm=confirm)):
        nursery.start_soon(read_slowly, connections)
        while not rig.channel.is_empty:
            await trio.sleep(0.7)
            assert not rig.account.stalled
            assert not rig.account.failures
            assert rig.channel.held().lent <= 1 + ((4 << 20) + (256 << 10)) // PIECE
        took = trio.current_time()
        nursery.cancel_scope.cancel()
    assert took >= 3590
    assert [it for connection in connections for it in whole(connection.taken)] == messages
    assert (rig.account.connections, rig.account.retried) == (1, 0)
    assert (rig.account.epochs > 50) == (confirm == "epoch")


async def test_no_more_than_the_window_is_on_its_way(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection(acknowledged=0)
    rig = make_rig(FakeNetwork(connection))
    message = b"<13>" + b"x" * 1000
    for _ in range(100):
        rig.put(message)
        rig.put(message)
    async with rig.delivering(tcp(window="4KiB")):
        await looked()
        sent = len(connection.taken)
        assert sent >= 4096
        rig.put(*[message] * 100)
        await looked()
        assert len(connection.taken) == sent
        connection.acknowledged = None
        await rig.delivered()
        connection.end()


async def test_nothing_is_looked_at_while_nothing_is_on_its_way(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await rig.delivered()
        await looked()
        looks = connection.looks
        await trio.sleep(3600)
        assert connection.looks == looks
        connection.acknowledged = len(connection.taken)
        rig.put(b"<13>more")
        await trio.sleep(10)
        assert connection.looks - looks <= 10 + 10 / 0.05
        connection.end()


async def test_a_session_that_we_end_settles_what_is_acknowledged_until_then(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection(acknowledged=0)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, tcp())
        await looked()
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
            assert connection.half_closed
            assert not connection.closed
            connection.acknowledged = FRAMED.end_of(15)
            connection.end()
    assert connection.closed
    assert rig.acked() == 15
    assert rig.channel.held().memory == 5


async def test_goodbye_to_a_deaf_peer_is_short(
    make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection(acknowledged=0)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await looked()
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(stream.GOODBYE_SECONDS_MAX)


@pytest.mark.parametrize("ends", [True, False])
async def test_what_a_peer_has_that_does_not_end_when_we_do_is_in_doubt(
    ends: bool, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    """Its kernel has it all. Whether it was read shows only in the peer's end after ours."""
    connection = FakeConnection()
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp()):
        await rig.delivered()
        if ends:
            connection.end()
    assert rig.account.in_doubt == (0 if ends else len(MESSAGES))


@pytest.mark.parametrize("room", [0, 7, 100, 333, None])
@pytest.mark.parametrize("ticks", range(25))
@pytest.mark.parametrize("acknowledged", [None, 0, 60, 120])
async def test_cancelled_at_any_await_what_was_acknowledged_is_not_sent_again(
    ticks: int,
    room: int | None,
    acknowledged: int | None,
    make_rig: MakeRig,
    autojump_clock: MockClock,
) -> None:
    """What one connection's peer has, and all that the other carries, is every message once."""
    first, second = FakeConnection(room, acknowledged=acknowledged), FakeConnection()
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
    had = _had(first)
    assert rig.acked() == len(had)
    network.add(second)
    if not first.closed:
        first.acknowledged = None
        first.take(None)
    async with rig.delivering(tcp()):
        await rig.delivered()
        second.end()
        first.end()
    carried = whole(second.taken) if first.closed and second.taken else whole(first.taken)
    assert (had + carried if second.taken else carried) == MESSAGES


def _had(connection: FakeConnection) -> list[bytes]:
    octets = connection.acknowledged
    return whole(connection.taken if octets is None else connection.taken[:octets])


Way = Callable[[FakeConnection], None]


@pytest.mark.parametrize("way", [FakeConnection.end, FakeConnection.reset])
async def test_with_sent_what_our_kernel_had_is_in_doubt_after_a_reset_only(
    way: Way, make_rig: MakeRig, autojump_clock: MockClock
) -> None:
    connection = FakeConnection(acknowledged=0)
    rig: Rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(tcp(confirm="sent")):
        await rig.delivered()
        way(connection)
        await rig.until(lambda: rig.account.failures)
    assert rig.sent() == len(MESSAGES)
    assert rig.account.in_doubt == (len(MESSAGES) if way is FakeConnection.reset else 0)
