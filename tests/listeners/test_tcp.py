"""The tcp listener on real sockets."""

import logging
import resource
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import trio

from relay.core.account import ConnectionRefusal, Refusal
from relay.core.bounds import Bounds
from relay.core.intake import Intake
from relay.core.lease import Lease
from relay.listeners.tcp import TcpListener
from relay.system.stream import SocketConnection
from relay.wire.framing import Framer
from tests.listeners.conftest import Rig

STAMPED = b"<13>Nov 23 07:45:25 web01 app: "


def tcp(**keys: object) -> TcpListener:
    return TcpListener.model_validate({"type": "tcp", "listen": ["127.0.0.1:0"], **keys})


def connect(rig: Rig, place: int = 0) -> socket.socket:
    host, _, port = rig.sockets[place].address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)))


@contextmanager
def descriptors_max(more: int) -> Iterator[None]:
    """Leave connections only so many descriptors above the highest one in use."""
    with socket.socket() as probe:
        highest = probe.fileno()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, ((highest + more) * 5 // 4 + 1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def until(condition: object) -> None:
    assert callable(condition)
    with trio.fail_after(10):
        while not condition():
            await trio.sleep(0.005)


async def test_all_framings_mixed_on_one_connection(rig: Rig) -> None:
    async with rig.running(tcp()):
        with connect(rig) as sock:
            sock.sendall(b"35 " + STAMPED + b"abcd" + STAMPED + b"lf\n" + STAMPED + b"nul\0")
            assert await rig.texts(3) == [b"abcd", b"lf", b"nul"]
    frames = rig.account.frames
    assert (frames.octet, frames.line, frames.nul) == (1, 1, 1)


async def test_both_families(rig: Rig) -> None:
    async with rig.running(tcp(listen=["127.0.0.1:0", "[::1]:0"])):
        with connect(rig, 0) as four, connect(rig, 1) as six:
            four.sendall(STAMPED + b"4\n")
            six.sendall(STAMPED + b"6\n")
            assert sorted(await rig.texts(2)) == [b"4", b"6"]


async def test_a_last_line_without_terminator_is_delivered(rig: Rig) -> None:
    async with rig.running(tcp()):
        with connect(rig) as sock:
            sock.sendall(STAMPED + b"tail")
        assert await rig.texts(1) == [b"tail"]


async def test_an_unfinished_octet_frame_is_counted(rig: Rig) -> None:
    async with rig.running(tcp()):
        with connect(rig) as sock:
            sock.sendall(b"100 " + STAMPED)
        await until(lambda: rig.account.frames.incomplete == 1)


async def test_empty_lines_are_refused_and_counted(rig: Rig) -> None:
    async with rig.running(tcp()):
        with connect(rig) as sock:
            sock.sendall(b"\n\r\n" + STAMPED + b"x\n\n")
            await rig.texts(1)
            await until(lambda: rig.account.refused[Refusal.EMPTY] == 3)
    assert rig.account.received == 4


async def test_empty_datagrams_booked_before_under_this_name_stay_booked(rig: Rig) -> None:
    """A listener that a reload made of a udp listener goes on with its book."""
    listener = tcp()
    rig.intake(listener).refuse(5, Refusal.EMPTY)
    async with rig.running(listener):
        with connect(rig) as sock:
            sock.sendall(b"\n\n" + STAMPED + b"x\n")
            await rig.texts(1)
            await until(lambda: rig.account.received == 8)
    assert rig.account.refused[Refusal.EMPTY] == 7


async def test_what_was_held_of_a_message_is_held_no_more_when_it_ends(rig: Rig) -> None:
    async with rig.running(tcp()) as intake:
        with connect(rig) as sock:
            sock.sendall(STAMPED)
            await until(lambda: intake.streams.buffered == len(STAMPED))
            sock.sendall(b"end\n")
            await until(lambda: rig.account.accepted == 1)
            assert intake.streams.buffered == 0


async def test_everybody_is_served_before_anybody_is_served_again(
    rig: Rig, read_octets: int
) -> None:
    """40 busy connections, which are more than one turn can serve."""
    share = read_octets // 256
    async with rig.running(tcp()):
        with ExitStack() as stack:
            socks = [stack.enter_context(connect(rig)) for _ in range(40)]
            await until(lambda: rig.account.connections_open == 40)
            for number, sock in enumerate(socks):
                sock.sendall((STAMPED + b"%b %03d\n" % (b"." * 220, number)) * 4 * share)
            await until(lambda: rig.account.accepted == 40 * 4 * share)
    found = [message[-3:] for message in rig.held()]
    last = max(found.index(b"%03d" % number) for number in range(40))
    assert max(found[:last].count(b"%03d" % number) for number in range(40)) <= 2 * share


async def test_who_connects_does_not_wait_for_those_who_send(rig: Rig) -> None:
    """The turn that finds somebody at the door lets him in, however much there is to read."""
    listener = tcp()
    turns: list[int] = []

    def put(intake: Intake, messages: Sequence[bytes], *_: object, **__: object) -> None:
        turns.append(rig.account.connections_open)

    async with rig.running(listener):
        with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
            socks = [stack.enter_context(connect(rig)) for _ in range(40)]
            await until(lambda: rig.account.connections_open == 40)
            patch.setattr(Intake, "put", put)
            for sock in socks:
                sock.sendall((STAMPED + b"." * 220 + b"\n") * 256)
            stack.enter_context(connect(rig))
            await until(lambda: len(turns) > 2)
    assert turns[0] == 41


async def test_short_lines_make_short_turns(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[int] = []
    put = Intake.put

    def noted(intake: Intake, messages: Sequence[bytes], *args: Any, **keys: Any) -> None:  # noqa: ANN401
        turns.append(len(messages))
        put(intake, messages, *args, **keys)

    monkeypatch.setattr(Intake, "put", noted)
    async with rig.running(tcp()):
        with connect(rig) as sock:
            await trio.to_thread.run_sync(sock.sendall, b"a\n" * 200_000)
            await until(lambda: rig.account.received == 200_000)
    assert max(turns) <= 4096  # the first read does not know yet
    assert max(turns[1:]) <= 1024 + 256  # the last read may bring more than those before it


async def test_a_reset_is_counted_and_costs_no_whole_message(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay.listener")
    async with rig.running(tcp()):
        sock = connect(rig)
        sock.sendall(STAMPED + b"1\n")
        await rig.texts(1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        await until(lambda: rig.account.connections_failed["reset"] == 1)
    assert "connection from 127.0.0.1: " in caplog.text


async def test_many_resets_are_one_line(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "relay.listener")
    async with rig.running(tcp()):
        for _ in range(20):
            sock = connect(rig)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.close()
        await until(lambda: rig.account.connections_failed["reset"] == 20)
        assert len([r for r in caplog.records if "127.0.0.1: " in r.getMessage()]) == 1
    assert "19 more connections broke" in caplog.text


async def test_connections_beyond_the_limit_are_closed_and_counted(rig: Rig) -> None:
    async with rig.running(tcp(connections_max=2)):
        with connect(rig) as one, connect(rig) as two:
            one.sendall(STAMPED + b"1\n")
            two.sendall(STAMPED + b"2\n")
            await rig.texts(2)
            with connect(rig) as three:
                three.settimeout(5)
                assert await trio.to_thread.run_sync(three.recv, 1) == b""
        refused = rig.account.connections_refused[ConnectionRefusal.CONNECTIONS_MAX]
        assert (refused, rig.account.connections_accepted) == (1, 2)


async def test_an_idle_connection_is_read_to_its_end_and_closed(rig: Rig) -> None:
    async with rig.running(tcp(idle_max="1s")):
        with connect(rig) as sock:
            sock.sendall(STAMPED + b"then silence\n" + STAMPED + b"tail")
            sock.settimeout(10)
            assert await trio.to_thread.run_sync(sock.recv, 1) == b""
        assert rig.account.connections_failed["idle"] == 1
        assert await rig.texts(2) == [b"silence", b"tail"]


async def test_an_idle_peer_that_answers_our_fin_is_never_sealed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sealed socket answers nothing, not even a peer that says good-bye."""
    sealed: list[SocketConnection] = []
    monkeypatch.setattr(SocketConnection, "seal", sealed.append)
    async with rig.running(tcp(idle_max="1s")):
        with connect(rig) as sock:
            sock.settimeout(10)
            assert await trio.to_thread.run_sync(sock.recv, 1) == b""
            sock.sendall(STAMPED + b"late\n")
            assert await rig.texts(1) == [b"late"]
        await until(lambda: rig.account.connections_open == 0)
    assert not sealed


async def test_an_idle_peer_that_does_not_answer_our_fin_is_sealed_and_closed(rig: Rig) -> None:
    async with rig.running(tcp(idle_max="1s")):
        with connect(rig):
            await until(lambda: rig.account.connections_failed["idle"] == 1)
            assert rig.account.connections_open == 1
            await until(lambda: rig.account.connections_open == 0)


async def test_without_descriptors_accepting_is_deferred_told_once_and_resumed(
    rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running(tcp()):
        socks = [socket.socket() for _ in range(6)]
        with descriptors_max(4):
            for number, sock in enumerate(socks):
                host, _, port = rig.sockets[0].address.rpartition(":")
                sock.connect((host, int(port)))
                sock.sendall(STAMPED + b"%d\n" % number)
                sock.shutdown(socket.SHUT_WR)
            found = await rig.texts(6)
        assert sorted(found) == [b"%d" % n for n in range(6)]
        for sock in socks:
            sock.close()
    told = [r.getMessage() for r in caplog.records if "accept deferred" in r.getMessage()]
    assert told == ["listener in: accept deferred: Too many open files"]
    assert rig.account.accept_deferred


async def test_a_connection_that_a_bug_hits_ends_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    feed = Framer.feed

    def buggy(framer: Framer, data: bytes) -> list[bytes]:
        if b"boom" in data:
            raise ZeroDivisionError
        return feed(framer, data)

    monkeypatch.setattr(Framer, "feed", buggy)
    async with rig.running(tcp()):
        with connect(rig) as good, connect(rig) as bad:
            bad.sendall(STAMPED + b"boom\n")
            await until(lambda: rig.account.connections_failed["internal-error"] == 1)
            good.sendall(STAMPED + b"fine\n")
            assert await rig.texts(1) == [b"fine"]
    assert "ZeroDivisionError" in caplog.text


async def test_unfinished_messages_beyond_buffer_max_are_cut_largest_first(rig: Rig) -> None:
    async with rig.running(tcp(buffer_max=1 << 20, message_max=1 << 20)):
        with connect(rig) as small, connect(rig) as large:
            small.sendall(STAMPED + b"s" * 1000)
            large.sendall(STAMPED + b"l" * 900_000)
            with connect(rig) as third:
                third.sendall(STAMPED + b"t" * 400_000)
                (cut,) = await rig.texts(1)
                assert cut.strip(b"l") == b""
                third.sendall(b"\n")
                small.sendall(b"\n")
                large.sendall(b"skipped to here\n" + STAMPED + b"next\n")
                texts = await rig.texts(4)
        assert [text[:1] for text in sorted(texts)] == [b"l", b"n", b"s", b"t"]
        assert rig.account.frames.truncated == 1


async def test_a_full_pipe_that_blocks_makes_the_senders_wait_and_loses_nothing() -> None:
    rig = Rig(bounds=Bounds(messages=10, memory=1 << 20, overflow="block"))
    sent = 20_000
    async with rig.running(tcp()):
        with connect(rig) as sock:
            lines = b"".join(STAMPED + b"%d\n" % n for n in range(sent))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, lambda: sock.sendall(lines))
                found: list[bytes] = []
                with rig.channel.lease() as lease:
                    while len(found) < sent:
                        for batch in await lease.lend():
                            found += batch.messages
                            lease.settle(len(batch), next(iter(rig.channel.account.delivered)))
        assert found == [STAMPED + b"%d" % n for n in range(sent)]
    assert sum(rig.channel.account.dropped.values()) == 0
    for bound in rig.sockets:
        bound.close()


async def settle(rig: Rig, lease: Lease, messages: int) -> None:
    with trio.fail_after(20):
        while messages:
            for batch in await lease.lend():
                messages -= len(batch)
                lease.settle(len(batch), next(iter(rig.channel.account.delivered)))


@pytest.fixture
def narrow() -> Iterator[Rig]:
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    yield rig
    for bound in rig.sockets:
        bound.close()


async def test_what_is_cut_finds_the_room_that_the_rest_of_the_turn_found(narrow: Rig) -> None:
    listener = tcp().model_copy(update={"buffer_max": 1000})
    async with narrow.running(listener):
        with connect(narrow) as sock:
            sock.sendall(STAMPED + b"whole\n" + STAMPED + b"x" * 3000)
            await until(lambda: narrow.account.accepted == 2)
            with narrow.channel.lease() as lease:
                await settle(narrow, lease, 2)
    assert sum(narrow.channel.account.dropped.values()) == 0


async def test_who_waits_for_our_room_is_not_idle(narrow: Rig, read_octets: int) -> None:
    each = 2 * read_octets // 256  # nobody has been read to the end when the pipe is full
    lines = (STAMPED + b"." * 220 + b"\n") * each
    async with narrow.running(tcp(idle_max="1s")):
        with ExitStack() as stack, narrow.channel.lease() as lease:
            socks = [stack.enter_context(connect(narrow)) for _ in range(40)]
            await until(lambda: narrow.account.connections_open == 40)
            for sock in socks:
                sock.sendall(lines)
            await trio.sleep(1.5)  # blocked: the pipe holds one turn
            assert 0 < narrow.account.accepted < 40 * each
            await settle(narrow, lease, 40 * each)
            assert narrow.account.connections_failed["idle"] == 0
    assert sum(narrow.channel.account.dropped.values()) == 0


async def test_at_the_stop_who_waits_for_our_room_has_not_said_it_all(narrow: Rig) -> None:
    """40 senders go on after our FIN; none of them is sealed for the time that we were blocked."""
    lines = (STAMPED + b"." * 220 + b"\n") * 1000

    async def send(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.send_all(lines)

    async with trio.open_nursery() as nursery, narrow.running(tcp()) as intake:
        port = int(narrow.sockets[0].address.rpartition(":")[2])
        streams = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(40)]
        await until(lambda: narrow.account.connections_open == 40)
        for stream in streams:
            nursery.start_soon(send, stream)
        await until(lambda: narrow.account.accepted)
        intake.drain_by[0] = trio.current_time() + 20
        intake.draining.set()
        await trio.sleep(0.5)
        with narrow.channel.lease() as lease:
            await settle(narrow, lease, 40 * 1000)
    assert sum(narrow.channel.account.dropped.values()) == 0
    assert narrow.account.received == 40 * 1000


async def test_the_stop_accepts_the_backlog_and_reads_what_was_acknowledged(rig: Rig) -> None:
    """Connections that nobody has accepted yet when the stop begins are read to their end."""
    listener = tcp()
    rig.open(listener.endpoints())
    socks = [connect(rig) for _ in range(100)]
    for number, sock in enumerate(socks):
        sock.sendall(STAMPED + b"%d\n" % number + STAMPED + b"tail%d" % number)
    intake = rig.intake(listener)
    intake.drain_by[0] = trio.current_time() + 5
    intake.draining.set()
    await listener.run(rig.sockets, intake, task_status=trio.TASK_STATUS_IGNORED)
    assert len(rig.held()) == 200
    assert rig.account.connections_open == 0
    for sock in socks:
        sock.close()
    rig.check()


async def test_the_stop_ends_in_time_while_a_sender_goes_on(rig: Rig) -> None:
    """What our kernel acknowledged until the end is in the book; the sender keeps the rest."""
    sending = True
    sent = 0

    def send(sock: socket.socket) -> None:
        nonlocal sent
        line = STAMPED + b"x" * 100 + b"\n"
        try:
            while sending:
                sent += sock.send(line * 100)
        except OSError:
            pass

    async with trio.open_nursery() as nursery:
        with connect_later(rig) as sock:
            async with rig.running(tcp()) as intake:
                sock.connect(("127.0.0.1", int(rig.sockets[0].address.rpartition(":")[2])))
                nursery.start_soon(trio.to_thread.run_sync, send, sock)
                await rig.texts(1000)
                intake.drain_by[0] = trio.current_time() + 0.5
            sending = False
    octets = rig.account.received_octets
    assert 0 < octets <= sent


@contextmanager
def connect_later(rig: Rig) -> Iterator[socket.socket]:
    rig.open(tcp().endpoints())
    with socket.socket() as sock:
        yield sock


async def test_connections_and_their_begun_lines_outlive_a_restart_of_the_listener(
    rig: Rig,
) -> None:
    listener = tcp()
    rig.open(listener.endpoints())
    intake = rig.intake(listener)
    with connect(rig) as sock:
        sock.sendall(STAMPED + b"1\n" + STAMPED + b"be")
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def run(*, task_status: trio.TaskStatus[None]) -> None:
                    await listener.run(rig.sockets, intake, task_status=task_status)

                await nursery.start(run)
                await rig.texts(1)
                scope.cancel()
        sock.sendall(b"gun\n")
        async with trio.open_nursery() as nursery:

            async def again(*, task_status: trio.TaskStatus[None]) -> None:
                await listener.run(rig.sockets, intake, task_status=task_status)

            await nursery.start(again)
            assert await rig.texts(2) == [b"1", b"begun"]
            intake.drain_by[0] = trio.current_time() + 5
            intake.draining.set()
    rig.check()
