import sys
import threading
from collections.abc import Iterator

import pytest
import trio
import trio.testing

from relay.core.own import BACKLOG_MESSAGES, OwnMessage, OwnMessages


def message(n: int = 0) -> OwnMessage:
    return OwnMessage(6, str(n), notice=False)


def test_what_comes_before_the_configuration_is_in_force_waits_for_the_listener() -> None:
    own = OwnMessages()
    own.add(message(0))
    assert own.initial
    own.want(True)
    own.add(message(1))
    assert own.initial
    assert own.take() == ([message(0), message(1)], 0)
    assert not own.initial


def test_without_a_listener_nothing_is_kept() -> None:
    own = OwnMessages()
    own.add(message(0))
    own.want(False)
    own.add(message(1))
    own.want(True)
    assert own.take() == ([], 0)


def test_messages_come_in_order_and_once() -> None:
    own = OwnMessages(wanted=True)
    for n in range(3):
        own.add(message(n))
    assert own.take() == ([message(0), message(1), message(2)], 0)
    assert own.take() == ([], 0)


def test_the_book_is_bounded_and_what_overflows_is_counted() -> None:
    own = OwnMessages(wanted=True)
    for n in range(BACKLOG_MESSAGES + 3):
        own.add(message(n))
    taken, overflowed = own.take()
    assert [int(each.text) for each in taken] == list(range(BACKLOG_MESSAGES))
    assert overflowed == 3
    assert own.take() == ([], 0)


async def test_arrival_returns_at_once_when_something_waits() -> None:
    own = OwnMessages(wanted=True)
    own.add(message())
    with trio.testing.assert_no_checkpoints():
        await own.arrival()


async def test_a_message_of_our_own_thread_wakes_the_listener(
    autojump_clock: trio.testing.MockClock,
) -> None:
    own = OwnMessages(wanted=True)
    own.attach()
    with trio.fail_after(1):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(own.arrival)
            await trio.testing.wait_all_tasks_blocked()
            own.add(message())
    assert own.take() == ([message()], 0)


async def test_a_message_of_another_thread_wakes_the_listener() -> None:
    own = OwnMessages(wanted=True)
    own.attach()
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(own.arrival)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(own.add, message())
    assert own.take() == ([message()], 0)


def in_a_thread(own: OwnMessages) -> None:
    thread = threading.Thread(target=own.add, args=[message()])
    thread.start()
    thread.join()


def test_a_thread_may_add_before_the_relay_runs_and_after_it_has_ended() -> None:
    own = OwnMessages(wanted=True)
    in_a_thread(own)

    async def run() -> None:
        own.attach()

    trio.run(run)
    in_a_thread(own)
    assert own.take() == ([message(), message()], 0)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_what_threads_add_while_it_is_taken_is_not_lost() -> None:
    own = OwnMessages(wanted=True)
    added_by_each = 5000

    def add() -> None:
        for n in range(added_by_each):
            own.add(message(n))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    counted = 0
    while any(thread.is_alive() for thread in threads):
        taken, overflowed = own.take()
        counted += len(taken) + overflowed
    taken, overflowed = own.take()
    assert counted + len(taken) + overflowed == len(threads) * added_by_each
