import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

import pytest
import trio
import trio.testing
from trio_typing import TaskStatus

from relay.core.account import Confirmation, Drop
from relay.core.backlog import SpoolMode
from relay.core.channel import Channel
from relay.core.delivery import (
    BACKOFF_SECONDS_MAX,
    POISON_FAILURES,
    REASONS_MAX,
    UP_SECONDS,
    Poison,
    backoff,
    deliver,
)
from relay.core.errors import DestinationAway, DestinationDown, DestinationRefused
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from tests.core.parts import (
    CancelAt,
    check,
    contents,
    make_channel,
    make_outlet,
    number,
    numbered,
)

Run = Callable[[Lease, TaskStatus[None]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Acting:
    """A destination that does what the test says."""

    act: Run
    type: str = "acting"
    stamp: bool = False
    spool: SpoolMode = "never"
    descriptors: int = 2

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        await self.act(lease, task_status)


async def supervise(channel: Channel, act: Run) -> None:
    """As the supervisor does, without its pauses."""
    poison = Poison()
    while True:
        try:
            await deliver(channel, Acting(act), make_outlet(channel))
        except ZeroDivisionError:
            channel.account.restarts += 1
            poison.failed(channel)


def texts(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == level]


# -- back-off


class Middle(random.Random):
    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def test_pauses_double_up_to_a_minute() -> None:
    assert list(islice(backoff(Middle()), 8)) == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])


def test_pauses_are_spread_by_a_fifth() -> None:
    pauses = [next(backoff(random.Random(seed))) for seed in range(200)]
    assert 0.8 <= min(pauses) < 0.85
    assert 1.15 < max(pauses) <= 1.2


@dataclass(slots=True)
class Attempts:
    """When a destination was tried; each attempt does the next thing."""

    outcomes: list[str]
    times: list[float]

    async def act(self, lease: Lease, task_status: TaskStatus[None]) -> None:
        self.times.append(trio.current_time())
        outcome = self.outcomes.pop(0) if self.outcomes else "forever"
        if "reached" in outcome:
            task_status.started()
        if "settles" in outcome:
            await lease.lend(1)
            lease.settle(1, Confirmation.SENT)
        if "while" in outcome:
            await trio.sleep(UP_SECONDS + 0.01)
        if "forever" in outcome:
            await trio.sleep_forever()
        if "ended" not in outcome:
            raise (DestinationAway if outcome == "away" else DestinationDown)(outcome)


async def try_for_a_while(channel: Channel, *outcomes: str) -> list[float]:
    """The pauses between attempts, as multiples of a second."""
    attempts = Attempts(list(outcomes), [])
    with trio.move_on_after(1000):
        await deliver(channel, Acting(attempts.act), make_outlet(channel))
    return [later - earlier for earlier, later in pairwise(attempts.times)]


async def test_attempts_back_off(autojump_clock: trio.testing.MockClock) -> None:
    channel = make_channel()
    pauses = await try_for_a_while(channel, *["down"] * 8)
    assert len(pauses) == 8
    for pause, nominal in zip(pauses, [1, 2, 4, 8, 16, 32, 60, 60], strict=True):
        assert 0.8 * nominal <= pause <= 1.2 * nominal
        assert pause <= 1.2 * BACKOFF_SECONDS_MAX
    assert channel.account.failures == 8
    assert channel.account.down_reason == "down"
    assert not channel.account.up


async def test_who_is_away_is_looked_for_every_second(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """That costs nothing where nobody has to be connected to: a named pipe without a reader."""
    channel = make_channel()
    pauses = await try_for_a_while(channel, *["away"] * 5, "down")
    assert [pause < 1.001 for pause in pauses] == [True] * 5 + [False]


def check_pauses(pauses: list[float], nominal: list[float]) -> None:
    for pause, about in zip(pauses, nominal, strict=True):
        assert 0.8 * about <= pause <= 1.2 * about


async def test_the_back_off_is_reset_by_a_delivery(autojump_clock: trio.testing.MockClock) -> None:
    channel = make_channel()
    for n in range(2):
        channel.put(numbered(n, n + 1))
    outcomes = ["down", "down", "reached, settles", "down", "reached, settles, ended", "down"]
    check_pauses(await try_for_a_while(channel, *outcomes), [1, 2, 1, 2, 1, 2])
    assert channel.account.connections == 2


async def test_the_back_off_is_reset_by_being_up_for_a_while(
    autojump_clock: trio.testing.MockClock,
) -> None:
    outcomes = ["down", "down", "reached for a while", "down"]
    pauses = await try_for_a_while(make_channel(), *outcomes)
    pauses[2] -= UP_SECONDS
    check_pauses(pauses, [1, 2, 1, 2])


async def test_who_accepts_and_closes_at_once_is_tried_less_and_less_and_told_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    channel = make_channel()
    outcomes = [*["reached, closed"] * 4, "reached, reset", *["reached, closed"] * 3]
    outcomes.append("reached, forever")
    check_pauses(await try_for_a_while(channel, *outcomes), [1, 2, 4, 8, 16, 32, 60, 60])
    account = channel.account
    assert (account.connections, account.failures) == (9, 8)
    assert [text.partition("; ")[0] for text in texts(caplog, logging.WARNING)] == [
        "destination sink is down: reached, closed",
        "destination sink is down: reached, reset",
    ]
    assert texts(caplog, logging.INFO) == ["destination sink is up again"]  # the last one


async def test_after_it_was_up_for_a_while_the_same_reason_is_told_again(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "relay")
    again = "reached for a while"
    await try_for_a_while(make_channel(), again, "down", again, again, "reached, forever")
    told = [record.getMessage().partition(": ")[0] for record in caplog.records]
    down, up = "destination sink is down", "destination sink is up again"
    assert told == [down, down, up, down, up, down, up]


async def test_reasons_that_never_repeat_are_told_up_to_a_limit(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await try_for_a_while(make_channel(), *(f"port {n}" for n in range(REASONS_MAX + 3)))
    assert len(texts(caplog, logging.WARNING)) == REASONS_MAX


async def test_a_delivery_that_is_started_again_does_not_repeat_itself(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    channel = make_channel()
    for _ in range(2):
        attempts = Attempts(["down"], [])
        with trio.move_on_after(0.5):
            await deliver(channel, Acting(attempts.act), make_outlet(channel))
    assert len(texts(caplog, logging.WARNING)) == 1


async def test_what_is_up_and_what_is_down_is_told_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    channel = make_channel()
    await try_for_a_while(
        channel, "refused", "refused", "no route", "reached, forever"
    )  # cancelled while it is up
    account = channel.account
    assert not account.up
    assert account.down_reason == ""
    warnings = texts(caplog, logging.WARNING)
    assert [text.partition("; ")[0] for text in warnings] == [
        "destination sink is down: refused",
        "destination sink is down: no route",
    ]
    assert "next try in" in warnings[0]
    assert len(texts(caplog, logging.DEBUG)) == 1
    assert texts(caplog, logging.INFO) == ["destination sink is up again"]


async def test_a_destination_that_is_reached_at_once_is_not_told(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "relay")
    await try_for_a_while(make_channel(), "reached, forever")
    assert caplog.records == []


async def test_being_up_and_stalled_ends_with_the_attempt(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    account = channel.account
    seen: list[tuple[bool, bool]] = []

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        seen.append((account.up, account.stalled))
        task_status.started()
        seen.append((account.up, account.stalled))
        make_outlet(channel).health.stalled = True
        raise DestinationDown("stuck")

    with trio.move_on_after(1.5):
        await deliver(channel, Acting(act), make_outlet(channel))
    assert seen == [(False, False), (True, False)] * 2


# -- what becomes of messages


async def test_a_break_recalls_and_everything_is_delivered_in_order(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    channel.put(numbered(0, 4))
    channel.put(numbered(4, 6))
    delivered: list[int] = []

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        for batch in await lease.lend():
            for message in batch.messages:
                if len(delivered) in (3, 4):
                    delivered.append(-1)
                    raise DestinationDown("cut")
                delivered.append(number(message))
                lease.settle(1, Confirmation.SENT)
        await trio.sleep_forever()

    with trio.move_on_after(100):
        await deliver(channel, Acting(act), make_outlet(channel))
    check(channel)
    assert delivered == [0, 1, 2, -1, -1, 3, 4, 5]
    assert channel.account.retried == 3 + 3
    assert contents(channel) == []


async def test_a_refused_message_is_dropped_and_the_next_one_tried_at_once(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    channel = make_channel()
    channel.put(numbered(0, 5))
    delivered: list[int] = []

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        for batch in await lease.lend():
            for message in batch.messages:
                if number(message) in (0, 3):
                    raise DestinationRefused("too odd")
                delivered.append(number(message))
                lease.settle(1, Confirmation.SENT)
        await trio.sleep_forever()

    began = trio.current_time()
    with trio.move_on_after(5):
        await deliver(channel, Acting(act), make_outlet(channel))
    assert trio.current_time() - began == 5
    check(channel)
    assert delivered == [1, 2, 4]
    assert channel.account.dropped[Drop.REFUSED] == 2
    assert channel.account.failures == 0
    assert texts(caplog, logging.WARNING) == ["destination sink refuses a message: too odd"] * 2


async def test_who_refuses_without_a_message_in_hand_is_down(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    channel.put(numbered(0, 2))

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        raise DestinationRefused("not you")

    with trio.move_on_after(10):
        await deliver(channel, Acting(act), make_outlet(channel))
    check(channel)
    assert contents(channel) == [0, 1]
    assert channel.account.down_reason == "not you"
    assert 2 <= channel.account.failures <= 4


# -- poison


async def until_empty(channel: Channel, act: Run) -> None:
    with trio.fail_after(1000):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervise, channel, act)
            await channel.empty()
            nursery.cancel_scope.cancel()


BATCHES = [(0, 4), (4, 5), (5, 8)]
TOTAL = 8


def sends_one_by_one(poisoned: Sequence[int], delivered: list[int]) -> Run:
    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        while True:
            for batch in await lease.lend():
                for message in batch.messages:
                    if number(message) in poisoned:
                        raise ZeroDivisionError
                    delivered.append(number(message))
                    lease.settle(1, Confirmation.SENT)

    return act


def formats_all_first(poisoned: Sequence[int], delivered: list[int]) -> Run:
    """Fails before it sends anything, as a conversion of the whole batch does."""

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        while True:
            batches = await lease.lend()
            lines = [number(message) for batch in batches for message in batch.messages]
            if set(lines) & set(poisoned):
                raise ZeroDivisionError
            delivered.extend(lines)
            lease.settle(len(lines), Confirmation.SENT)

    return act


def settles_later(poisoned: Sequence[int], delivered: list[int]) -> Run:  # noqa: C901 - two tasks
    """Waits for confirmations, and lends more meanwhile."""

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        unconfirmed: list[int] = []

        async def confirm() -> None:
            while True:
                await trio.sleep(1)
                delivered.extend(unconfirmed)
                lease.settle(len(unconfirmed), Confirmation.CONFIRMED)
                unconfirmed.clear()

        async def send() -> None:
            while True:
                for batch in await lease.lend(1):
                    for message in batch.messages:
                        if number(message) in poisoned:
                            raise ZeroDivisionError
                        unconfirmed.append(number(message))

        failed = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(confirm)
                nursery.start_soon(send)
        except* ZeroDivisionError:
            failed = True
        if failed:
            raise ZeroDivisionError

    return act


@pytest.mark.parametrize("destination", [sends_one_by_one, formats_all_first, settles_later])
@pytest.mark.parametrize(
    "poisoned", [*([n] for n in range(TOTAL)), [0, 1], [0, 7], [2, 4, 5], [*range(TOTAL)]]
)
async def test_exactly_the_poisoned_messages_are_dropped(
    poisoned: list[int],
    destination: Callable[[Sequence[int], list[int]], Run],
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    for start, stop in BATCHES:
        channel.put(numbered(start, stop))
    delivered: list[int] = []
    await until_empty(channel, destination(poisoned, delivered))
    check(channel)
    assert delivered == [n for n in range(TOTAL) if n not in poisoned]
    dropped = dict.fromkeys(Drop, 0) | {Drop.INTERNAL_ERROR: len(poisoned)}
    assert channel.account.dropped == dropped
    assert channel.account.restarts <= len(poisoned) * (POISON_FAILURES + 1)


async def test_a_bug_before_the_first_message_costs_none(
    autojump_clock: trio.testing.MockClock,
) -> None:
    channel = make_channel()
    channel.put(numbered(0, 2))
    delivered: list[int] = []
    attempts = 0

    async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
        nonlocal attempts
        attempts += 1
        await trio.sleep(1)
        if attempts < 3 * POISON_FAILURES:
            raise ZeroDivisionError
        await sends_one_by_one([], delivered)(lease, task_status)

    await until_empty(channel, act)
    check(channel)
    assert delivered == [0, 1]
    assert sum(channel.account.dropped.values()) == 0


def test_failures_in_a_row_are_counted_at_one_message() -> None:
    channel = make_channel()
    channel.put(numbered(0, 3))
    poison = Poison()

    def fail(settled: int = 0) -> bool:
        with channel.lease() as lease:
            channel._queue.lend(1, 1 << 20)
            lease.settle(settled, Confirmation.SENT)
        return poison.failed(channel)

    fail()
    fail()
    assert poison.failures == 2
    fail(1)  # the head leaves: another message is suspected
    fail()
    assert poison.failures == 1
    fail()
    assert contents(channel) == [1, 2]
    assert fail(), "the way is free"
    assert contents(channel) == [2]
    assert channel.account.dropped[Drop.INTERNAL_ERROR] == 1
    assert not fail()
    assert not fail()
    assert contents(channel) == [2]
    assert fail()
    assert contents(channel) == []
    assert not Poison().failed(channel)
    check(channel)


# -- cancellation


@pytest.mark.parametrize("late", [False, True])
async def test_cancelled_at_every_await_nothing_is_lost_or_sent_twice(
    late: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Each time the delivery is cut one await later, and another one finishes the work."""
    step, delivered = 0, list[int]()
    for step in range(1, 1000):
        channel = make_channel()
        for start, stop in BATCHES:
            channel.put(numbered(start, stop))
        delivered = []
        attempts = Attempts(["down", "reached, ended"], [])

        async def act(lease: Lease, task_status: TaskStatus[None]) -> None:
            if attempts.outcomes:  # noqa: B023 - called in this turn of the loop
                await attempts.act(lease, task_status)  # noqa: B023 - as above
                return
            for batch in await lease.lend():
                for message in batch.messages:
                    await trio.lowlevel.checkpoint()
                    delivered.append(number(message))  # noqa: B023 - as above
                    lease.settle(1, Confirmation.SENT)

        with trio.move_on_after(100) as scope, CancelAt(step, scope, late=late) as cut:
            await deliver(channel, Acting(act), make_outlet(channel))
        check(channel)
        assert delivered + contents(channel) == list(range(TOTAL))
        if cut.steps < step:
            break
        await until_empty(channel, act)
        check(channel)
        assert delivered == list(range(TOTAL))
    assert delivered == list(range(TOTAL))
    assert step > TOTAL
