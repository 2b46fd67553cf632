"""One thread for an object that no other thread may use."""

import threading

import pytest
import trio

from relay.system.own_thread import OwnThread


async def test_every_call_has_the_same_thread_and_they_come_in_order() -> None:
    thread: OwnThread[int] = OwnThread("own")
    seen = [await thread.run(threading.get_ident) for _ in range(3)]
    assert len(set(seen)) == 1
    assert seen[0] != threading.get_ident()
    thread.end(lambda: None)


async def test_an_exception_is_the_caller_s() -> None:
    thread: OwnThread[float] = OwnThread("own")
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 / 0)
    assert await thread.run(lambda: 1.5) == 1.5
    thread.end(lambda: 1 / 0)


async def test_a_cancelled_call_goes_on_and_the_next_waits_for_it() -> None:
    thread: OwnThread[bool] = OwnThread("own")
    may_end = threading.Event()
    with trio.move_on_after(0.01) as scope:
        await thread.run(may_end.wait, 10)
    assert scope.cancelled_caught
    may_end.set()
    assert await thread.run(lambda: True)
    ended = threading.Event()
    thread.end(ended.set)
    assert await trio.to_thread.run_sync(ended.wait, 10)
    thread.end(ended.clear)  # once is enough
    assert ended.is_set()
