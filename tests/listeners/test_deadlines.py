"""Peers that take too long, on real sockets."""

import socket
from contextlib import suppress

import pytest
import trio
import trio.testing

from relay.core.account import Confirmation
from relay.core.bounds import Bounds
from relay.core.component import Listener
from relay.listeners.reader import LEAVE_SECONDS
from tests.listeners.conftest import Rig
from tests.listeners.test_network import from_address, has_ended, listener
from tests.listeners.test_relp import BLOCK, OPENING, deliver
from tests.listeners.test_tcp import STAMPED, settle, until

FRAME = b"2 syslog 100 <13>"


def failed(rig: Rig) -> dict[str, int]:
    return {reason: n for reason, n in rig.account.connections_failed.items() if n}


def connect(rig: Rig) -> socket.socket:
    sock = from_address("127.0.0.1", rig)
    sock.setblocking(False)
    return sock


@pytest.mark.parametrize("kind", ["tcp", "relp"])
async def test_who_says_nothing_at_first_is_ended_and_who_has_spoken_may_be_silent(
    rig: Rig, kind: str, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running(listener(kind, first_byte_max="3s")):
        with connect(rig) as mute, connect(rig) as spoke:
            spoke.send(OPENING if kind == "relp" else STAMPED + b"1\n")
            await trio.sleep(2.9)
            assert failed(rig) == {}
            await trio.sleep(3600)
            assert failed(rig) == {"first-byte": 1}
            assert has_ended(mute)
            assert not has_ended(spoke)
            assert rig.account.connections_open == 1
    text = "listener in: connection from 127.0.0.1 ended: it has said nothing for 3 s"
    assert caplog.messages == [text]


@pytest.mark.parametrize(("kind", "seconds"), [("tcp", 0.0), ("relp", 60.0)])
def test_only_relp_whose_senders_speak_first_expects_them_to_by_default(
    kind: str, seconds: float
) -> None:
    assert listener(kind).first_byte_max == seconds  # type: ignore[attr-defined]


async def test_a_line_that_dribbles_is_a_message_when_its_time_is_over(
    rig: Rig, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A slow loris: an octet a second, so that it is never idle."""
    async with rig.running(listener("tcp", unfinished_max="10s", idle_max="5s")):
        with connect(rig) as sock:
            sock.send(STAMPED + b"whole\n" + STAMPED)
            with suppress(ConnectionError):
                for _ in range(100):
                    await trio.sleep(1)
                    sock.send(b".")
            assert rig.account.connections_open == 0
            assert failed(rig) == {"unfinished": 1}
            await rig.texts(1)
    (dribbled,) = [text for text in rig.held() if b"whole" not in text]
    # Read on after our FIN, as long as it goes on, but no longer than that.
    assert 10 + LEAVE_SECONDS - 2 <= dribbled.count(b".") <= 10 + LEAVE_SECONDS + 2
    text = "listener in: connection from 127.0.0.1 ended: a message was unfinished for 10 s"
    assert caplog.messages == [text]


async def test_a_counted_frame_that_dribbles_is_incomplete_when_its_time_is_over(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    """Also one of which nothing is held: only its count has come."""
    async with rig.running(listener("tcp", unfinished_max="10s", framing="octet")):
        with connect(rig) as sock:
            sock.send(b"100 ")
            await trio.sleep(9)
            assert failed(rig) == {}
            await trio.sleep(9)
            assert failed(rig) == {"unfinished": 1}
            assert rig.account.connections_open == 0
    assert rig.account.frames.incomplete == 1
    assert rig.account.received == 0


async def test_messages_that_come_in_pieces_are_in_time_each(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    async with rig.running(listener("tcp", unfinished_max="10s")):
        with connect(rig) as sock:
            for _ in range(10):
                sock.send(STAMPED + b"be")
                await trio.sleep(9)
                sock.send(b"gun\n" + STAMPED + b"next")
                await trio.sleep(9)
                sock.send(b"\n")
    assert failed(rig) == {}
    assert rig.account.received == 20


async def test_what_waits_for_our_room_is_not_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A sender has begun a message when our pipe is full for a minute, and ends it then."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    async with rig.running(listener("tcp", unfinished_max="5s")):
        with connect(rig) as sock, rig.channel.lease() as lease:
            sock.send(STAMPED + b"1\n" + STAMPED + b"be")
            await until(lambda: rig.account.received == 1)
            sock.send(b"gun ")
            await trio.sleep(60)
            await settle(rig, lease, 1)
            await trio.sleep(4)
            sock.send(b"2\n")
            await until(lambda: rig.account.received == 2)
            assert failed(rig) == {}
            await settle(rig, lease, 1)
    for bound in rig.sockets:
        bound.close()


@pytest.mark.parametrize("free_at", [0.9, 1.004, 1.5])
async def test_nor_what_had_to_wait_while_a_second_passed(
    free_at: float, autojump_clock: trio.testing.MockClock
) -> None:
    """Once a second it is looked who is late; that the pipe was full is not forgotten over it."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))
    async with rig.running(listener("tcp", unfinished_max="500ms", message_max="1MiB")):
        started = trio.current_time()
        with connect(rig) as sock, rig.channel.lease() as lease:
            sock.send(STAMPED + b"1\n" + STAMPED + b"be")
            await until(lambda: rig.account.received == 1)
            sock.send(b"x" * 20_000)  # more than one read takes
            sock.send(b"\n")
            await trio.sleep_until(started + free_at)
            await settle(rig, lease, 2)
            assert failed(rig) == {}
    for bound in rig.sockets:
        bound.close()


async def test_who_waits_for_our_room_for_an_instant_only_is_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A pipe that is full again and again is what a busy relay looks like."""
    rig = Rig(bounds=Bounds(messages=1, memory=1 << 20, overflow="block"))

    async def deliver_slowly() -> None:
        with rig.channel.lease() as lease:
            while True:
                for batch in await lease.lend():
                    await trio.sleep(0.008)
                    lease.settle(len(batch), Confirmation.SENT)

    async with rig.running(listener("tcp", unfinished_max="5s")), trio.open_nursery() as nursery:
        nursery.start_soon(deliver_slowly)
        with connect(rig) as busy, connect(rig) as late:
            late.send(STAMPED + b"be")
            for _ in range(100):
                busy.send(STAMPED + b"1\n")
                await trio.sleep(0.004)
                busy.send(STAMPED + b"2\n")
                await trio.sleep(0.1)
            assert failed(rig) == {"unfinished": 1}
            assert rig.account.received == 201
        nursery.cancel_scope.cancel()
    for bound in rig.sockets:
        bound.close()


async def test_what_waits_for_its_senders_rate_is_not_late(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    async with rig.running(listener("tcp", unfinished_max="5s", rate_limit="1/m")):
        with connect(rig) as sock:
            sock.send(STAMPED + b"1\n")
            await until(lambda: rig.account.received == 1)
            sock.send(STAMPED + b"2\n" + STAMPED + b"be")
            await trio.sleep(65)
            assert rig.account.received == 2
            sock.send(b"gun\n")
            await trio.sleep(40)
            assert rig.account.received == 2  # its end waits here as long as its sender's rate says
            await trio.sleep(40)
    assert failed(rig) == {}
    assert rig.account.received == 3


async def test_a_relp_frame_that_dribbles_is_the_senders_when_its_time_is_over(
    rig: Rig, autojump_clock: trio.testing.MockClock
) -> None:
    """What was whole before it has its answer, and the session ends as it should."""
    rig.channel.bound(BLOCK)
    async with rig.running(listener("relp", unfinished_max="10s")):
        with connect(rig) as sock:
            sock.send(OPENING + b"2 syslog 5 <13>a\n3 syslog 100 <13>")
            await until(lambda: rig.account.received == 1)
            await trio.sleep(8)
            sock.send(b".")
            await until(lambda: failed(rig) == {"unfinished": 1})
            with rig.channel.lease() as lease:
                await deliver(lease, 1)
            heard = b""
            with trio.fail_after(5):
                while not heard.endswith(b"0 serverclose 0\n"):
                    await trio.lowlevel.wait_readable(sock)
                    heard += sock.recv(4096)
            assert b"\n2 rsp 6 200 OK\n" in heard
        await until(lambda: rig.account.connections_open == 0)
    assert failed(rig) == {"unfinished": 1}


async def test_who_leaves_its_answers_unread_is_closed(
    rig: Rig, autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Else each would keep 64 KiB of answers, and be let go by nobody."""
    async with rig.running(listener("relp", unfinished_max="10s")) as intake:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.connect(("127.0.0.1", int(rig.sockets[0].address.rpartition(":")[2])))
            sock.setblocking(False)
            frames = OPENING + b"".join(b"%d syslog 5 <13>a\n" % n for n in range(2, 400_000))
            with trio.move_on_after(5):
                while frames:
                    await trio.lowlevel.wait_writable(sock)
                    frames = frames[sock.send(frames[:65536]) :]
            assert frames  # the listener has stopped reading
            assert len(intake.streams.table) == 1
            await until(lambda: failed(rig) == {"unread": 1})
    text = "listener in: connection from 127.0.0.1 ended: it has left its answers unread for 10 s"
    assert caplog.messages == [text]


async def test_all_who_are_late_are_found_while_others_fill_every_turn(rig: Rig) -> None:
    """A flood beside them must not keep them in."""
    late: Listener = listener("tcp", first_byte_max="1s")
    line = STAMPED + b"." * 220 + b"\n"
    sending, sent = True, 0

    def send(sock: socket.socket) -> None:
        nonlocal sent
        while sending:
            sock.sendall(line * 1000)
            sent += 1000

    async with rig.running(late):
        with from_address("127.0.0.1", rig) as flood, from_address("127.0.0.1", rig) as mute:
            mute.setblocking(False)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.to_thread.run_sync, send, flood)
                await until(lambda: failed(rig) == {"first-byte": 1})
                sending = False
            assert has_ended(mute)
    assert rig.account.accepted == sent
