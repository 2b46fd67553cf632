"""The channel in front of a disk: nothing is in two places, nothing in none, order is kept."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core import spooling as spooling_module
from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.backlog import Backlog, Lost, Segment, SpoolMode
from relay.core.bounds import Bounds, Overflow
from relay.core.channel import Channel
from relay.core.memory import Memory, cost
from relay.core.queue import Entry
from relay.core.receipt import Receipt
from tests.core.parts import (
    check,
    contents,
    make_batch,
    make_channel,
    make_receipt,
    number,
    numbered,
)

SMALL = Bounds(messages=4, memory=1 << 20)
OCTETS = 10  # of each message


@dataclass(eq=False)
class FakeDisk:
    """What a spool's task and its files do, as far as the channel can see it."""

    channel: Channel
    kept: list[Entry] = field(default_factory=list)
    reads: int = 0
    broken: bool = False
    removed: list[Segment] = field(default_factory=list)

    @property
    def backlog(self) -> Backlog:
        assert self.channel.backlog is not None
        return self.channel.backlog

    async def read(self, first: int, octets_max: int) -> Sequence[Entry | Lost]:
        await trio.lowlevel.checkpoint()
        self.reads += 1
        if self.broken:
            raise OSError(5, "Input/output error")
        found: list[Entry | Lost] = []
        octets = 0
        for entry in self.kept:
            if entry.end > first and octets < octets_max:
                if entry.first > first and not found and not self._was_dropped(first):
                    found.append(Lost(first, entry.first - first, "gone"))
                part = entry.part(max(0, first - entry.first))
                found.append(part)
                octets += part.batch.octets
        return found

    def _was_dropped(self, number: int) -> bool:
        return any(it.first <= number < it.end for it in (*self.removed, *self.backlog.dropped))

    def commit(self, entries: int = 1 << 30) -> None:
        """The task has written and synced so many of the oldest unwritten entries."""
        group = list(self.backlog.unwritten)[:entries]
        if group:
            self.kept += [Entry(it.first, it.batch) for it in group]
            self.refresh()
            self.channel.spooling.committed(group[-1].end)

    def refresh(self) -> None:
        gone = {it.first for it in self.backlog.dropped}
        self.removed += self.backlog.dropped
        self.channel.spooling.removed(len(self.backlog.dropped))
        head = self.channel.head
        self.kept = [it for it in self.kept if it.first not in gone and it.end > head]
        self.backlog.segments = [Segment(it.first, it.end, it.batch.octets) for it in self.kept]
        self.backlog.octets = sum(it.batch.octets for it in self.kept)


def spooled(
    mode: SpoolMode = "always", bounds: Bounds = SMALL, octets_max: int = 1 << 20
) -> FakeDisk:
    channel = make_channel(bounds)
    channel.backlog = Backlog(mode, octets_max)
    channel.backlog.active = mode == "always"
    return FakeDisk(channel)


async def opened(
    mode: SpoolMode = "always", bounds: Bounds = SMALL, octets_max: int = 1 << 20
) -> FakeDisk:
    disk = spooled(mode, bounds, octets_max)
    disk.channel.spooling.open(disk, settled=0, end=0, messages=0, lost=0)
    return disk


async def take_all(disk: FakeDisk) -> list[int]:
    """Deliver until nothing comes any more; the numbers in the order in which they came."""
    delivered: list[int] = []
    with disk.channel.lease() as lease, trio.move_on_after(1):
        while True:
            batches = await lease.lend()
            delivered += [number(m) for batch in batches for m in batch.messages]
            lease.settle(lease.lent, Confirmation.SENT)
            verify(disk)
    return delivered


def verify(disk: FakeDisk) -> None:
    """The invariants of channel, backlog and memory."""
    channel, backlog = disk.channel, disk.backlog
    check(channel)
    in_memory = [it for it in backlog.unwritten if backlog.only_here(it)]
    used = cost(channel._queue.messages, channel._queue.octets)
    used += sum(cost(len(it.batch), it.batch.octets) for it in in_memory)
    assert channel._memory.used[channel] == used
    assert backlog.unwritten_messages == sum(len(it.batch) for it in backlog.unwritten)
    assert backlog.unwritten_octets == sum(it.batch.octets for it in backlog.unwritten)
    assert (backlog.gap is None) == (not backlog.gap_messages)
    held = channel.held()
    assert 0 <= held.at_risk <= held.messages
    numbers = [entry.first for entry in channel._queue.held()]
    assert numbers == sorted(numbers)
    assert not numbers or backlog.gap is None or numbers[-1] < backlog.gap


# -- one thing at a time


async def test_what_fits_in_memory_is_delivered_without_waiting_for_the_disk(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    disk.channel.put(numbered(0, 3, OCTETS))
    assert disk.channel.held().at_risk == 3
    assert await take_all(disk) == [0, 1, 2]
    assert disk.reads == 0
    disk.commit()
    assert disk.channel.held().messages == 0
    assert disk.channel.head == disk.channel.next == 3


async def test_what_does_not_fit_waits_on_disk_and_comes_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    for n in range(0, 100, 2):
        disk.channel.put(numbered(n, n + 2, OCTETS))
        verify(disk)
    assert disk.channel.held().memory == 4
    assert disk.channel.held().spool == 96
    disk.commit(20)
    verify(disk)
    assert disk.channel.held().at_risk == 60
    assert await take_all(disk) == [*range(100)]
    assert sum(disk.channel.account.dropped.values()) == 0


async def test_overflow_runs_from_memory_until_it_is_full_and_again_when_the_disk_is_empty(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened("overflow")
    disk.channel.put(numbered(0, 4, OCTETS))
    assert not disk.backlog.unwritten
    disk.channel.put(numbered(4, 6, OCTETS))
    assert [entry.first for entry in disk.backlog.unwritten] == [0, 4]
    disk.commit()
    disk.channel.put(numbered(6, 7, OCTETS))
    verify(disk)
    assert await take_all(disk) == [*range(7)]
    assert not disk.backlog.active
    assert not disk.backlog.unwritten, "what is delivered needs no disk"
    disk.channel.put(numbered(7, 8, OCTETS))
    assert not disk.backlog.unwritten
    assert await take_all(disk) == [7]


async def test_what_is_lent_goes_to_disk_first_when_memory_is_full() -> None:
    disk = await opened("overflow")
    disk.channel.put(numbered(0, 4, OCTETS))
    with disk.channel.lease() as lease:
        await lease.lend(2)
        lease.settle(1, Confirmation.SENT)
        disk.channel.put(numbered(4, 9, OCTETS))
        disk.channel.put(numbered(9, 10, OCTETS))
        assert [it.first for it in disk.backlog.unwritten] == [1, 2, 4, 9]
        verify(disk)
    assert contents(disk.channel) == [1, 2, 3, 4, 5, 6, 7, 8]
    verify(disk)


@pytest.mark.parametrize("overflow", ["drop-newest", "block"])
async def test_a_full_disk_drops_the_new_ones_or_makes_listeners_wait(overflow: Overflow) -> None:
    disk = await opened(bounds=Bounds(4, 1 << 20, overflow), octets_max=100)
    disk.channel.put(numbered(0, 10, OCTETS))
    disk.commit()
    assert disk.channel.full
    assert disk.channel.blocked == (overflow == "block")
    disk.channel.put(numbered(10, 11, OCTETS))
    assert disk.channel.account.dropped[Drop.FULL] == 1
    verify(disk)


async def test_a_full_disk_drops_its_oldest_segment_in_which_nothing_is_lent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened(bounds=Bounds(4, 1 << 20, "drop-oldest"), octets_max=100)
    for n in range(0, 10, 2):
        disk.channel.put(numbered(n, n + 2, OCTETS))
    disk.commit()
    with disk.channel.lease() as lease:
        await lease.lend(1)
        disk.channel.put(numbered(10, 12, OCTETS))
        verify(disk)
        assert disk.channel.account.dropped[Drop.OLDEST] == 0, "on disk it is there still"
    verify(disk)
    disk.commit()
    assert disk.channel.account.dropped[Drop.OLDEST] == 2
    verify(disk)
    assert await take_all(disk) == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11]


async def test_a_segment_that_is_not_durable_as_a_whole_is_not_dropped() -> None:
    """Its sync has failed: what is in it is written again, elsewhere."""
    disk = await opened(bounds=Bounds(4, 1 << 20, "drop-oldest"), octets_max=100)
    for n in range(0, 10, 2):
        disk.channel.put(numbered(n, n + 2, OCTETS))
    disk.commit(2)
    disk.backlog.segments = [Segment(0, 2, 20), Segment(2, 6, 40)]
    with disk.channel.lease() as lease:
        await lease.lend(1)
        disk.channel.put(numbered(10, 12, OCTETS))
        verify(disk)
    assert not disk.backlog.dropped
    assert disk.channel.account.dropped[Drop.FULL] == 2


async def test_what_comes_again_is_not_forgotten_when_the_rest_is_left_to_the_disk(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened(bounds=Bounds(4, 1 << 20, "drop-oldest"), octets_max=100)
    with disk.channel.lease() as lease:
        lease.keep(20)
        disk.channel.put(numbered(0, 2, OCTETS))
        await lease.lend()
        lease.settle(2, Confirmation.ACKED)
        lease.replay()
    for n in range(2, 14, 2):
        disk.channel.put(numbered(n, n + 2, OCTETS))
        disk.commit()
    verify(disk)
    assert await take_all(disk) == [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]
    assert disk.channel.account.dropped[Drop.OLDEST] == 2


async def test_a_disk_that_is_too_slow_is_full_before_memory_is_spent() -> None:
    disk = await opened(bounds=Bounds(1 << 20, 1000))
    for n in range(100):
        disk.channel.put(numbered(n, n + 1, 100))
    verify(disk)
    assert disk.channel._memory.used[disk.channel] < 1000 + 200
    assert disk.channel.account.dropped[Drop.FULL] > 0


async def test_a_disk_that_is_too_slow_costs_nothing_while_the_destination_takes_all() -> None:
    """What is delivered is not written any more: it would keep the others out."""
    disk = await opened(bounds=Bounds(1 << 20, 10_000))
    disk.channel.put(numbered(0, 2, OCTETS))
    disk.commit()
    with disk.channel.lease() as lease:
        for n in range(2, 1000, 2):
            disk.channel.put(numbered(n, n + 2, OCTETS))
            await lease.lend()
            lease.settle(lease.lent, Confirmation.SENT)
            verify(disk)
        disk.channel.put(numbered(1000, 1002, OCTETS))
    assert not sum(disk.channel.account.dropped.values())
    disk.commit()
    verify(disk)
    assert contents(disk.channel) == [1000, 1001]


async def test_a_failing_disk_lets_the_pipe_run_from_memory_and_recovers(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    disk.channel.put(numbered(0, 3, OCTETS))
    disk.channel.spooling.failed("no space left on device")
    assert await take_all(disk) == [0, 1, 2]
    assert not disk.backlog.unwritten, "what is delivered is not kept for the disk"
    disk.channel.put(numbered(3, 5, OCTETS))
    disk.commit()
    assert disk.backlog.failing == ""
    assert await take_all(disk) == [3, 4]


async def test_a_disk_that_cannot_be_read_is_asked_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    disk.channel.put(numbered(0, 4, OCTETS))
    disk.channel.put(numbered(4, 9, OCTETS))
    disk.commit()
    disk.broken = True
    assert await take_all(disk) == [0, 1, 2, 3]
    disk.broken = False
    assert await take_all(disk) == [4, 5, 6, 7, 8]


async def test_what_is_read_before_it_is_durable_stays_where_it_was(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Written, and the sync has failed: it is in memory still, and weighs once."""
    disk = await opened()
    for n in range(0, 12, 4):
        disk.channel.put(numbered(n, n + 4, OCTETS))
    disk.commit(2)
    disk.kept.append(Entry(8, numbered(8, 12, OCTETS)))
    assert await take_all(disk) == [*range(12)]
    disk.kept.pop()
    disk.commit()
    verify(disk)


async def test_a_batch_that_is_durable_in_part_counts_as_not_durable(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """The disk has taken some frames of a large batch when it fails: the whole stays in memory."""
    disk = await opened()
    for n in range(0, 12, 4):
        disk.channel.put(numbered(n, n + 4, OCTETS))
    disk.kept = [Entry(0, numbered(0, 4, OCTETS)), Entry(4, numbered(4, 6, OCTETS))]
    disk.channel.spooling.committed(6, fails=True)
    assert disk.backlog.committed == 4
    verify(disk)
    assert await take_all(disk) == [*range(12)]


async def test_damage_is_dropped_and_counted_and_the_rest_delivered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    for n in range(0, 12, 4):
        disk.channel.put(numbered(n, n + 4, OCTETS))
    disk.commit()
    del disk.kept[1]
    assert await take_all(disk) == [0, 1, 2, 3, 8, 9, 10, 11]
    assert disk.channel.account.dropped[Drop.DAMAGED] == 4
    assert disk.channel.is_empty


# -- receipts


async def test_a_receipt_is_paid_when_the_batch_is_durable_or_delivered(
    autojump_clock: trio.testing.MockClock,
) -> None:
    paid: list[int] = []
    disk = await opened()
    for n in range(3):
        receipt = Receipt(lambda n=n: paid.append(n), lambda: None)  # type: ignore[misc]
        disk.channel.put(make_batch(b"%d" % n, receipt=receipt))
        receipt.pay()
    assert paid == []
    disk.commit(1)
    assert paid == [0]
    with disk.channel.lease() as lease:
        await lease.lend(2)
        lease.settle(2, Confirmation.SENT)
        assert paid == [0, 1]
    disk.commit()
    assert paid == [0, 1, 2]


async def test_what_its_sender_would_send_again_is_not_at_risk(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody has been told yes: a crash costs nothing of it."""
    disk = await opened()
    disk.channel.put(numbered(0, 2, OCTETS))
    for n in range(2, 8, 2):
        receipt = Receipt(lambda: None, lambda: None)
        disk.channel.put(make_batch(b"%d" % n, b"%d" % (n + 1), receipt=receipt))
        receipt.pay()
    assert disk.channel.held().at_risk == 2
    with disk.channel.lease() as lease:
        await lease.lend(4)
        lease.settle(3, Confirmation.SENT)
        assert disk.channel.held().at_risk == 0
    verify(disk)
    disk.commit(2)
    assert disk.channel.held().at_risk == 0
    disk.channel.put(numbered(8, 9, OCTETS))
    assert disk.channel.held().at_risk == 1
    verify(disk)


async def test_what_a_receipt_is_for_is_taken_although_the_disk_is_full() -> None:
    disk = await opened(bounds=Bounds(4, 1 << 20, "drop-newest"), octets_max=10)
    disk.channel.put(numbered(0, 1, OCTETS))
    receipt = Receipt(lambda: None, lambda: None)
    assert disk.channel.makes_wait(acknowledging=True)
    assert not disk.channel.makes_wait(acknowledging=False)
    disk.channel.put(make_batch(b"1", receipt=receipt))
    assert disk.channel.held().messages == 2


@pytest.mark.parametrize("mode", ["always", "overflow"])
@pytest.mark.parametrize("overflow", ["drop-newest", "drop-oldest", "block"])
@pytest.mark.parametrize("failing", [False, True])
async def test_no_policy_drops_what_is_owed_an_answer(
    failing: bool, overflow: Overflow, mode: SpoolMode, autojump_clock: trio.testing.MockClock
) -> None:
    """A disk that is full, or fails: what has no receipt is dropped, what has one stays."""
    disk = await opened(mode, Bounds(4, 1 << 20, overflow), octets_max=3 * OCTETS)
    receipt = make_receipt()
    disk.channel.put(numbered(0, 2, OCTETS))
    if mode == "always":
        disk.commit()
    disk.channel.put(make_batch(b"2".ljust(OCTETS, b"."), receipt=receipt))
    receipt.pay()
    if failing:
        disk.channel.spooling.failed("no space left on device")
    for n in range(3, 40):
        disk.channel.put(numbered(n, n + 1, OCTETS))
        verify(disk)
    assert sum(disk.channel.account.dropped.values()) >= 30
    assert receipt.owed == 1
    assert 2 in await take_all(disk)
    assert receipt.owed == 0


# -- the start


async def test_nothing_is_lent_before_the_disk_has_been_looked_at(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = spooled()
    disk.channel.put(numbered(10, 12, OCTETS))
    assert await take_all(disk) == []
    disk.kept = [Entry(5, numbered(0, 10, OCTETS))]
    disk.channel.spooling.open(disk, settled=5, end=15, messages=10, lost=0)
    verify(disk)
    assert disk.channel.account.recovered == 10
    disk.commit()
    assert await take_all(disk) == [*range(12)]
    assert disk.channel.next == 17


async def test_what_was_held_and_is_not_on_disk_was_lost_in_the_crash() -> None:
    disk = spooled()
    disk.kept = [Entry(0, numbered(0, 10, OCTETS))]
    disk.channel.spooling.open(disk, settled=0, end=10, messages=10, lost=4)
    assert disk.channel.account.recovered == 14
    assert disk.channel.account.dropped[Drop.CRASH] == 4
    assert disk.channel.held().messages == 10
    verify(disk)


async def test_a_disk_that_opens_late_comes_in_behind_what_is_lent(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = spooled()
    disk.channel.put(numbered(10, 14, OCTETS))
    disk.channel.spooling.failed("read-only file system")
    disk.kept = [Entry(7, numbered(0, 10, OCTETS))]
    async with trio.open_nursery() as nursery:
        with disk.channel.lease() as lease:
            await lease.lend(2)

            async def open_late() -> None:
                await disk.channel.spooling.make_way()
                disk.channel.spooling.open(disk, settled=7, end=17, messages=10, lost=0)

            nursery.start_soon(open_late)
            await trio.testing.wait_all_tasks_blocked()
            assert disk.channel.account.recovered == 0
            lease.settle(2, Confirmation.SENT)
            await trio.testing.wait_all_tasks_blocked()
            assert disk.channel.account.recovered == 10
    verify(disk)
    disk.commit()
    assert await take_all(disk) == [*range(10), 12, 13]


async def test_numbers_that_were_used_while_the_disk_failed_are_used_again_in_another_epoch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Where more was delivered meanwhile than the disk has, no number of ours changes."""
    disk = spooled()
    disk.channel.put(numbered(10, 30, OCTETS))
    disk.channel.spooling.failed("read-only file system")
    assert await take_all(disk) == [*range(10, 30)]
    disk.kept = [Entry(7, numbered(0, 10, OCTETS))]
    disk.channel.spooling.open(disk, settled=7, end=17, messages=10, lost=0)
    assert disk.channel.account.renumbered == 1
    verify(disk)
    assert await take_all(disk) == [*range(10)]
    assert disk.channel.next == 20


async def test_numbers_that_follow_those_of_the_disk_are_of_the_same_epoch() -> None:
    account = PipeAccount("pipe", destination="sink")
    channel = Channel(account, SMALL, Memory(1 << 31), first=17)
    channel.backlog = Backlog("always", 1 << 20)
    channel.put(numbered(10, 14, OCTETS))
    disk = FakeDisk(channel, [Entry(7, numbered(0, 10, OCTETS))])
    channel.spooling.open(disk, settled=7, end=17, messages=10, lost=0)
    assert account.renumbered == 0
    verify(disk)


async def test_holes_of_the_disk_are_passed_also_when_it_takes_nothing(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Behind one there is only what is still in memory: that is next."""
    disk = spooled()
    disk.kept = [Entry(5, numbered(5, 7, OCTETS)), Entry(9, numbered(9, 10, OCTETS))]
    disk.channel.next = 12
    disk.channel.put(numbered(12, 14, OCTETS))
    disk.channel.spooling.open(
        disk, settled=3, end=12, holes=[Segment(3, 5, 0), Segment(7, 9, 0), Segment(10, 12, 0)],
        messages=3, lost=0,
    )  # fmt: skip
    verify(disk)
    assert disk.channel.head == 5
    disk.channel.spooling.failed("no space left on device")
    assert await take_all(disk) == [5, 6, 9, 12, 13]


async def test_what_the_disk_should_have_and_skips_is_damage(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Somebody has emptied its directory, and it was made anew."""
    disk = await opened()
    for n in range(0, 16, 4):
        disk.channel.put(numbered(n, n + 4, OCTETS))
    disk.commit(3)
    del disk.kept[1:3]
    assert await take_all(disk) == [0, 1, 2, 3, 12, 13, 14, 15]
    assert disk.channel.account.dropped[Drop.DAMAGED] == 8
    verify(disk)


async def test_damage_that_reaches_over_what_was_dropped_counts_the_rest_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    for n in range(0, 16, 4):
        disk.channel.put(numbered(n, n + 4, OCTETS))
    disk.commit()
    with disk.channel.lease() as lease:
        await lease.lend()
        lease.settle(4, Confirmation.SENT)
        reading = disk.read

        async def read(first: int, octets_max: int) -> Sequence[Entry | Lost]:
            await reading(first, octets_max)
            disk.backlog.octets_max = 0
            disk.channel.spooling.drop_oldest()  # a put in another task
            return [Lost(4, 12, "in a segment")]

        disk.read = read  # type: ignore[method-assign]
        disk.backlog.segments = [Segment(8, 12, 40)]
        with trio.move_on_after(1):
            await lease.lend()
    assert disk.channel.account.dropped[Drop.OLDEST] == 4
    assert disk.channel.account.dropped[Drop.DAMAGED] == 8
    verify(disk)


async def test_what_was_delivered_before_a_disk_opened_late_leaves_no_gap(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = spooled()
    disk.channel.put(numbered(10, 14, OCTETS))
    disk.channel.spooling.failed("input/output error")
    with disk.channel.lease() as lease:
        await lease.lend(3)
        lease.settle(3, Confirmation.SENT)
    disk.kept = [Entry(0, numbered(0, 2, OCTETS))]
    disk.channel.spooling.open(disk, settled=0, end=2, messages=2, lost=0)
    verify(disk)
    assert await take_all(disk) == [0, 1, 13]


async def test_a_spool_that_is_switched_on_writes_what_is_held(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel(SMALL)
    channel.put(numbered(0, 3, OCTETS))
    with channel.lease() as lease:
        await lease.lend(1)
        channel.backlog = Backlog("always", 1 << 20, tried=True)
        disk = FakeDisk(channel)
        channel.spooling.open(disk, settled=0, end=0, messages=0, lost=0)
        verify(disk)
        assert disk.backlog.unwritten_messages == 3
    disk.commit()
    assert await take_all(disk) == [0, 1, 2]


async def test_at_the_end_what_is_durable_stays_and_the_rest_is_dropped() -> None:
    disk = await opened()
    for n in range(0, 10, 2):
        disk.channel.put(numbered(n, n + 2, OCTETS))
    disk.commit(3)
    assert disk.channel.drop_all(Drop.SHUTDOWN) == 4
    verify(disk)
    assert disk.channel.held().spool == disk.channel.held().messages == 6
    assert disk.channel.account.dropped[Drop.SHUTDOWN] == 4


async def test_a_pipe_that_is_taken_up_again_goes_on_behind_what_was_dropped(
    autojump_clock: trio.testing.MockClock,
) -> None:
    disk = await opened()
    for n in range(0, 10, 2):
        disk.channel.put(numbered(n, n + 2, OCTETS))
    disk.commit(3)
    disk.channel.closing = Drop.REMOVED
    assert disk.channel.drop_all(Drop.REMOVED) == 4
    disk.channel.reopen()
    disk.channel.put(numbered(10, 12, OCTETS))
    verify(disk)
    assert await take_all(disk) == [*range(6), 10, 11]
    verify(disk)


# -- anything, in any order


@dataclass(eq=False)
class World:
    """Numbered messages through a channel with a disk, and what must be true of them."""

    disk: FakeDisk
    put_so_far: int = 0
    lease: Any = None
    delivered: list[int] = field(default_factory=list)
    paid: int = 0
    receipts: int = 0

    def put(self, messages: int, receipt: bool) -> None:
        batch = numbered(self.put_so_far, self.put_so_far + messages, OCTETS)
        carried = None
        if receipt:
            carried = Receipt(self._pay, lambda: None)
            batch = make_batch(*batch.messages, receipt=carried)
            self.receipts += 1
        self.disk.channel.put(batch)
        if carried:
            carried.pay()
        self.put_so_far += messages

    def _pay(self) -> None:
        self.paid += 1

    async def deliver(self, lend: int, settle: int, refuse: int) -> None:
        if self.lease is None:
            self.lease = self.disk.channel.lease()
            self.hold = self.lease.__enter__()
        with trio.move_on_after(0.5):
            await self.hold.lend(lend)
        in_hand = contents(self.disk.channel)
        settle = min(settle, self.hold.lent)
        self.delivered += in_hand[:settle]
        self.hold.settle(settle, Confirmation.SENT)
        self.hold.refuse(min(refuse, self.hold.lent), Drop.REFUSED)

    def leave(self) -> None:
        if self.lease is not None:
            self.lease.__exit__(None, None, None)
            self.lease = None

    def commit(self, entries: int) -> None:
        self.disk.commit(entries)

    def fail(self) -> None:
        self.disk.channel.spooling.failed("input/output error")

    def refresh(self) -> None:
        self.disk.refresh()

    def check(self) -> None:
        verify(self.disk)
        assert self.delivered == sorted(set(self.delivered))


actions = st.one_of(
    st.tuples(st.just("put"), st.integers(1, 5), st.booleans()),
    st.tuples(st.just("put"), st.integers(1, 5), st.booleans()),
    st.tuples(st.just("deliver"), st.integers(1, 6), st.integers(0, 6), st.integers(0, 1)),
    st.tuples(st.just("deliver"), st.integers(1, 6), st.integers(0, 6), st.just(0)),
    st.tuples(st.just("leave")),
    st.tuples(st.just("commit"), st.integers(1, 4)),
    st.tuples(st.just("fail")),
    st.tuples(st.just("refresh")),
)


@settings(max_examples=300)
@given(
    st.sampled_from(["always", "overflow"]),
    st.sampled_from(["drop-newest", "drop-oldest", "block"]),
    st.lists(actions, min_size=30, max_size=30),
)
def test_every_identity_holds_after_every_action(
    mode: SpoolMode, overflow: Overflow, steps: list[tuple[Any, ...]]
) -> None:
    async def play() -> None:
        bounds = Bounds(messages=5, memory=1000, overflow=overflow)
        world = World(await opened(mode, bounds, octets_max=300))
        for name, *arguments in steps:
            done = getattr(world, name)(*arguments)
            if done is not None:
                await done
            world.check()
        world.leave()
        world.commit(1 << 30)
        world.delivered += await take_all(world.disk)
        world.check()
        account = world.disk.channel.account
        assert world.disk.channel.is_empty
        lost = sum(account.dropped.values())
        assert len(world.delivered) + lost == world.put_so_far
        assert world.paid + sum(account.dropped.values()) >= world.receipts
        if not lost:
            assert world.delivered == [*range(world.put_so_far)]
            assert world.paid == world.receipts

    run(play)


def run(example: Callable[[], Awaitable[None]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spooling_module, "READ_OCTETS", 4 * OCTETS)
        trio.run(example, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_memory_that_all_share_is_given_back() -> None:
    async def play() -> None:
        memory = Memory(1 << 20)
        channel = make_channel(SMALL, memory)
        channel.backlog = Backlog("always", 1 << 20, active=True)
        disk = FakeDisk(channel)
        channel.spooling.open(disk, settled=0, end=0, messages=0, lost=0)
        for n in range(50):
            channel.put(numbered(n, n + 1, OCTETS))
        disk.commit()
        assert len(await take_all(disk)) == 50
        assert memory.used[channel] == 0

    run(play)


async def test_the_age_of_what_is_at_risk_is_that_of_the_oldest_not_on_disk() -> None:
    disk = await opened()
    for n in range(3):
        disk.channel.put(replace(numbered(n, n + 1, OCTETS), received_ns=100 + n))
    assert disk.channel.held().at_risk_oldest_ns == 100
    with disk.channel.lease() as lease:
        await lease.lend()
        lease.settle(1, Confirmation.SENT)
        assert disk.channel.held().at_risk_oldest_ns == 101
        disk.commit(2)
        assert disk.channel.held().at_risk_oldest_ns == 102
        disk.commit()
        assert disk.channel.held().at_risk_oldest_ns is None


async def test_what_was_delivered_while_the_directory_was_not_open_is_not_written() -> None:
    """A reload brings the spool; memory is full meanwhile, and several batches leave it."""
    channel = make_channel(SMALL)
    with channel.lease() as lease:
        for number in range(4):
            channel.put(numbered(number, number + 1))
        channel.put(numbered(4, 6))
        assert len(await lease.lend()) == 4
        channel.backlog = Backlog("overflow", 1 << 20)
        channel.put(numbered(6, 8))
        lease.settle(2, Confirmation.SENT)
        disk = FakeDisk(channel)
        channel.spooling.open(disk, settled=0, end=0, messages=0, lost=0)
        disk.commit()
        assert [entry.first for entry in disk.kept] == [2, 3, 4]
        check(channel)
