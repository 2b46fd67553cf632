import pytest
import trio
import trio.testing

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.bounds import Bounds, Overflow
from relay.core.channel import Channel
from relay.core.memory import MESSAGE_OVERHEAD, Memory
from relay.core.receipt import Receipt
from tests.core.parts import (
    WIDE,
    check,
    contents,
    lent,
    make_batch,
    make_channel,
    make_receipt,
    numbered,
    numbers,
)

HELD = 1 << 30  # no bound of this name is reached
OVERFLOWS: list[Overflow] = ["drop-newest", "drop-oldest", "block"]


def cost_of(messages: int, octets_each: int) -> int:
    return messages * (octets_each + MESSAGE_OVERHEAD)


# -- bounds and overflow


@pytest.mark.parametrize(
    "bounds",
    [(5, HELD), (HELD, cost_of(5, 10)), (HELD, cost_of(4, 10) + 1)],
    ids=["messages", "octets", "octets, reached within a message"],
)
@pytest.mark.parametrize(
    ("overflow", "batches", "kept", "dropped", "reason"),
    [
        # Any room takes the whole batch; what comes then finds the channel full.
        ("drop-newest", [4, 4, 2, 1], [*range(8)], 3, Drop.FULL),
        ("drop-oldest", [4, 4, 2, 1], [8, 9, 10], 8, Drop.OLDEST),
        ("block", [4, 4, 2, 1], [*range(8)], 3, Drop.FULL),
        ("drop-newest", [5, 1], [*range(5)], 1, Drop.FULL),
        ("drop-oldest", [5, 1], [5], 5, Drop.OLDEST),
        ("drop-oldest", [1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5], 1, Drop.OLDEST),
        ("drop-oldest", [3, 9, 1], [12], 12, Drop.OLDEST),
        ("drop-newest", [9], [*range(9)], 0, Drop.FULL),
        ("drop-oldest", [9], [*range(9)], 0, Drop.OLDEST),
    ],
)
def test_a_full_channel_applies_its_policy(
    bounds: tuple[int, int],
    overflow: Overflow,
    batches: list[int],
    kept: list[int],
    dropped: int,
    reason: Drop,
) -> None:
    channel = make_channel(Bounds(*bounds, overflow))
    put = 0
    for messages in batches:
        channel.put(numbered(put, put + messages, 10))
        put += messages
        check(channel)
    assert contents(channel) == kept
    assert channel.account.dropped == dict.fromkeys(Drop, 0) | {reason: dropped}


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("full", [False, True])
def test_a_channel_goes_by_what_the_caller_has_seen(overflow: Overflow, full: bool) -> None:
    channel = make_channel(Bounds(2, HELD, overflow))
    channel.put(numbered(0, 2))
    channel.put(numbered(2, 3), full=full)
    check(channel)
    kept = [0, 1, 2] if not full else [2] if overflow == "drop-oldest" else [0, 1]
    assert contents(channel) == kept


@pytest.mark.parametrize("overflow", OVERFLOWS)
async def test_what_is_lent_counts_against_the_bounds_and_is_never_dropped(
    overflow: Overflow,
) -> None:
    channel = make_channel(Bounds(4, HELD, overflow))
    channel.put(numbered(0, 2))
    with channel.lease() as lease:
        await lease.lend()
        channel.put(numbered(2, 4))
        channel.put(numbered(4, 5))
        check(channel)
        assert lent(channel) == [0, 1]
        assert contents(channel) == ([0, 1, 4] if overflow == "drop-oldest" else [0, 1, 2, 3])
        await lease.lend()
        channel.put(numbered(5, 8))  # with drop-oldest there is room for one still
        channel.put(numbered(8, 9))
        check(channel)
    expected = [0, 1, 4, 8] if overflow == "drop-oldest" else [0, 1, 2, 3]
    assert contents(channel) == expected


async def test_when_only_lent_messages_are_left_the_new_ones_are_dropped() -> None:
    channel = make_channel(Bounds(2, HELD, "drop-oldest"))
    channel.put(numbered(0, 2))
    with channel.lease() as lease:
        await lease.lend()
        channel.put(numbered(2, 4))
        assert channel.account.dropped[Drop.FULL] == 2
        assert channel.account.dropped[Drop.OLDEST] == 0
    assert contents(channel) == [0, 1]


def test_memory_is_shared_half_guaranteed_and_half_lent() -> None:
    memory = Memory(cost_of(40, 0))  # 10 messages guaranteed to each, 20 to lend
    first, second = make_channel(memory=memory), make_channel(memory=memory)
    for _ in range(100):
        first.put(make_batch(b""))
    assert first.held().memory == 10 + 20
    for _ in range(100):
        second.put(make_batch(b""))
    assert second.held().memory == 10
    check(first)
    check(second)
    first.drop_all(Drop.REMOVED)
    for _ in range(100):
        second.put(make_batch(b""))
    assert second.held().memory == 10 + 20
    first.close()
    assert memory.guarantee == cost_of(20, 0)
    check(second)


def test_with_shared_memory_gone_the_oldest_are_dropped() -> None:
    memory = Memory(cost_of(40, 0))
    greedy = make_channel(memory=memory)
    modest = make_channel(Bounds(HELD, HELD, "drop-oldest"), memory)
    for n in range(15):
        modest.put(make_batch(b"%d" % n))
    while greedy.account.dropped[Drop.FULL] == 0:
        greedy.put(make_batch(b""))
    modest.put(make_batch(b"15"))
    check(modest)
    assert contents(modest) == list(range(1, 16)), "no more than is needed"


def test_other_bounds_leave_what_is_held() -> None:
    channel = make_channel()
    channel.put(numbered(0, 5))
    channel.bound(Bounds(2, HELD))
    assert contents(channel) == [0, 1, 2, 3, 4]
    channel.put(numbered(5, 6))
    assert channel.account.dropped[Drop.FULL] == 1
    channel.bound(WIDE)
    channel.put(numbered(6, 7))
    assert contents(channel) == [0, 1, 2, 3, 4, 6]
    check(channel)


# -- notices


@pytest.mark.parametrize("overflow", ["drop-newest", "block"])
async def test_there_is_room_for_one_notice(overflow: Overflow) -> None:
    channel = make_channel(Bounds(2, HELD, overflow))
    channel.put(numbered(0, 2))
    channel.put(numbered(2, 3, notice=True))
    channel.put(numbered(3, 4, notice=True))
    check(channel)
    assert contents(channel) == [0, 1, 2]
    assert channel.account.dropped[Drop.FULL] == channel.account.notices_dropped == 1
    with channel.lease() as lease:
        await lease.lend()
        channel.put(numbered(4, 5, notice=True))
        assert channel.account.notices_dropped == 2, "a lent notice is still here"
        lease.settle(3, Confirmation.SENT)
        channel.put(numbered(5, 7))
        channel.put(numbered(7, 8, notice=True))
    check(channel)
    assert contents(channel) == [5, 6, 7]


@pytest.mark.parametrize("leave", ["settle", "refuse", "drop", "oldest", "halves", "head"])
async def test_the_room_for_a_notice_is_free_again_however_it_leaves(leave: str) -> None:
    told: list[int] = []
    account = PipeAccount("pipe", lambda _account, _reason, messages: told.append(messages))
    channel = Channel(account, Bounds(1, HELD), Memory(1 << 31))
    channel.put(numbered(0, 2, notice=True))
    if leave == "drop":
        channel.drop_all(Drop.REMOVED)
    elif leave == "oldest":
        channel.bound(Bounds(1, HELD, "drop-oldest"))
        channel.put(numbered(8, 9))
    elif leave == "head":
        channel.refuse_head(Drop.REFUSED)
        channel.refuse_head(Drop.REFUSED)
    else:
        channel.be_careful(2 if leave == "halves" else 0)
        with channel.lease() as lease:
            while channel.held().memory + channel.held().lent:
                messages = sum(map(len, await lease.lend()))
                if leave == "refuse":
                    lease.refuse(messages, Drop.REFUSED)
                else:
                    lease.settle(messages, Confirmation.SENT)
    channel.put(numbered(10, 11))
    channel.put(numbered(11, 12, notice=True))
    check(channel)
    assert contents(channel)[-1] == 11
    assert sum(told) == sum(account.dropped.values()) - account.notices_dropped


async def test_of_what_is_refused_only_notices_are_not_told() -> None:
    told: list[int] = []
    account = PipeAccount("pipe", lambda _account, _reason, messages: told.append(messages))
    channel = Channel(account, WIDE, Memory(1 << 31))
    channel.put(numbered(0, 3))
    channel.put(numbered(3, 5, notice=True))
    with channel.lease() as lease:
        await lease.lend()
        lease.refuse(4, Drop.REFUSED)
        assert told == [3]
        assert account.notices_dropped == 1
        lease.refuse(1, Drop.REFUSED)
        assert told == [3]
    assert account.dropped[Drop.REFUSED] == 5
    check(channel)


# -- the head


async def test_what_is_beyond_a_turn_waits_for_the_next() -> None:
    channel = make_channel()
    for n in range(3):
        channel.put(numbered(n, n + 1))
    with channel.lease() as lease:
        assert numbers(await lease.lend(2)) == [0, 1]
    assert contents(channel) == [0, 1, 2]


def test_refusing_the_head_takes_one_message() -> None:
    channel = make_channel()
    channel.refuse_head(Drop.INTERNAL_ERROR)
    assert channel.account.dropped[Drop.INTERNAL_ERROR] == 0
    channel.put(numbered(0, 2))
    channel.put(numbered(2, 3))
    for n in range(3):
        channel.refuse_head(Drop.INTERNAL_ERROR)
        check(channel)
        assert contents(channel) == list(range(n + 1, 3))
    assert channel.account.dropped[Drop.INTERNAL_ERROR] == 3
    assert channel.account.retried == 0


# -- closing


@pytest.mark.parametrize("reason", [Drop.SHUTDOWN, Drop.REMOVED])
def test_a_closing_channel_takes_nothing(reason: Drop) -> None:
    channel = make_channel()
    channel.put(numbered(0, 2))
    channel.closing = reason
    channel.put(numbered(2, 5))
    channel.put(numbered(5, 6, notice=True))
    assert channel.account.dropped[reason] == 4
    assert channel.account.notices_dropped == 1
    assert channel.drop_all(reason) == 2
    assert channel.account.dropped[reason] == 6
    assert channel.drop_all(reason) == 0
    check(channel)


@pytest.mark.parametrize(
    ("overflow", "reason"),
    [("block", Drop.SHUTDOWN), ("drop-newest", Drop.FULL), ("drop-oldest", Drop.OLDEST)],
)
def test_at_the_stop_who_would_have_waited_is_dropped_for_it(
    overflow: Overflow, reason: Drop
) -> None:
    channel = make_channel(Bounds(2, HELD, overflow))
    channel.stopping = True
    channel.put(numbered(0, 2))
    channel.put(numbered(2, 4))
    assert channel.account.dropped[reason] == 2
    check(channel)


def test_a_channel_that_holds_something_is_not_closed() -> None:
    channel = make_channel()
    channel.put(numbered(0, 1))
    with pytest.raises(AssertionError):
        channel.close()


def test_the_oldest_message_held_has_its_time() -> None:
    channel = make_channel()
    assert channel.held().oldest_ns is None
    channel.put(make_batch(b"0", received_ns=5))
    channel.put(make_batch(b"1", received_ns=7))
    assert channel.held().oldest_ns == 5
    channel.refuse_head(Drop.REFUSED)
    assert channel.held().oldest_ns == 7


# -- waiting


async def test_room_that_is_there_is_found_without_a_checkpoint() -> None:
    for overflow in OVERFLOWS:
        channel = make_channel(Bounds(2, HELD, overflow))
        with trio.testing.assert_no_checkpoints():
            await channel.room()
        channel.put(numbered(0, 2))
        assert channel.blocked == channel.keeps == (overflow == "block")
        if not channel.blocked:
            with trio.testing.assert_no_checkpoints():
                await channel.room()


async def test_two_listeners_that_wait_for_the_same_room_overflow_by_one_batch(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel(Bounds(4, HELD, "block"))
    channel.put(numbered(0, 4))
    put = 4

    async def listen() -> None:
        nonlocal put
        for _ in range(10):
            await channel.room()
            channel.put(numbered(put, put + 3))  # nothing awaits in between
            put += 3
            assert len(contents(channel)) < 4 + 3

    delivered: list[int] = []
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(listen)
            with channel.lease() as lease:
                while len(delivered) < 4 + 2 * 10 * 3:
                    delivered += numbers(await lease.lend())
                    while lease.lent:
                        await trio.testing.wait_all_tasks_blocked()
                        lease.settle(1, Confirmation.SENT)
    assert delivered == list(range(64))
    assert sum(channel.account.dropped.values()) == 0
    check(channel)


async def make_room(channel: Channel, how: str) -> None:
    if how == "settle":
        with channel.lease() as lease:
            await lease.lend()
            lease.settle(1, Confirmation.SENT)
    elif how == "refuse":
        channel.refuse_head(Drop.REFUSED)
    elif how == "drop":
        channel.drop_all(Drop.REMOVED)
    elif how == "messages":
        channel.bound(Bounds(3, HELD, "block"))
    else:
        channel.bound(Bounds(2, HELD, "drop-newest"))


@pytest.mark.parametrize("how", ["settle", "refuse", "drop", "messages", "policy"])
async def test_who_waits_for_room_is_woken(
    how: str, autojump_clock: trio.testing.MockClock
) -> None:
    channel = make_channel(Bounds(2, HELD, "block"))
    channel.put(numbered(0, 2))
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.room)
            await trio.testing.wait_all_tasks_blocked()
            await make_room(channel, how)


@pytest.mark.parametrize("how", ["drained", "removed", "resized"])
async def test_who_waits_for_shared_memory_is_woken_when_others_give_it_back(
    how: str, autojump_clock: trio.testing.MockClock
) -> None:
    memory = Memory(cost_of(40, 0))
    waiting = make_channel(Bounds(HELD, HELD, "block"), memory)
    greedy = make_channel(memory=memory)
    idle = make_channel(memory=memory)
    for _ in range(7):
        waiting.put(make_batch(b""))
    while greedy.account.dropped[Drop.FULL] == 0:
        greedy.put(make_batch(b""))
    assert waiting.blocked
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waiting.room)
            await trio.testing.wait_all_tasks_blocked()
            if how == "drained":
                greedy.drop_all(Drop.REMOVED)
            elif how == "removed":
                idle.close()
            else:
                memory.resize(cost_of(100, 0))


async def test_other_memory_does_not_wake_who_waits_for_its_own_bounds() -> None:
    memory = Memory(1 << 20)
    channel = make_channel(Bounds(2, HELD, "block"), memory)
    channel.put(numbered(0, 2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(channel.room)
        await trio.testing.wait_all_tasks_blocked()
        memory.resize(1 << 21)
        await trio.testing.wait_all_tasks_blocked()
        assert channel.blocked
        nursery.cancel_scope.cancel()


async def test_empty_waits_for_the_last_message(autojump_clock: trio.testing.MockClock) -> None:
    channel = make_channel()
    with trio.testing.assert_no_checkpoints():
        await channel.empty()
    channel.put(numbered(0, 3))
    with trio.move_on_after(1) as waiting:
        await channel.empty()
    assert waiting.cancelled_caught
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(channel.empty)
            with channel.lease() as lease:
                await lease.lend()
                lease.settle(2, Confirmation.SENT)
                await trio.testing.wait_all_tasks_blocked()
                assert nursery.child_tasks
                lease.settle(1, Confirmation.SENT)


# -- receipts


@pytest.mark.parametrize("overflow", OVERFLOWS)
@pytest.mark.parametrize("bound_later", [*OVERFLOWS, None])
async def test_a_channel_that_keeps_owes_and_pays_whatever_its_policy_is_by_then(
    overflow: Overflow, bound_later: Overflow | None
) -> None:
    channel = make_channel(Bounds(HELD, HELD, overflow))
    receipt = make_receipt()
    channel.put(make_batch(b"0", b"1", b"2", b"3", b"4", receipt=receipt))
    receipt.pay()
    owed = 1 if overflow == "block" else 0
    assert receipt.owed == owed
    if bound_later:
        channel.bound(Bounds(HELD, HELD, bound_later))
    with channel.lease() as lease:
        await lease.lend()
        lease.settle(1, Confirmation.SENT)
        lease.refuse(1, Drop.REFUSED)
    assert receipt.owed == owed, "not before the last of the batch has left"
    with channel.lease() as lease:
        await lease.lend()
        lease.settle(3, Confirmation.SENT)
    assert receipt.owed == 0
    check(channel)


def test_a_full_channel_that_keeps_takes_what_the_sender_will_be_told_yes_for() -> None:
    channel = make_channel(Bounds(1, HELD, "block"))
    channel.put(numbered(0, 1))
    channel.put(make_batch(b"1", receipt=make_receipt()))
    channel.put(numbered(2, 3))
    assert contents(channel) == [0, 1]
    check(channel)


def test_nothing_that_a_receipt_is_for_is_dropped_when_the_policy_changes() -> None:
    channel = make_channel(Bounds(2, HELD, "block"))
    channel.put(make_batch(b"0", b"1", receipt=make_receipt()))
    channel.bound(Bounds(2, HELD, "drop-oldest"))
    channel.put(numbered(2, 3))
    assert contents(channel) == [0, 1]
    assert channel.account.dropped[Drop.FULL] == 1


def test_a_pipe_that_ends_breaks_its_receipts() -> None:
    broken: list[int] = []
    channel = make_channel(Bounds(9, HELD, "block"))
    channel.put(make_batch(b"0", receipt=Receipt(lambda: None, lambda: broken.append(0))))
    channel.closing = Drop.REMOVED
    channel.put(make_batch(b"1", receipt=Receipt(lambda: None, lambda: broken.append(1))))
    channel.drop_all(Drop.REMOVED)
    assert sorted(broken) == [0, 1]
    assert channel.account.dropped[Drop.REMOVED] == 2
