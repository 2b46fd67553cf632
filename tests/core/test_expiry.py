"""What is too old when it would be lent is dropped."""

from dataclasses import dataclass
from itertools import pairwise

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from relay.core.account import Confirmation, Drop
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.core.expiry import TURN_ENTRIES, Expiry
from relay.core.receipt import Receipt
from tests.core.parts import RECEIVED_NS, WIDE, check, make_batch, make_channel, numbers

SECOND = 10**9


@dataclass
class Clock:
    ns: int = RECEIVED_NS

    def now(self) -> float:
        return self.ns / 1e9

    def wall_ns(self) -> int:
        return self.ns


def expiring(clock: Clock, bounds: Bounds = WIDE) -> Channel:
    channel = make_channel(bounds)
    channel.expiry = Expiry(10 * SECOND, clock)
    return channel


def put(channel: Channel, start: int, stop: int, at: int, receipt: Receipt | None = None) -> None:
    messages = [b"%d" % number for number in range(start, stop)]
    channel.put(make_batch(*messages, received_ns=RECEIVED_NS + at * SECOND, receipt=receipt))
    check(channel)


async def test_what_is_too_old_is_dropped_and_what_comes_after_it_is_lent() -> None:
    clock = Clock()
    channel = expiring(clock)
    put(channel, 0, 3, at=0)
    put(channel, 3, 5, at=1)
    put(channel, 5, 9, at=2)
    clock.ns += 12 * SECOND
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [5, 6, 7, 8]
        check(channel)
    check(channel)
    assert channel.account.dropped[Drop.EXPIRED] == 5
    assert channel.account.retried == 4


async def test_when_all_is_too_old_lending_waits_for_more() -> None:
    clock = Clock()
    channel = expiring(clock)
    put(channel, 0, 3, at=0)
    clock.ns += 11 * SECOND
    with channel.lease() as lease:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def lend() -> None:
                assert numbers(await lease.lend()) == [3]

            await trio.testing.wait_all_tasks_blocked()
            assert channel.is_empty
            assert channel.account.dropped[Drop.EXPIRED] == 3
            put(channel, 3, 4, at=11)
        check(channel)


async def test_what_is_too_old_waits_for_what_was_lent_before_it() -> None:
    """Numbers leave in their order, so that what is on disk is what the books say."""
    clock = Clock()
    channel = expiring(clock)
    put(channel, 0, 2, at=0)
    with channel.lease() as lease:
        await lease.lend()
        put(channel, 2, 4, at=0)
        put(channel, 4, 5, at=9)
        clock.ns += 11 * SECOND
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def lend() -> None:
                assert numbers(await lease.lend()) == [4]

            await trio.testing.wait_all_tasks_blocked()
            assert channel.account.dropped[Drop.EXPIRED] == 0
            lease.settle(2, Confirmation.ACKED)
        check(channel)
    assert channel.account.dropped[Drop.EXPIRED] == 2


async def test_what_a_sender_waits_for_is_never_too_old() -> None:
    clock = Clock()
    channel = expiring(clock, Bounds(9, 1 << 20, "block"))
    put(channel, 0, 2, at=0)
    put(channel, 2, 3, at=0, receipt=Receipt(lambda: None, lambda: None))
    put(channel, 3, 5, at=0)
    clock.ns += 100 * SECOND
    with channel.lease() as lease:
        assert numbers(await lease.lend(1)) == [2]
        lease.settle(1, Confirmation.ACKED)
        clock.ns = RECEIVED_NS
        assert numbers(await lease.lend()) == [3, 4]
        check(channel)
    assert channel.account.dropped[Drop.EXPIRED] == 2


async def test_what_is_sent_again_to_be_sure_is_in_nobodys_book_and_does_not_expire() -> None:
    clock = Clock()
    channel = expiring(clock)
    put(channel, 0, 2, at=0)
    with channel.lease() as lease:
        lease.keep(1 << 20)
        await lease.lend()
        lease.settle(2, Confirmation.ACKED)
        put(channel, 2, 3, at=0)
        lease.replay()
    clock.ns += 100 * SECOND
    put(channel, 3, 4, at=100)
    with channel.lease() as lease:
        assert numbers(await lease.lend(2)) == [0, 1]
        lease.settle(2, Confirmation.ACKED)
        assert numbers(await lease.lend()) == [3]
        check(channel)


async def test_a_clock_that_is_set_back_makes_nothing_old() -> None:
    clock = Clock(RECEIVED_NS - 3600 * SECOND)
    channel = expiring(clock)
    put(channel, 0, 2, at=0)
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [0, 1]


async def test_a_long_row_of_what_is_too_old_is_dropped_in_turns() -> None:
    clock = Clock()
    channel = expiring(clock)
    for number in range(8 * TURN_ENTRIES):
        channel.put(make_batch(b"%d" % number))
    clock.ns += 11 * SECOND
    put(channel, 9999, 10000, at=11)
    seen = [0]
    with channel.lease() as lease:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lend, lease, clock)
            while seen[-1] < 8 * TURN_ENTRIES:
                await trio.lowlevel.checkpoint()
                seen.append(channel.account.dropped[Drop.EXPIRED])
                check(channel)
    assert max(b - a for a, b in pairwise(seen)) <= 2 * TURN_ENTRIES  # others had their turns
    check(channel)
    assert channel.account.retried == 1


@pytest.mark.parametrize("overflow", ["drop-newest", "drop-oldest", "block"])
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["put", "lend", "settle", "recall"]), st.integers(0, 8))
    )
)
def test_the_book_balances_and_nothing_is_lent_that_was_too_old(
    overflow: str, steps: list[tuple[str, int]]
) -> None:
    trio.run(play, overflow, steps)


async def play(overflow: str, steps: list[tuple[str, int]]) -> None:
    clock = Clock()
    channel = expiring(clock, Bounds(40, 1 << 20, overflow))  # type: ignore[arg-type]
    count, leasing = 0, channel.lease()
    lease = leasing.__enter__()
    for step, number in steps:
        clock.ns += number * SECOND
        if step == "put":
            at = (clock.ns - RECEIVED_NS) // SECOND
            put(channel, count, count + number + 1, at=at)
            count += number + 1
        elif step == "lend":
            with trio.move_on_after(0):
                await trio.lowlevel.checkpoint_if_cancelled()
            lent_before = lease.lent
            with trio.CancelScope() as scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lend, lease, clock)
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            assert lease.lent >= lent_before
        elif step == "settle":
            lease.settle(min(number, lease.lent), Confirmation.ACKED)
        else:
            leasing.__exit__(None, None, None)
            leasing = channel.lease()
            lease = leasing.__enter__()
        check(channel)
    leasing.__exit__(None, None, None)


async def lend(lease: object, clock: Clock) -> None:
    for batch in await lease.lend(5):  # type: ignore[attr-defined]
        assert clock.ns - batch.received_ns <= 10 * SECOND
