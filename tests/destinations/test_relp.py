"""The relp destination: against a scripted peer, and against a real socket."""

from collections.abc import Sequence
from functools import partial

import pytest
import trio
import trio.testing
from pydantic import ValidationError

from relay.core.account import Confirmation
from relay.core.errors import DestinationDown
from relay.destinations import relp
from relay.destinations.relp import RelpDestination
from relay.destinations.session import STALLED_SECONDS
from relay.system.ports import ConnectionBroken
from relay.wire.framing import FramingCounts
from relay.wire.relp.frame import encode, encode_answers, encode_messages
from relay.wire.relp.server import ServerSession
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.fakes import FakeConnection, FakeNetwork

MESSAGES = [b"<13>message %d %s" % (n, b"x" * n) for n in range(20)]
MANY = [b"<13>%d" % n for n in range(1000)]


def to(window: int = 1024) -> RelpDestination:
    return RelpDestination(type="relp", address="siem.example.net:2514", window=window)


class Peer(FakeConnection):
    """Takes messages, and answers each at once unless it is told to wait."""

    def __init__(self, room: int | None = None, *, prompt: bool = True) -> None:
        super().__init__(room)
        self.prompt = prompt
        self.messages: list[bytes] = []
        self.session = ServerSession(1 << 16, 1 << 20, FramingCounts())
        self.unanswered_max = 0

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        already = len(self.taken)
        octets = super().send(buffers)
        self.messages += self.session.feed(bytes(self.taken[already:]))
        assert self.session.fault is None
        self.unanswered_max = max(self.unanswered_max, self.session.unanswered)
        self.answer(self.session.unanswered if self.prompt else 0)
        return octets

    def answer(self, messages: int) -> None:
        """At most so many of the oldest."""
        self.session.answer(min(messages, self.session.unanswered))
        if self.session.outgoing:
            self.say(bytes(self.session.outgoing))
            self.session.outgoing.clear()
        if self.session.state == "closed":
            self.end()

    def answer_all(self) -> None:
        """From now on."""
        self.prompt = True
        self.answer(self.session.unanswered)


class Script(FakeConnection):
    """Answers `open`, or what stands for it, and leaves the rest to the test."""

    def __init__(self, *said: bytes) -> None:
        super().__init__()
        for each in said:
            self.say(each)


YES_TO_OPEN = encode(1, b"rsp", b"200 OK\nrelp_version=0\ncommands=syslog")


def confirmed(rig: Rig) -> int:
    return rig.account.delivered[Confirmation.CONFIRMED]


async def test_messages_are_confirmed_in_order(make_rig: MakeRig) -> None:
    peer = Peer()
    rig = make_rig(FakeNetwork(peer))
    async with rig.delivering(to()):
        rig.put(*MESSAGES[:3])
        rig.put(*MESSAGES[3:])
        await rig.delivered()
    assert peer.messages == MESSAGES
    assert confirmed(rig) == len(MESSAGES)
    assert rig.account.connections == 1
    assert rig.account.retried == 0


async def test_a_session_begins_with_open_and_ends_with_close(make_rig: MakeRig) -> None:
    peer = Peer()
    rig = make_rig(FakeNetwork(peer))
    rig.put(b"<13>a")
    async with rig.delivering(to()):
        await rig.delivered()
    offer = b"relp_version=0\nrelp_software=relay\ncommands=syslog"
    assert peer.taken == encode(1, b"open", offer) + b"2 syslog 5 <13>a\n3 close 0\n"
    assert peer.half_closed
    assert peer.closed


async def test_nothing_is_sent_before_open_is_answered(make_rig: MakeRig) -> None:
    connection = Script()
    rig = make_rig(FakeNetwork(connection))
    rig.put(b"<13>a")
    async with rig.delivering(to()):
        await trio.testing.wait_all_tasks_blocked()
        assert b"syslog 5" not in connection.taken
        assert not rig.account.up
        connection.say(YES_TO_OPEN)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.account.up
        assert connection.taken.endswith(b"2 syslog 5 <13>a\n")
        connection.say(encode_answers(2, 1))
        await rig.delivered()
        connection.end()


@pytest.mark.parametrize("window", [1, 2, 3, 7, 100])
async def test_no_more_than_the_window_is_on_its_way(window: int, make_rig: MakeRig) -> None:
    peer = Peer(prompt=False)
    rig = make_rig(FakeNetwork(peer))
    rig.put(*MANY)
    async with rig.delivering(to(window)):
        await trio.testing.wait_all_tasks_blocked()
        while peer.session.unanswered:
            assert peer.session.unanswered <= window
            peer.answer(3)
            await trio.testing.wait_all_tasks_blocked()
    assert peer.messages == MANY
    assert peer.unanswered_max == window


async def test_the_window_opens_with_what_is_confirmed(make_rig: MakeRig) -> None:
    peer = Peer(prompt=False)
    rig = make_rig(FakeNetwork(peer))
    rig.put(*MANY)
    seen = []
    async with rig.delivering(to(10)):
        for _ in range(6):
            await trio.testing.wait_all_tasks_blocked()
            seen.append(peer.session.unanswered)
            peer.answer(peer.session.unanswered)
        peer.answer_all()
        await rig.delivered()
    assert seen == [1, 2, 4, 8, 10, 10]


async def test_answers_out_of_order_settle_when_the_oldest_has_one(make_rig: MakeRig) -> None:
    connection = Script(YES_TO_OPEN)
    rig = make_rig(FakeNetwork(connection))
    rig.put(b"<13>a")
    async with rig.delivering(to()):
        await trio.testing.wait_all_tasks_blocked()
        connection.say(encode_answers(2, 1))
        await trio.testing.wait_all_tasks_blocked()
        rig.put(b"<13>b", b"<13>c")
        await trio.testing.wait_all_tasks_blocked()
        connection.say(encode_answers(4, 1))
        await trio.testing.wait_all_tasks_blocked()
        assert confirmed(rig) == 1
        connection.say(encode_answers(3, 1))
        await rig.delivered()
        connection.end()
    assert confirmed(rig) == 3


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (encode(3, b"rsp", b"500 disk full"), "the server answers '500 disk full'"),
        (encode_answers(99, 1), "an answer to transaction 99, which has none to come"),
        (b"0 serverclose 0\n", "the server closes the session"),
        (b"\n", "no RELP header: b'\\n'"),
        (b"", "connection closed by peer"),
    ],
)
async def test_whatever_ends_a_session_the_next_one_begins_with_what_is_not_confirmed(
    said: bytes, reason: str, make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    first, second = Script(YES_TO_OPEN), Peer()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(to()):
        await trio.testing.wait_all_tasks_blocked()
        first.say(encode_answers(2, 1))
        await trio.testing.wait_all_tasks_blocked()
        first.say(said)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.account.down_reason == reason
        assert not rig.account.up
        assert first.closed
        assert confirmed(rig) == 1
        await rig.delivered(seconds_max=100)
    assert second.messages == MESSAGES[1:]
    assert second.taken.startswith(b"1 open ")
    assert rig.account.retried == 2


async def test_answers_before_a_500_count(make_rig: MakeRig) -> None:
    connection = Script(YES_TO_OPEN)
    rig = make_rig(FakeNetwork(connection))
    rig.put(*MESSAGES)
    async with rig.delivering(to()):
        await trio.testing.wait_all_tasks_blocked()
        connection.say(encode_answers(2, 1))
        await trio.testing.wait_all_tasks_blocked()
        connection.say(encode_answers(3, 1) + encode(4, b"rsp", b"500 no"))
        await trio.testing.wait_all_tasks_blocked()
        assert confirmed(rig) == 2


async def test_a_message_that_is_refused_for_ever_is_alone_on_its_way(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """Those behind it are not sent again and again with it."""

    class Refusing(Script):
        def send(self, buffers: Sequence[bytes | memoryview]) -> int:
            if b"syslog" in bytes(buffers[0][:9]):
                self.say(encode(2, b"rsp", b"500 no"))
            return super().send(buffers)

    sessions = [Refusing(YES_TO_OPEN) for _ in range(5)]
    rig = make_rig(FakeNetwork(*sessions, Peer()))
    rig.put(*MESSAGES)
    async with rig.delivering(to()):
        await rig.delivered(seconds_max=1000)
    for session in sessions:
        assert session.taken.endswith(encode_messages(2, MESSAGES[:1]))
    assert rig.account.failures == 5


async def test_answers_that_came_before_a_break_are_settled(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """The send fails, and what the peer had confirmed until then can still be read."""

    class Breaking(Script):
        def send(self, buffers: Sequence[bytes | memoryview]) -> int:
            if b"2 syslog" in self.taken:
                self.say(encode_answers(3, 1))
                raise ConnectionBroken("Broken pipe")
            octets = super().send(buffers)
            if b"2 syslog" in self.taken:
                self.say(encode_answers(2, 1))
            return octets

    first, second = Breaking(YES_TO_OPEN), Peer()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(to()):
        await rig.delivered(seconds_max=100)
    assert second.messages == MESSAGES[2:]


@pytest.mark.parametrize("said", [b"", b"1 rsp", b"0 hint 0\n"])
async def test_who_does_not_answer_open_is_down(
    said: bytes, make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    connection = FakeConnection()
    if said:
        connection.say(said)
    with pytest.raises(DestinationDown, match="no answer to open within 10 s"):
        await _run(make_rig(FakeNetwork(connection)))
    assert connection.closed


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (encode(1, b"rsp", b"500 go away"), "the server answers '500 go away' to open"),
        (encode(1, b"rsp", b"200 OK\nrelp_version=0"), "the server does not take syslog"),
        (b"220 ESMTP\r\n", "no RELP header: b'220 ESMTP"),
    ],
)
async def test_who_does_not_open_is_down(said: bytes, reason: str, make_rig: MakeRig) -> None:
    with pytest.raises(DestinationDown) as down:
        await _run(make_rig(FakeNetwork(Script(said))))
    assert str(down.value).startswith(reason)


async def _run(rig: Rig) -> None:
    with rig.channel.lease() as lease:
        await to().run(lease, rig.outlet, task_status=trio.TASK_STATUS_IGNORED)


async def test_a_silent_peer_is_shown_as_stalled_and_never_cut(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    peer = Peer(prompt=False)
    rig = make_rig(FakeNetwork(peer))
    async with rig.delivering(to()):
        await trio.sleep(60)
        assert not rig.account.stalled, "there is nothing to answer"
        rig.put(*MESSAGES)
        await trio.sleep(4.9)
        assert not rig.account.stalled
        await trio.sleep(6)
        assert rig.account.stalled
        await trio.sleep(86400)
        assert rig.account.stalled
        peer.answer(1)
        await trio.testing.wait_all_tasks_blocked()
        assert not rig.account.stalled
        peer.answer_all()
        await rig.delivered()
    assert rig.account.connections == 1


async def test_a_peer_whose_kernel_is_silent_is_dead(
    make_rig: MakeRig,
    autojump_clock: trio.testing.MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Dead(Peer):
        def silent_seconds(self) -> float:
            return trio.current_time()

    first, second = Dead(prompt=False), Peer()
    rig = make_rig(FakeNetwork(first, second))
    rig.put(*MESSAGES)
    async with rig.delivering(to()):
        await trio.sleep(29)
        assert rig.account.up
        assert not rig.account.stalled, "it is silent, and does more than not read"
        await rig.delivered(seconds_max=100)
    assert "peer is dead: its kernel has not answered for 30 s" in caplog.text
    assert second.messages == MESSAGES


async def test_a_peer_that_takes_nothing_is_shown_as_stalled(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    peer = Peer(80)
    rig = make_rig(FakeNetwork(peer))
    rig.put(b"<13>" + b"x" * 100)
    async with rig.delivering(to()):
        await trio.sleep(STALLED_SECONDS + 0.1)
        assert rig.account.stalled
        peer.take(None)
        await rig.delivered()
        assert not rig.account.stalled


async def test_a_session_that_we_end_settles_what_is_still_answered(make_rig: MakeRig) -> None:
    peer = Peer(prompt=False)
    rig = make_rig(FakeNetwork(peer))
    rig.put(*MESSAGES)
    scope = trio.CancelScope()

    async def supervise() -> None:
        with scope:
            await rig.supervise(to())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(supervise)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert peer.taken.endswith(b"3 close 0\n")
        assert not peer.closed
        peer.answer(1)
    assert confirmed(rig) == 1
    assert rig.account.retried == 0
    assert peer.half_closed
    assert peer.closed


async def test_goodbye_to_a_silent_peer_is_short(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    connection = Script(YES_TO_OPEN)
    rig = make_rig(FakeNetwork(connection))
    async with rig.delivering(to()):
        await trio.testing.wait_all_tasks_blocked()
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(relp.GOODBYE_SECONDS_MAX)
    assert connection.closed


@pytest.mark.parametrize("room", [0, 60, 100, 333, None])
@pytest.mark.parametrize("ticks", range(0, 40, 2))
async def test_cancelled_at_any_await_nothing_is_lost(
    ticks: int, room: int | None, make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """The second session begins with the first message that the first did not confirm."""
    first, second = Peer(room), Peer()
    rig = make_rig(FakeNetwork(first))
    rig.put(*MESSAGES[:7])
    rig.put(*MESSAGES[7:])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, to(8))
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
            first.take(30 if room is not None else None)
        nursery.cancel_scope.cancel()
    rig.check()
    network = rig.network
    assert isinstance(network, FakeNetwork)
    if not first.closed:
        first, second = FakeConnection(), first  # type: ignore[assignment]
        second.take(None)
        known = 0
    else:
        network.add(second)
        known = confirmed(rig)
    async with rig.delivering(to(8)):
        await rig.delivered()
    assert second.messages == MESSAGES[known:]
    assert confirmed(rig) == len(MESSAGES)


@pytest.mark.parametrize("window", [0, 4097, "10", 1.5])
def test_a_window_out_of_bounds_is_an_error(window: object) -> None:
    with pytest.raises(ValidationError):
        RelpDestination.model_validate({"type": "relp", "address": "a:1", "window": window})


async def test_over_a_real_connection_that_breaks_again_and_again(
    make_rig: MakeRig, short_pauses: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes some and goes: nothing is missing, duplicates stay within the window."""
    monkeypatch.setattr(relp, "GOODBYE_SECONDS_MAX", 0.01)
    got: list[bytes] = []
    repeated = 0
    rig = make_rig()

    async def serve(patience: int, stream: trio.SocketStream) -> None:
        nonlocal repeated
        session = ServerSession(1 << 16, 1 << 20, FramingCounts())
        async with stream:
            taken = 0
            async for data in stream:
                found = session.feed(bytes(data))
                session.answer(session.unanswered)
                fresh = [it for it in found if it not in got[-40:]]
                repeated += len(found) - len(fresh)
                got.extend(fresh)
                taken += len(found)
                if taken > patience:
                    return  # without an answer to the last of them
                await stream.send_all(bytes(session.outgoing))
                session.outgoing.clear()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(
            partial(trio.serve_listeners, partial(serve, 150), listeners, handler_nursery=nursery)
        )
        port = listeners[0].socket.getsockname()[1]
        rig.put(*MANY)
        destination = RelpDestination(type="relp", address=f"127.0.0.1:{port}", window=32)
        async with rig.delivering(destination):
            await rig.delivered(seconds_max=20)
        nursery.cancel_scope.cancel()
    assert got == MANY
    assert rig.account.failures > 3
    assert 0 < repeated <= 32 * rig.account.failures
