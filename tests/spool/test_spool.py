"""The spool's task between a channel and a disk that may fail."""

import errno
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TypeVar

import pytest
import trio
import trio.testing

from relay.core.account import Confirmation, Drop
from relay.core.backlog import Backlog, SpoolMode
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.receipt import Receipt
from relay.spool import salvage
from relay.spool.recovery import Known
from relay.spool.segment import HEADER_OCTETS
from relay.spool.spool import Spool
from relay.system.ports import File
from tests.core.parts import check, make_batch, make_channel, number, numbered
from tests.spool.parts import FakeDirectory

T = TypeVar("T")
SMALL = Bounds(messages=10, memory=1 << 20)


class InlineDisk:
    """Hops that are over at once, as far as anybody can tell."""

    async def work(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return function(*args)

    async def open_append(self, base: str, path: str, *, mode: int) -> File:
        raise NotImplementedError

    async def write_stdout(self, data: bytes) -> int:
        raise NotImplementedError


@dataclass(eq=False)
class Rig:
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    bounds: Bounds = SMALL
    mode: SpoolMode = "always"
    held_before: int = 0
    channel: Channel = field(init=False)
    spool: Spool = field(init=False)

    def make(self) -> Channel:
        self.channel = make_channel(self.bounds)
        self.channel.backlog = Backlog(self.mode, 1 << 20)
        self.spool = Spool(
            self.channel, self.directory, InlineDisk(), 1 << 20, 0.02,
            known=Known, take_lost=lambda found, _: max(0, self.held_before - found),
        )  # fmt: skip
        return self.channel

    @asynccontextmanager
    async def running(self, *, finish: bool = True) -> AsyncIterator[Channel]:
        """A channel with its spool; at the end it is finished, or killed."""
        self.make()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.spool.run)
            await trio.testing.wait_all_tasks_blocked()
            yield self.channel
            check(self.channel)
            if finish:
                await self.spool.finish()
            nursery.cancel_scope.cancel()
        check(self.channel)

    def fail(self, kind: str, error: int = errno.ENOSPC) -> None:
        def fault(what: str, name: str) -> None:
            if what == kind and not name.endswith("cursor"):
                raise OSError(error, "fault")

        self.directory.fault = fault

    def mend(self) -> None:
        self.directory.fault = lambda *_: None


async def take(channel: Channel, seconds: float = 5) -> list[int]:
    """Deliver for a while; the numbers as they came."""
    found: list[int] = []
    with channel.lease() as lease, trio.move_on_after(seconds):
        while True:
            found += [number(m) for batch in await lease.lend() for m in batch.messages]
            lease.settle(lease.lent, Confirmation.SENT)
            check(channel)
    return found


@pytest.fixture
def rig() -> Rig:
    return Rig()


async def test_what_is_held_at_the_end_is_there_at_the_next_start(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    async with rig.running() as channel:
        for n in range(0, 50, 5):
            channel.put(numbered(n, n + 5))
        assert await take(channel, 0) == []
        with channel.lease() as lease:
            await lease.lend(5)
            lease.settle(5, Confirmation.SENT)
    assert channel.held().at_risk == 0
    async with rig.running() as channel:
        assert channel.account.recovered == 45
        assert await take(channel) == [*range(5, 50)]


async def test_after_kill_9_what_was_committed_is_there_and_the_rest_is_counted(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    async with rig.running(finish=False) as channel:
        channel.put(numbered(0, 5))
        await trio.sleep(1)
        assert channel.held().at_risk == 0
        channel.put(numbered(5, 8))
        assert channel.held().at_risk == 3
    rig.directory = rig.directory.kill()
    rig.held_before = 8  # as the crash page says
    async with rig.running() as channel:
        assert channel.account.recovered == 8
        assert channel.account.dropped[Drop.CRASH] == 3
        assert await take(channel) == [*range(5)]


async def test_one_sync_covers_all_that_gathered_while_nobody_waited(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    syncs: list[str] = []
    rig.directory.fault = lambda kind, name: syncs.append(name) if kind == "sync" else None
    async with rig.running() as channel:
        syncs.clear()
        for n in range(5):
            channel.put(numbered(n, n + 1))
            await trio.sleep(0.001)
        await trio.sleep(0.1)
        assert channel.held().at_risk == 0
        assert len([name for name in syncs if name.endswith(".seg")]) == 1


async def test_a_sender_that_waits_for_its_answer_is_not_kept_waiting(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    paid: list[float] = []
    async with rig.running() as channel:
        rig.spool.commit_seconds = 5
        receipt = Receipt(lambda: paid.append(trio.current_time()), lambda: None)
        began = trio.current_time()
        channel.put(make_batch(b"0", receipt=receipt))
        receipt.pay()
        await trio.sleep(1)
        assert paid == [began]


@pytest.mark.parametrize("kind", ["write", "allocate", "create", "sync"])
async def test_a_fault_of_the_disk_is_told_once_and_goes_by(
    autojump_clock: trio.testing.MockClock, rig: Rig, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with rig.running() as channel:
        channel.put(numbered(0, 5))
        await trio.sleep(1)
        rig.fail(kind, errno.EIO)
        for n in range(5, 30, 5):
            channel.put(numbered(n, n + 5))
            await trio.sleep(3)
        if kind in ("write", "sync"):
            assert channel.backlog is not None
            assert channel.backlog.failing == "fault"
            assert channel.held().at_risk > 0
            assert caplog.text.count("fails, going on from memory") == 1
        rig.mend()
        await trio.sleep(20)
        assert channel.held().at_risk == 0
        assert "fails" not in caplog.text or "works again" in caplog.text
        assert await take(channel) == [*range(30)]
    assert sum(channel.account.dropped.values()) == 0


async def test_with_a_failing_disk_the_pipe_delivers_from_memory(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.fail("open", errno.EROFS)
    async with rig.running() as channel:
        channel.put(numbered(0, 5))
        assert await take(channel) == [*range(5)]
        rig.mend()
        channel.put(numbered(5, 8))
        await trio.sleep(30)
        assert channel.held().at_risk == 0
        assert await take(channel) == [5, 6, 7]


@pytest.mark.parametrize("kind", ["open", "write"])
async def test_a_disk_that_works_again_is_tried_once_more_at_the_end(
    kind: str, autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """It failed when it was used last, and nobody would have tried it for some seconds."""
    rig.fail(kind)
    async with rig.running() as channel:
        channel.put(numbered(0, 5))
        await trio.sleep(20)
        assert channel.backlog
        assert channel.backlog.failing
        rig.mend()
    assert channel.held().at_risk == 0
    async with rig.running() as channel:
        assert await take(channel) == [*range(5)]


async def test_an_end_before_the_disk_is_open_leaves_nothing_in_memory(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.mode = "overflow"
    channel = rig.make()
    channel.put(numbered(0, 5))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.spool.run)
        await rig.spool.finish()
    assert channel.held().at_risk == 0
    async with rig.running() as channel:
        assert await take(channel) == [*range(5)]


async def test_overflow_answers_from_disk_when_the_destination_takes_nothing(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """A sender waits for its answer before it sends more, so memory does not fill up."""
    rig.mode = "overflow"
    paid: list[int] = []
    async with rig.running() as channel:
        receipt = Receipt(lambda: paid.append(1), lambda: None)
        channel.put(make_batch(b"0", receipt=receipt))
        receipt.pay()
        await trio.sleep(0.5)
        assert not rig.directory.files.keys() - {"cursor", "lock"}, "it may be a short while"
        await trio.sleep(3)
        assert paid
        assert await take(channel) == [0]
        assert channel.backlog
        assert not channel.backlog.active


async def test_a_spool_that_is_switched_off_ends_when_it_is_empty(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    async with rig.running() as channel:
        channel.put(numbered(0, 5))
    rig.mode = "never"
    async with rig.running() as channel:
        channel.put(numbered(5, 8))
        assert await take(channel) == [*range(8)]
        await trio.sleep(2)
        assert channel.backlog is None
        channel.put(numbered(8, 9))
        assert await take(channel) == [8]
    assert not [name for name in rig.directory.files if name.endswith(".seg")]


async def test_a_cursor_on_disk_is_a_second_old_at_most(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    async with rig.running(finish=False) as channel:
        channel.put(numbered(0, 9))
        await take(channel, 3)
    rig.directory = rig.directory.kill()
    async with rig.running() as channel:
        assert channel.account.recovered == 0


class GatedDisk(InlineDisk):
    """Commits do not return before somebody opens the gate."""

    def __init__(self) -> None:
        self.gate = trio.Event()
        self.gate.set()

    async def work(self, function: Callable[..., T], *args: object) -> T:
        found = await super().work(function, *args)
        if function.__name__ == "commit_group":
            with trio.CancelScope(shield=True):
                await self.gate.wait()
        return found


async def test_drop_oldest_spares_what_a_segment_has_got_meanwhile(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """The tail was chosen while a commit was under way that makes it longer, with a receipt."""
    rig.bounds = Bounds(messages=100, memory=1 << 20, overflow="drop-oldest")
    channel, disk, heard = rig.make(), GatedDisk(), list[str]()
    assert channel.backlog
    channel.backlog.octets_max = 64 << 10
    rig.spool.disk, rig.spool.octets_max = disk, 64 << 10
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.spool.run)
        await trio.testing.wait_all_tasks_blocked()
        channel.put(numbered(0, 10, 4000))
        await trio.sleep(3)
        disk.gate = trio.Event()
        receipt = Receipt(lambda: heard.append("yes"), lambda: heard.append("broken"))
        channel.put(replace(numbered(10, 14, 4000), receipt=receipt))
        receipt.pay()
        await trio.sleep(1)
        channel.put(numbered(14, 18, 4000))
        channel.put(numbered(18, 20, 4000))
        assert channel.account.dropped[Drop.OLDEST] == 10
        disk.gate.set()
        await trio.sleep(5)
        assert heard == ["yes"]
        assert await take(channel) == [*range(10, 20)]
        assert channel.account.dropped[Drop.DAMAGED] == 0
        nursery.cancel_scope.cancel()


async def fill_segments(rig: Rig) -> Sequence[tuple[int, int, int]]:
    """Sixty messages on disk, more than memory has room for; returns their segments."""
    store = rig.spool._store
    assert store
    store._segment_octets = 600
    for n in range(0, 60, 5):
        rig.channel.put(numbered(n, n + 5, 60))
        await trio.sleep(0.5)
    return store.segments()


async def test_a_directory_that_is_emptied_while_it_runs_is_begun_anew(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """What was only there is damage; what comes then is written as ever."""
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        await fill_segments(rig)
        rig.directory.files.clear()

        def fault(kind: str, name: str) -> None:
            if kind == "sync" and name and name not in rig.directory.files:
                raise FileNotFoundError(errno.ENOENT, "removed while it was open")

        rig.directory.fault = fault
        channel.put(numbered(60, 65, 60))
        await trio.sleep(20)
        assert channel.held().at_risk == 0
        taken = await take(channel, 60)
        assert taken[-5:] == [*range(60, 65)]
        assert len(taken) + channel.account.dropped[Drop.DAMAGED] == 65


async def test_a_segment_that_is_taken_away_while_it_runs_is_damage_and_no_obstacle(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        gone = (await fill_segments(rig))[2]
        del rig.directory.files[f"{gone[0]:020}.seg"]
        expected = [n for n in range(60) if not gone[0] <= n < gone[1]]
        assert await take(channel, 60) == expected
        assert channel.account.dropped[Drop.DAMAGED] == gone[1] - gone[0]


def unreadable(rig: Rig, segment: tuple[int, int, int], at: int = 0, end: int = 1 << 30) -> None:
    rig.directory.bad[f"{segment[0]:020}.seg"] = (at, end)


async def test_what_the_disk_does_not_give_while_it_works_is_damage_after_a_while(
    autojump_clock: trio.testing.MockClock,
    rig: Rig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """One segment of many: what is before it is delivered at once, what is behind it then."""
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        bad = (await fill_segments(rig))[2]
        unreadable(rig, bad)
        name = f"{bad[0]:020}.seg"
        content = bytes(rig.directory.files[name])
        assert await take(channel, 20) == [*range(bad[0])]
        assert channel.account.dropped[Drop.DAMAGED] == 0, "it may come back"
        assert await take(channel, 60) == [*range(bad[1], 60)]
        assert channel.account.dropped[Drop.DAMAGED] == bad[1] - bad[0]
        assert f"the disk works, and does not give all of {name}" in caplog.text
        await trio.sleep(5)
        assert name not in rig.directory.files
        assert rig.directory.aside[name] == content, "it is kept"


async def test_what_can_be_read_before_and_behind_a_bad_place_is_delivered(
    autojump_clock: trio.testing.MockClock, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "BLOCK_OCTETS", 16)
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        store = rig.spool._store
        assert store
        store._segment_octets = 4000
        for n in range(60):
            channel.put(numbered(n, n + 1, 60))
            await trio.sleep(0.5)
        bad = store.segments()[0]
        frame = (bad[2] - HEADER_OCTETS) // (bad[1] - bad[0])
        at = HEADER_OCTETS + 10 * frame + 50
        unreadable(rig, bad, at, at + frame)
        assert await take(channel, 100) == [n for n in range(60) if n not in (10, 11)]
        assert channel.account.dropped[Drop.DAMAGED] == 2


async def test_a_disk_that_fails_as_a_whole_makes_no_damage(
    autojump_clock: trio.testing.MockClock, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        await fill_segments(rig)
        rig.fail("read", errno.EIO)
        taken = await take(channel, 600)
        rig.mend()
        assert [*taken, *await take(channel, 60)] == [*range(60)]
        assert channel.account.dropped[Drop.DAMAGED] == 0
        assert "the disk works" not in caplog.text
        assert not rig.directory.aside


@pytest.mark.parametrize("place", [0, -1])
async def test_a_start_waits_for_what_cannot_be_read_and_then_goes_on_without(
    autojump_clock: trio.testing.MockClock, rig: Rig, place: int
) -> None:
    """The first segment's header, the last one's frames: a start reads both."""
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        bad = (await fill_segments(rig))[place]
    unreadable(rig, bad)
    async with rig.running() as channel:
        assert await take(channel, 10) == []
        assert channel.account.recovered == 0
        expected = [n for n in range(60) if not bad[0] <= n < bad[1]]
        assert await take(channel, 120) == expected
        assert channel.account.dropped[Drop.DAMAGED] == bad[1] - bad[0]
        channel.put(numbered(60, 61))
        await trio.sleep(5)
        assert channel.held().at_risk == 0
        assert await take(channel) == [60]
        await trio.sleep(5)
        assert f"{bad[0]:020}.seg" in rig.directory.aside


async def test_a_cursor_that_cannot_be_read_is_no_obstacle(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """Everything on disk comes again, as with a damaged one."""
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        await fill_segments(rig)
    rig.directory.bad["cursor"] = (0, 1 << 30)
    async with rig.running() as channel:
        await trio.sleep(60)
        assert "cursor" in rig.directory.aside
        del rig.directory.bad["cursor"]
        assert await take(channel, 60) == [*range(60)]


async def test_a_segment_that_cannot_be_read_waits_until_it_can_or_is_taken_away(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.bounds = Bounds(messages=5, memory=1 << 20)
    async with rig.running() as channel:
        bad = (await fill_segments(rig))[2]
        name = f"{bad[0]:020}.seg"

        def fault(kind: str, at: str) -> None:
            if (kind, at) == ("read", name):
                raise OSError(errno.EACCES, "Permission denied")

        rig.directory.fault = fault
        assert await take(channel, 60) == [*range(bad[0])]
        del rig.directory.files[name]
        assert await take(channel, 60) == [*range(bad[1], 60)]
        assert channel.account.dropped[Drop.DAMAGED] == bad[1] - bad[0]


@pytest.mark.parametrize("is_file", [True, False])
async def test_what_somebody_has_put_where_the_next_segment_goes_is_set_aside(
    autojump_clock: trio.testing.MockClock,
    rig: Rig,
    is_file: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with rig.running() as channel:
        name = f"{0:020}.seg"
        if is_file:
            rig.directory.files[name] = bytearray(b"a copy of something")
        else:
            rig.directory.strangers.append(name)
        channel.put(numbered(0, 5))
        await trio.sleep(1)
        assert channel.held().at_risk == 0
        assert name in rig.directory.aside
        assert f"{name} was none of ours and in the way: it is in quarantine now" in caplog.text
    async with rig.running() as channel:
        assert await take(channel) == [*range(5)]


async def test_what_somebody_has_put_where_the_cursor_was_is_set_aside_and_told(
    autojump_clock: trio.testing.MockClock, rig: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    async with rig.running() as channel:
        channel.put(numbered(0, 5))
        await trio.sleep(1)
    del rig.directory.files["cursor"]
    rig.directory.strangers.append("cursor")
    async with rig.running() as channel:
        assert await take(channel) == [*range(5)]
        assert "cursor" in rig.directory.aside
        assert "no whole cursor: everything that is on disk is delivered again" in caplog.text
        assert "cursor was none of ours and in the way" in caplog.text
        assert "left alone" not in caplog.text


async def test_what_was_dropped_behind_lent_messages_is_in_the_books_once_also_after_kill_9(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """The disk does not know of it yet: it is held, and comes again."""
    rig.bounds = Bounds(messages=5, memory=1 << 20, overflow="drop-oldest")
    async with rig.running(finish=False) as channel:
        await fill_segments(rig)
        assert channel.backlog
        with channel.lease() as lease:
            await lease.lend(2)
            channel.backlog.octets_max = channel.backlog.octets
            channel.put(numbered(60, 61, 60))
            assert len(channel.backlog.dropped) == 1
            check(channel)
            rig.held_before = channel.account.received - channel.account.dropped[Drop.OLDEST]
            rig.directory = rig.directory.kill()
    dropped = channel.account.dropped[Drop.OLDEST]
    async with rig.running() as channel:
        assert channel.account.recovered == rig.held_before
        assert len(await take(channel, 60)) == 60 - dropped
        assert channel.account.dropped[Drop.CRASH] == 1, "what was put last"


async def test_what_was_dropped_behind_lent_messages_is_booked_when_the_disk_knows(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.bounds = Bounds(messages=5, memory=1 << 20, overflow="drop-oldest")
    async with rig.running() as channel:
        await fill_segments(rig)
        assert channel.backlog
        with channel.lease() as lease:
            await lease.lend(2)
            channel.backlog.octets_max = channel.backlog.octets
            channel.put(numbered(60, 61, 60))
            [gone] = channel.backlog.dropped
            assert channel.account.dropped[Drop.OLDEST] == 0
            check(channel)
            await trio.sleep(1)
            assert channel.account.dropped[Drop.OLDEST] == gone.end - gone.first
            check(channel)
            rig.held_before = channel.held().messages
            channel.backlog.octets_max = 1 << 20
            channel.backlog.work.unpark_all()
    async with rig.running() as channel:
        assert channel.account.recovered == rig.held_before
        expected = [n for n in range(61) if not gone.first <= n < gone.end]
        assert await take(channel, 60) == expected


async def test_what_was_dropped_at_the_very_end_has_left_the_disk(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.bounds = Bounds(messages=5, memory=1 << 20, overflow="drop-oldest")
    async with rig.running() as channel:
        await fill_segments(rig)
        assert channel.backlog
        with channel.lease() as lease:
            await lease.lend(2)
            channel.backlog.octets_max = channel.backlog.octets
            channel.spooling.drop_oldest()
            [gone] = channel.backlog.dropped
            await rig.spool.finish()
    assert channel.account.dropped[Drop.OLDEST] == gone.end - gone.first
    async with rig.running() as channel:
        assert channel.account.recovered == 60 - (gone.end - gone.first)


def with_room(rig: Rig, octets: int) -> None:
    """A disk that has so much for segments, and takes part of none that does not fit."""

    def fault(kind: str, name: str) -> None:
        files = rig.directory.files
        used = sum(len(files[it]) for it in files if it.endswith(".seg"))
        if kind in ("allocate", "write") and name.endswith(".seg") and used + 600 > octets:
            raise OSError(errno.ENOSPC, "No space left on device")

    rig.directory.fault = fault


async def test_drop_oldest_makes_room_on_a_disk_that_is_full_before_its_size_is_reached(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.bounds = Bounds(messages=5, memory=10_000, overflow="drop-oldest")
    async with rig.running() as channel:
        await fill_segments(rig)
        with_room(rig, 6000)
        for n in range(60, 400, 2):
            channel.put(numbered(n, n + 2, 60))
            check(channel)
            await trio.sleep(0.2)
        assert channel.account.dropped[Drop.FULL] == 0
        assert channel.account.dropped[Drop.OLDEST] > 200
        taken = await take(channel, 60)
        assert taken == [*range(taken[0], 400)]
        assert len(taken) == 400 - channel.account.dropped[Drop.OLDEST]


async def test_where_dropping_makes_no_room_no_more_than_a_segment_an_attempt_goes(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    """Somebody else takes what is freed: the rest of the spool is not thrown after it."""
    rig.bounds = Bounds(messages=5, memory=10_000, overflow="drop-oldest")
    async with rig.running() as channel:
        before = await fill_segments(rig)
        with_room(rig, 0)
        for n in range(60, 460):
            channel.put(numbered(n, n + 1, 60))
            check(channel)
            await trio.sleep(0.05)
        store = rig.spool._store
        assert store
        assert len(before) - 6 <= len(store.segments()) < len(before)
        assert channel.account.dropped[Drop.FULL] > 0
        rig.mend()
        await trio.sleep(20)
        channel.put(numbered(460, 461, 60))
        assert (await take(channel, 60))[-1] == 460


async def test_what_the_delivery_has_in_hand_is_not_dropped_for_room(
    autojump_clock: trio.testing.MockClock, rig: Rig
) -> None:
    rig.bounds = Bounds(messages=50, memory=10_000, overflow="drop-oldest")
    async with rig.running() as channel:
        await fill_segments(rig)
        with channel.lease() as lease:
            in_hand = [number(m) for batch in await lease.lend(20) for m in batch.messages]
            with_room(rig, 4000)
            for n in range(60, 460):
                channel.put(numbered(n, n + 1, 60))
                check(channel)
                await trio.sleep(0.2)
            assert channel.account.dropped[Drop.OLDEST] > 0
        taken = await take(channel, 60)
        assert taken[: len(in_hand)] == in_hand
        assert taken[-1] == 459
