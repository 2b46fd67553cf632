from collections.abc import Callable

import pytest
import trio
import trio.testing

from relay.core.account import Confirmation, Drop, Held
from relay.core.batch import TURN_OCTETS
from relay.core.bounds import Bounds
from relay.core.lease import LEND_MESSAGES, WINDOW_MESSAGES, WINDOW_OCTETS
from tests.core.parts import (
    RECEIVED_NS,
    check,
    contents,
    make_batch,
    make_channel,
    make_receipt,
    numbered,
    numbers,
)


async def test_batches_are_lent_oldest_first_a_large_one_in_parts() -> None:
    channel = make_channel()
    channel.put(numbered(0, 3))
    channel.put(numbered(3, 5))
    channel.put(numbered(5, 9))
    with channel.lease() as lease:
        assert [len(batch) for batch in await lease.lend(1)] == [1]
        assert [len(batch) for batch in await lease.lend(4)] == [2, 2]
        assert [len(batch) for batch in await lease.lend()] == [4]
        assert lease.lent == 9
        check(channel)


async def test_lend_takes_at_most_so_many_messages_and_octets_beyond_the_first_batch() -> None:
    channel = make_channel()
    for n in range(5):
        channel.put(numbered(n, n + 1))
    for n in range(5, 10):
        channel.put(numbered(n, n + 1, TURN_OCTETS // 2))
    channel.put(numbered(10, 11, TURN_OCTETS * 2))
    with channel.lease() as lease:
        assert numbers(await lease.lend(3)) == [0, 1, 2]
        assert numbers(await lease.lend()) == [3, 4, 5]
        assert numbers(await lease.lend()) == [6, 7]
        assert numbers(await lease.lend()) == [8, 9]
        assert numbers(await lease.lend()) == [10]


@pytest.mark.parametrize(
    ("settled", "left"),
    [(0, [0, 1, 2, 3, 4, 5]), (1, [1, 2, 3, 4, 5]), (2, [2, 3, 4, 5]), (3, [3, 4, 5]),
     (5, [5]), (6, [])],
)  # fmt: skip
@pytest.mark.parametrize("lend_max", [2, 4, 9])
async def test_leaving_recalls_in_order_what_is_not_settled(
    settled: int, left: list[int], lend_max: int
) -> None:
    channel = make_channel()
    channel.put(numbered(0, 2))
    channel.put(numbered(2, 5))
    channel.put(numbered(5, 6))
    with channel.lease() as lease:
        while lease.lent < settled:
            await lease.lend(lend_max)
        retried = lease.lent - settled
        lease.settle(settled, Confirmation.ACKED)
        check(channel)
        assert contents(channel) == left
    check(channel)
    account = channel.account
    assert contents(channel) == left
    assert account.delivered[Confirmation.ACKED] == settled
    assert account.retried == channel.recalled == retried
    assert channel.head == settled
    assert channel.held().lent == 0


async def test_settling_inside_a_batch_and_again_after_a_recall() -> None:
    channel = make_channel()
    channel.put(numbered(0, 5, 10))
    with channel.lease() as lease:
        await lease.lend()
        lease.settle(1, Confirmation.SENT)
        lease.settle(2, Confirmation.SENT)
        check(channel)
        assert channel.held() == Held(
            lent=2, octets=20, at_risk=2, oldest_ns=RECEIVED_NS, at_risk_oldest_ns=RECEIVED_NS
        )
    check(channel)
    channel.put(numbered(5, 6, 10))
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [3, 4, 5]
        lease.refuse(1, Drop.TOO_LARGE)
        lease.settle(2, Confirmation.CONFIRMED)
    check(channel)
    account = channel.account
    assert account.delivered[Confirmation.SENT] == 3
    assert account.delivered[Confirmation.CONFIRMED] == 2
    assert account.dropped[Drop.TOO_LARGE] == 1
    assert account.retried == 2
    assert channel.held() == Held()


@pytest.mark.parametrize("messages", [-1, 3])
async def test_nobody_settles_more_than_is_lent(messages: int) -> None:
    channel = make_channel()
    channel.put(numbered(0, 2))
    channel.put(numbered(2, 4))
    with channel.lease() as lease:
        await lease.lend(2)
        with pytest.raises(AssertionError):
            lease.settle(messages, Confirmation.SENT)
        with pytest.raises(AssertionError):
            lease.refuse(messages, Drop.REFUSED)
        lease.settle(0, Confirmation.SENT)
        lease.refuse(0, Drop.REFUSED)
    check(channel)
    assert contents(channel) == [0, 1, 2, 3]


async def test_a_lease_that_was_left_raises() -> None:
    channel = make_channel()
    channel.put(numbered(0, 2))
    with channel.lease() as lease:
        await lease.lend()
    uses: list[Callable[[], object]] = [
        lambda: lease.lent,
        lambda: lease.settle(1, Confirmation.SENT),
        lambda: lease.refuse(1, Drop.REFUSED),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="left"):
            use()
    with pytest.raises(RuntimeError, match="left"):
        await lease.lend()
    assert contents(channel) == [0, 1]


@pytest.mark.parametrize("where", ["at its checkpoint", "parked"])
async def test_who_lends_while_the_lease_is_left_takes_nothing(
    where: str, autojump_clock: trio.testing.MockClock
) -> None:
    channel = make_channel()
    if where == "at its checkpoint":
        channel.put(numbered(0, 2))
    outcome: list[str] = []

    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            with channel.lease() as lease:

                async def lend() -> None:
                    with pytest.raises(RuntimeError, match="left"):
                        await lease.lend()
                    outcome.append("raised")

                nursery.start_soon(lend)
                if where == "parked":
                    await trio.testing.wait_all_tasks_blocked()
    assert outcome == ["raised"]
    check(channel)


def test_there_is_one_lease_at_a_time() -> None:
    channel = make_channel()
    with channel.lease():
        with pytest.raises(AssertionError, match="one delivery"):
            channel.lease().__enter__()
        with pytest.raises(AssertionError):
            channel.drop_all(Drop.REMOVED)
        with pytest.raises(AssertionError):
            channel.refuse_head(Drop.REFUSED)
    with channel.lease():
        pass


@pytest.mark.parametrize("where", ["at its checkpoint", "parked"])
async def test_cancelled_lend_takes_nothing(where: str) -> None:
    channel = make_channel()
    if where == "at its checkpoint":
        channel.put(numbered(0, 2))
    with channel.lease() as lease:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.lend)
            if where == "parked":
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        channel.put(numbered(2, 3))
        check(channel)
        assert channel.held().lent == 0


async def test_lend_waits_for_a_batch(autojump_clock: trio.testing.MockClock) -> None:
    channel = make_channel()
    with channel.lease() as lease, trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            lending: list[int] = []

            async def lend() -> None:
                lending.extend(numbers(await lease.lend()))

            nursery.start_soon(lend)
            await trio.testing.wait_all_tasks_blocked()
            channel.put(numbered(0, 2))
        assert lending == [0, 1]


async def test_the_window_closes_on_messages(autojump_clock: trio.testing.MockClock) -> None:
    channel = make_channel()
    channel.put(numbered(0, WINDOW_MESSAGES - 3))
    channel.put(numbered(0, 2))
    channel.put(numbered(0, 4))
    channel.put(numbered(0, 1))
    with channel.lease() as lease:
        while lease.lent < WINDOW_MESSAGES - 1:
            await lease.lend()
        assert lease.lent == WINDOW_MESSAGES - 1
        assert numbers(await lease.lend()) == [0], "as many as the window has room for"
        with trio.move_on_after(1) as waiting:
            await lease.lend()
        assert waiting.cancelled_caught
        lease.settle(4, Confirmation.SENT)
        with trio.fail_after(1):
            assert numbers(await lease.lend()) == [1, 2, 3, 0]


async def test_the_window_closes_on_octets(autojump_clock: trio.testing.MockClock) -> None:
    channel = make_channel()
    batches = WINDOW_OCTETS // TURN_OCTETS
    for n in range(batches + 2):
        channel.put(numbered(n, n + 1, TURN_OCTETS))
    with channel.lease() as lease:
        for _ in range(batches):
            await lease.lend()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lease.lend)
            await trio.testing.wait_all_tasks_blocked()
            assert lease.lent == batches
            lease.settle(1, Confirmation.SENT)
            await trio.testing.wait_all_tasks_blocked()
            assert lease.lent == batches


async def test_a_batch_beyond_the_window_is_lent_alone() -> None:
    channel = make_channel()
    channel.put(numbered(0, 1, WINDOW_OCTETS + 1))
    channel.put(numbered(1, 2 * WINDOW_MESSAGES))
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [0]
        lease.settle(1, Confirmation.SENT)
        assert len(numbers(await lease.lend())) == LEND_MESSAGES


# -- careful


async def test_a_careful_channel_has_one_message_in_hand(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    channel.put(numbered(0, 3))
    channel.put(numbered(3, 6))
    channel.be_careful(4)
    channel.be_careful(2)
    with channel.lease() as lease:
        for n in range(4):
            assert numbers(await lease.lend()) == [n]
            check(channel)
            with trio.move_on_after(1) as waiting:
                await lease.lend()
            assert waiting.cancelled_caught
            lease.settle(1, Confirmation.SENT)
        assert numbers(await lease.lend()) == [4, 5]
    check(channel)
    assert contents(channel) == [4, 5]


async def test_careful_lasts_until_the_messages_are_gone() -> None:
    channel = make_channel()
    channel.put(numbered(0, 3))
    channel.be_careful(2)
    for _ in range(3):
        with channel.lease() as lease:
            assert numbers(await lease.lend()) == [0]
    assert contents(channel) == [0, 1, 2]
    channel.refuse_head(Drop.INTERNAL_ERROR)
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [1]
        lease.refuse(1, Drop.REFUSED)
        channel.put(numbered(3, 4))
        assert numbers(await lease.lend()) == [2, 3]
    check(channel)


# -- replay


async def test_after_an_unclean_break_the_tail_comes_again_and_is_not_counted_twice() -> None:
    channel = make_channel()
    channel.put(numbered(0, 10, 10))
    with channel.lease() as lease:
        lease.keep(30)
        await lease.lend(4)
        lease.settle(1, Confirmation.ACKED)
        lease.settle(3, Confirmation.ACKED)
        await lease.lend(2)
        lease.replay()
    check(channel)
    assert channel.account.replayed == 3
    assert channel.account.retried == channel.recalled == 2
    assert channel.held().messages == 6
    with channel.lease() as lease:
        assert numbers(await lease.lend(100)) == [1, 2, 3, 4, 5, 6, 7, 8, 9]
        lease.settle(3, Confirmation.ACKED)
        check(channel)
        assert channel.account.delivered[Confirmation.ACKED] == 4
        lease.settle(6, Confirmation.ACKED)
    assert channel.account.delivered[Confirmation.ACKED] == 10
    assert channel.is_empty


async def test_what_was_replayed_and_not_settled_comes_again_however_the_lease_is_left() -> None:
    channel = make_channel()
    channel.put(numbered(0, 4, 10))
    with channel.lease() as lease:
        lease.keep(20)
        await lease.lend()
        lease.settle(4, Confirmation.ACKED)
        lease.replay()
    for _ in range(2):
        with channel.lease() as lease:
            assert numbers(await lease.lend()) == [0, 1, 2, 3]
            lease.settle(1, Confirmation.ACKED)
            lease.forget()
        check(channel)
    assert channel.account.replayed == 12
    with channel.lease() as lease:
        await lease.lend()
        lease.settle(4, Confirmation.ACKED)
        lease.forget()
        lease.replay()
    assert channel.account.replayed == 12, "the peer has read it all"
    check(channel)


async def test_what_waits_to_be_replayed_is_counted_once_however_often_nobody_takes_it() -> None:
    channel = make_channel()
    channel.put(numbered(0, 4, 10))
    with channel.lease() as lease:
        lease.keep(20)
        await lease.lend()
        lease.settle(2, Confirmation.ACKED)
        lease.settle(2, Confirmation.ACKED)
        lease.replay()
    assert channel.account.replayed == 2
    for _ in range(3):  # attempts that are refused: nothing is lent
        with channel.lease():
            pass
        check(channel)
    assert channel.account.replayed == 2
    with channel.lease() as lease:
        assert numbers(await lease.lend(1)) == [2]
    assert channel.account.replayed == 3, "one was sent, and comes again"


async def test_what_is_not_sent_again_because_the_destination_changes_is_in_doubt() -> None:
    """Nobody knows whether the destination before has read it."""
    channel = make_channel()
    channel.put(numbered(0, 6, 10))
    with channel.lease() as lease:
        lease.keep(40)
        for _ in range(2):
            await lease.lend(2)
            lease.settle(2, Confirmation.ACKED)
        lease.replay()
    with channel.lease() as lease:
        await lease.lend(2)
        channel.forget_tail()
        assert channel.account.in_doubt == 2, "nobody has been sent these"
    assert channel.account.in_doubt == 4
    check(channel)
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [4, 5]
    assert channel.account.in_doubt == 4


async def test_what_is_not_sent_again_because_the_relay_stops_is_in_doubt() -> None:
    channel = make_channel()
    channel.put(numbered(0, 4, 10))
    with channel.lease() as lease:
        lease.keep(40)
        await lease.lend(2)
        lease.settle(2, Confirmation.ACKED)
        lease.replay()
    assert channel.drop_all(Drop.SHUTDOWN) == 2
    assert channel.account.in_doubt == 2
    check(channel)


async def test_what_was_not_confirmed_by_the_peers_kernel_is_not_replayed() -> None:
    channel = make_channel()
    channel.put(numbered(0, 4, 10))
    with channel.lease() as lease:
        lease.keep(100)
        await lease.lend()
        lease.settle(2, Confirmation.SENT)
        lease.settle(1, Confirmation.CONFIRMED)
        lease.settle(1, Confirmation.ACKED)
        lease.replay()
    with channel.lease() as lease:
        assert numbers(await lease.lend()) == [3]


async def test_a_lease_knows_whether_a_sender_waits() -> None:
    """As long as the channel holds what a receipt is for, lent or not."""
    channel = make_channel(Bounds(messages=10, memory=1 << 20, overflow="block"))
    channel.put(make_batch(b"<13>nobody waits"))
    with channel.lease() as lease:
        assert not lease.owes
        channel.put(make_batch(b"<13>somebody does", receipt=make_receipt()))
        assert lease.owes
        await lease.lend()
        lease.settle(1, Confirmation.SENT)
        assert lease.owes
        lease.settle(1, Confirmation.SENT)
        assert not lease.owes
