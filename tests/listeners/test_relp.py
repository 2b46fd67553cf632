"""The relp listener on real sockets, with senders that know the protocol and some that do not."""

import resource
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing
from pydantic import ValidationError

from relay.core.account import Confirmation, ConnectionRefusal, Drop, Refusal
from relay.core.backlog import Backlog
from relay.core.bounds import Bounds, Overflow
from relay.core.intake import Intake
from relay.core.lease import Lease
from relay.core.pipe import Pipe
from relay.listeners import answering, reader
from relay.listeners.relp import RelpListener
from relay.wire.relp.client import ClientSession
from relay.wire.relp.frame import encode_messages
from tests.listeners.conftest import Rig

STAMPED = b"<13>Nov 23 07:45:25 web01 app: "
BLOCK = Bounds(1 << 20, 1 << 30, "block")
OPENING = ClientSession().opening()


def relp(**keys: object) -> RelpListener:
    return RelpListener.model_validate({"type": "relp", "listen": ["127.0.0.1:0"], **keys})


def numbered(count: int, start: int = 0) -> list[bytes]:
    return [STAMPED + b"%d" % number for number in range(start, start + count)]


@dataclass
class Client:
    stream: trio.SocketStream
    session: ClientSession = field(default_factory=ClientSession)
    confirmed: int = 0
    ended: bool = False  # the listener closed, by FIN or reset

    async def open(self) -> None:
        await self.stream.send_all(self.session.opening())
        while self.session.state == "opening":
            await self.hear()

    async def send(self, *messages: bytes) -> None:
        await self.stream.send_all(self.session.frames(messages))

    async def hear(self) -> None:
        assert not self.ended
        try:
            data = bytes(await self.stream.receive_some(1 << 16))
        except trio.BrokenResourceError:
            data = b""
        self.ended = not data
        self.confirmed += self.session.feed(data)

    async def until_confirmed(self, messages: int) -> None:
        with trio.fail_after(10):
            while self.confirmed < messages:
                await self.hear()
        assert self.confirmed == messages

    async def until_ended(self) -> None:
        with trio.fail_after(10):
            while not self.ended:
                await self.hear()

    async def hears_nothing(self) -> None:
        """For as long as the listener has anything to do."""
        with trio.move_on_after(0.05):
            await self.hear()
            raise AssertionError(f"{self.confirmed} confirmed, ended: {self.ended}")


@asynccontextmanager
async def connected(rig: Rig) -> AsyncIterator[Client]:
    """A client that has not opened its session."""
    host, _, port = rig.sockets[0].address.rpartition(":")
    async with await trio.open_tcp_stream(host, int(port)) as stream:
        yield Client(stream)


@asynccontextmanager
async def opened(rig: Rig) -> AsyncIterator[Client]:
    async with connected(rig) as client:
        await client.open()
        yield client


async def until(condition: object) -> None:
    assert callable(condition)
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.002)


async def deliver(lease: Lease, messages: int) -> None:
    """Deliver so many."""
    while messages:
        for batch in await lease.lend(messages):
            lease.settle(len(batch), Confirmation.SENT)
            messages -= len(batch)


# -- answers


async def test_a_pipe_that_does_not_keep_does_not_delay_the_yes(rig: Rig) -> None:
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(500))
        await client.until_confirmed(500)
    assert rig.held() == numbered(500)
    assert rig.account.frames.octet == 500


async def test_who_keeps_has_delivered_before_the_sender_hears_yes(rig: Rig) -> None:
    rig.channel.bound(BLOCK)
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(3))
        await until(lambda: rig.account.accepted == 3)
        await client.hears_nothing()
        with rig.channel.lease() as lease:
            await deliver(lease, 3)
            await client.until_confirmed(3)


async def test_what_was_put_together_is_answered_together(rig: Rig) -> None:
    """Two connections in one turn: neither hears anything before all of the batch is secured."""
    rig.channel.bound(BLOCK)
    async with rig.running(relp()) as intake, opened(rig) as one, opened(rig) as other:
        intake.account.received = 0
        await one.send(*numbered(4))
        await other.send(*numbered(4, start=4))
        await until(lambda: rig.account.accepted == 8)
        with rig.channel.lease() as lease:
            await deliver(lease, 8)
            await one.until_confirmed(4)
            await other.until_confirmed(4)


async def test_the_slowest_pipe_that_keeps_decides(rig: Rig) -> None:
    from relay.core.channel import Channel
    from relay.core.memory import Memory

    slow = Channel(rig.ledger.pipe("slow", "far"), BLOCK, Memory(1 << 31))
    rig.channel.bound(BLOCK)
    rig.router.routes = {"in": [Pipe("all", (), rig.channel), Pipe("slow", (), slow)]}
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(2))
        await until(lambda: rig.account.accepted == 2)
        with rig.channel.lease() as fast_lease, slow.lease() as slow_lease:
            await deliver(fast_lease, 2)
            await client.hears_nothing()
            await deliver(slow_lease, 2)
            await client.until_confirmed(2)


async def test_what_no_pipe_takes_is_answered_and_counted_unrouted(rig: Rig) -> None:
    rig.router.routes = {}
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(5))
        await client.until_confirmed(5)
    assert rig.account.unrouted == 5


async def test_empty_and_long_messages_are_answered_and_counted(rig: Rig) -> None:
    async with rig.running(relp(message_max=8192)), opened(rig) as client:
        await client.send(b"")
        await client.until_confirmed(1)
        await client.send(STAMPED + b"x" * 9000, b"\n", STAMPED + b"y")
        await client.until_confirmed(4)
    assert [len(message) for message in rig.held()] == [8192, len(STAMPED) + 1]
    assert rig.account.refused[Refusal.EMPTY] == 2
    assert rig.account.frames.truncated == 1
    assert rig.account.frames.truncated_octets == len(STAMPED) + 9000 - 8192
    assert rig.account.received == 4


async def test_answers_keep_their_order_when_receipts_do_not(rig: Rig) -> None:
    """The second batch is secured first; its answer waits for that of the first."""
    from relay.core.channel import Channel
    from relay.core.match import Match
    from relay.core.memory import Memory

    other = Channel(rig.ledger.pipe("auth", "far"), BLOCK, Memory(1 << 31))
    rig.channel.bound(BLOCK)
    only = Match.model_validate({"facility": ["auth"]})
    rest = Match.model_validate({"not": {"facility": ["auth"]}})
    rig.router.routes = {"in": [Pipe("all", (rest,), rig.channel), Pipe("auth", (only,), other)]}
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(1))
        await until(lambda: rig.account.accepted == 1)
        await client.send(b"<38>" + STAMPED[4:] + b"b")
        await until(lambda: rig.account.accepted == 2)
        with rig.channel.lease() as first, other.lease() as second:
            await deliver(second, 1)
            await client.hears_nothing()
            await deliver(first, 1)
            await client.until_confirmed(2)


async def test_while_a_pipe_that_keeps_is_full_nothing_is_read_and_answers_go_out(
    rig: Rig,
) -> None:
    rig.channel.bound(Bounds(10, 1 << 30, "block"))
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(10))
        await until(lambda: rig.account.accepted == 10)
        await client.send(*numbered(10, start=10))
        await client.hears_nothing()
        assert rig.account.received == 10
        with rig.channel.lease() as lease:
            await deliver(lease, 20)
            await client.until_confirmed(20)
    assert rig.channel.account.dropped[Drop.FULL] == 0


@pytest.mark.parametrize("overflow", ["drop-newest", "drop-oldest"])
async def test_while_a_spool_is_full_nothing_is_read_whatever_its_pipe_drops_of_others(
    overflow: Overflow, rig: Rig
) -> None:
    """It keeps, so that the sender waits; there is room when the disk has given some back."""
    rig.channel.bound(Bounds(1 << 20, 1 << 30, overflow))
    backlog = Backlog("always", 100, active=True, ready=True, tried=True)
    rig.channel.backlog = backlog
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(10))
        await until(lambda: rig.account.accepted == 10)
        assert rig.channel.full
        await client.send(*numbered(10, start=10))
        await client.hears_nothing()
        assert rig.account.received == 10
        rig.channel.spooling.committed(5)
        backlog.octets_max = 1 << 20
        rig.channel.wake()
        await until(lambda: rig.account.accepted == 20)
        await client.hears_nothing()
        rig.channel.spooling.committed(20)
        await client.until_confirmed(20)
    assert not any(rig.channel.account.dropped.values())
    assert rig.held() == numbered(20)


async def test_a_pipe_that_ends_without_paying_closes_who_waits_for_it(rig: Rig) -> None:
    rig.channel.bound(BLOCK)
    async with rig.running(relp()), opened(rig) as client, opened(rig) as other:
        await client.send(*numbered(3))
        await until(lambda: rig.account.accepted == 3)
        rig.channel.drop_all(Drop.REMOVED)
        await client.until_ended()
        assert client.confirmed == 0
        assert rig.account.connections_failed["unanswered"] == 1
        rig.router.routes = {}
        await other.send(b"<13>x")
        await other.until_confirmed(1)


async def test_a_bug_behind_put_answers_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is closed, and its sender has the message."""

    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(rig.router, "put", fail)
    rig.open(relp().endpoints())
    intake = rig.intake(relp())
    failed = False
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            nonlocal failed
            try:
                await relp().run(rig.sockets, intake, task_status=trio.TASK_STATUS_IGNORED)
            except* ValueError:
                failed = True
            monkeypatch.undo()
            await relp().run(rig.sockets, intake, task_status=trio.TASK_STATUS_IGNORED)

        nursery.start_soon(run)
        async with opened(rig) as client:
            await client.send(b"<13>x")
            await client.until_ended()
            assert client.confirmed == 0
        intake.draining.set()
    assert failed
    assert rig.account.refused[Refusal.INTERNAL_ERROR] == 1


# -- sessions


async def test_close_is_answered_and_the_connection_ends(rig: Rig) -> None:
    rig.channel.bound(BLOCK)
    async with rig.running(relp()), opened(rig) as client:
        await client.send(*numbered(2))
        await client.stream.send_all(client.session.closing())
        await until(lambda: rig.account.accepted == 2)
        await client.hears_nothing()
        with rig.channel.lease() as lease:
            await deliver(lease, 2)
            await client.until_ended()
        assert client.confirmed == 2
        assert client.session.state == "closed"
        await client.stream.aclose()
        await until(lambda: rig.account.connections_open == 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "protocol"),
        (b"1 syslog 1 a\n", "protocol"),
        (b"1 open 0\n", "protocol"),
        (OPENING + b"7 syslog 1 a\n", "protocol"),
        (OPENING + b"2 syslog 200000 aaa", "too-large"),
    ],
)
async def test_a_fault_closes_the_session_and_is_counted(
    data: bytes, reason: str, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with rig.running(relp(frame_max="128KiB")), connected(rig) as client, opened(rig) as good:
        await client.stream.send_all(data)
        await client.until_ended()
        assert rig.account.connections_failed[reason] == 1
        assert "connection from 127.0.0.1: " in caplog.text
        await good.send(b"<13>x")
        await good.until_confirmed(1)


async def test_what_came_before_a_fault_is_taken(rig: Rig) -> None:
    async with rig.running(relp()), opened(rig) as client:
        await client.stream.send_all(encode_messages(2, numbered(2)) + b"\n")
        await client.until_ended()
        assert rig.account.accepted == 2


async def test_an_unfinished_frame_is_the_senders(rig: Rig) -> None:
    async with rig.running(relp()) as intake, opened(rig) as client:
        await client.stream.send_all(b"2 syslog 100 <13>half")
        await until(lambda: intake.streams.buffered)
        await client.stream.aclose()
        await until(lambda: rig.account.connections_open == 0)
    assert rig.account.received == 0
    assert rig.account.frames.incomplete == 0


async def test_who_ended_while_everybody_waited_is_not_read(rig: Rig) -> None:
    """Its frames will come again; those of who stayed are taken."""
    rig.channel.bound(Bounds(1, 1 << 30, "block"))
    async with rig.running(relp()), opened(rig) as gone, opened(rig) as stays:
        await stays.send(STAMPED + b"first")
        await until(lambda: rig.account.accepted == 1)
        await gone.send(STAMPED + b"gone")
        await gone.stream.aclose()
        await stays.send(STAMPED + b"second")
        await trio.sleep(0.05)
        with rig.channel.lease() as lease:
            await deliver(lease, 2)
            await stays.until_confirmed(2)
        await until(lambda: rig.account.connections_open == 1)
    assert rig.account.received == 2


async def test_a_connection_is_not_read_beyond_its_window(rig: Rig) -> None:
    rig.channel.bound(BLOCK)
    async with rig.running(relp(window=5)), opened(rig) as client:
        for number in range(20):
            await client.send(STAMPED + b"%d" % number)
            await trio.testing.wait_all_tasks_blocked(0.003)
        assert rig.account.received == 5
        with rig.channel.lease() as lease:
            await deliver(lease, 20)
            await client.until_confirmed(20)


async def test_a_peer_that_does_not_read_its_answers_is_not_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bounded memory for the deaf; when it listens, it gets every answer."""
    monkeypatch.setattr(answering, "ANSWERS_MAX", 4096)
    rig.open(relp().endpoints())
    rig.sockets[0]._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[union-attr]
    async with rig.running(relp()) as intake, opened(rig) as deaf, opened(rig) as good:
        with trio.move_on_after(0.5):  # as long as it takes anything, and then some
            while True:
                await deaf.send(*[b"<13>x"] * 1000)
        read = rig.account.received
        sessions = [it.framer.session for it in intake.streams.table.values()]  # type: ignore[attr-defined]
        assert 4096 <= max(len(session.outgoing) for session in sessions) < 64 << 10
        await good.send(*numbered(10))
        await good.until_confirmed(10)
        assert rig.account.received == read + 10
        with trio.fail_after(10):
            while deaf.confirmed < read:
                await deaf.hear()


async def test_the_idle_get_a_serverclose_and_those_who_wait_for_us_do_not(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "LINGER_SECONDS", 0.05)
    rig.channel.bound(BLOCK)
    async with rig.running(relp(idle_max="500ms")), opened(rig) as idle, opened(rig) as waits:
        await waits.send(b"<13>x")
        await idle.until_ended()
        assert idle.session.fault
        assert idle.session.fault.text == "the server closes the session"
        assert rig.account.connections_failed["idle"] == 1
        with rig.channel.lease() as lease:
            await deliver(lease, 1)
            await waits.until_confirmed(1)


async def test_unfinished_frames_beyond_the_buffers_close_the_largest(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {"message_max": "1MiB", "buffer_max": "1MiB"}
    async with rig.running(relp(**keys)) as intake, opened(rig) as large, opened(rig) as small:
        await small.stream.send_all(b"2 syslog 600000 " + b"x" * 400_000)
        await until(lambda: intake.streams.buffered >= 400_000)
        await large.stream.send_all(b"2 syslog 900000 " + b"x" * 700_000)
        await large.until_ended()
        assert rig.account.connections_failed["too-large"] == 1
        await small.stream.send_all(b"x" * 200_000 + b"\n")
        small.session._next, small.session.unanswered = 3, 1
        await small.until_confirmed(1)


async def test_connections_beyond_the_maximum_are_refused(rig: Rig) -> None:
    async with rig.running(relp(connections_max=1)), opened(rig):
        async with connected(rig) as client:
            await client.until_ended()
        assert rig.account.connections_refused[ConnectionRefusal.CONNECTIONS_MAX] == 1


async def test_two_thousand_connections(rig: Rig) -> None:
    """One task serves them all, and each hears yes for what it has sent."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    connections = min(2000, (hard - 200) // 2)
    if soft < connections * 2 + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rig.channel.bound(BLOCK)
    async with rig.running(relp()), AsyncExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        clients = [await stack.enter_async_context(connected(rig)) for _ in range(connections)]
        for client in clients:
            await client.stream.send_all(client.session.opening())
        for client in clients:
            await client.hear()
            await client.send(*numbered(2))
        with rig.channel.lease() as lease, trio.fail_after(30):
            await deliver(lease, 2 * connections)
            for client in clients:
                await client.until_confirmed(2)
    assert rig.account.connections_accepted == connections


async def test_a_greedy_sender_is_served_no_more_than_its_share_before_the_others(
    rig: Rig,
) -> None:
    """The kernel is full of it when the listener begins, and a hundred others have a line each."""
    greedy = [STAMPED + b"greedy".ljust(200, b".")] * 5000
    rig.open(relp().endpoints())
    async with AsyncExitStack() as stack, trio.open_nursery() as nursery:
        first = await stack.enter_async_context(connected(rig))
        nursery.start_soon(first.stream.send_all, OPENING + encode_messages(2, greedy))
        await trio.testing.wait_all_tasks_blocked(0.01)
        others = [await stack.enter_async_context(connected(rig)) for _ in range(100)]
        for other in others:
            await other.stream.send_all(OPENING + encode_messages(2, [STAMPED + b"modest"]))
        async with rig.running(relp()):
            await until(lambda: rig.account.accepted == len(greedy) + len(others))
    held = rig.held()
    last = max(place for place, message in enumerate(held) if message.endswith(b"modest"))
    assert sum(message.endswith(b"modest") for message in held) == len(others)
    assert last - len(others) <= 2 * reader.READ_OCTETS / 200


# -- the stop, and what outlives a run


async def test_a_stop_answers_what_was_taken_and_takes_nothing_more(rig: Rig) -> None:
    rig.channel.bound(BLOCK)
    async with opened_while_running(rig) as (intake, client, idle):
        await client.send(*numbered(2))
        await until(lambda: rig.account.accepted == 2)
        intake.draining.set()
        await idle.until_ended()
        await client.send(*numbered(2, start=2))
        await client.hears_nothing()
        with rig.channel.lease() as lease:
            await deliver(lease, 2)
            await client.until_ended()
        assert client.confirmed == 2
        assert client.session.fault
        assert client.session.fault.text == "the server closes the session"
    assert rig.account.received == 2
    assert rig.account.connections_failed["unanswered"] == 0


async def test_at_the_deadline_of_a_stop_the_unanswered_are_closed(rig: Rig) -> None:
    rig.channel.bound(BLOCK)
    async with opened_while_running(rig) as (intake, client, _):
        await client.send(*numbered(2))
        await until(lambda: rig.account.accepted == 2)
        intake.drain_by[0] = trio.current_time() + 0.2
        intake.draining.set()
        await client.until_ended()
        assert client.confirmed == 0
    assert rig.account.connections_failed["unanswered"] == 1


@asynccontextmanager
async def opened_while_running(rig: Rig) -> AsyncIterator[tuple[Intake, Client, Client]]:
    async with rig.running(relp()) as intake, opened(rig) as one, opened(rig) as other:
        yield intake, one, other


async def test_who_connected_before_a_stop_is_told(rig: Rig) -> None:
    async with rig.running(relp()) as intake, connected(rig) as client:
        intake.draining.set()
        await client.stream.send_all(client.session.opening())
        await client.until_ended()
        assert client.session.fault
        assert client.session.fault.text == "the server closes the session"


async def test_connections_and_their_answers_outlive_a_restart(rig: Rig) -> None:
    """Receipts that are paid while nobody runs, answers not sent yet, windows that are full."""
    rig.channel.bound(BLOCK)
    listener = relp(window=2)
    rig.open(listener.endpoints())
    rig.sockets[0]._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # type: ignore[union-attr]
    intake = rig.intake(listener)
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
            with trio.CancelScope() as scope:
                task_status.started(scope)
                await listener.run(rig.sockets, intake, task_status=trio.TASK_STATUS_IGNORED)

        scope = await nursery.start(run)
        async with opened(rig) as client:
            await client.send(*numbered(1))
            await until(lambda: rig.account.accepted == 1)
            await client.send(*numbered(4, start=1))
            await until(lambda: rig.account.accepted >= 2)
            scope.cancel()
            await trio.testing.wait_all_tasks_blocked(0.01)
            with rig.channel.lease() as lease:
                await deliver(lease, 1)
                await client.hears_nothing()
                await nursery.start(run)
                await deliver(lease, 4)
                await client.until_confirmed(5)
            intake.draining.set()
            await client.until_ended()
        with trio.fail_after(5):
            await until(lambda: not intake.streams.table)


# -- keys


@pytest.mark.parametrize(
    "keys", [{"window": 0}, {"frame_max": "1GB"}, {"frame_max": "8KiB"}, {"framing": "auto"}]
)
def test_wrong_keys_are_errors(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        relp(**keys)
