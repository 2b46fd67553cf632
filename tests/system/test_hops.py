import threading

import pytest
import trio

from relay.system.hops import Hops


class Blocking:
    """A call that blocks until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.gate = threading.Event()

    def __call__(self, answer: str) -> str:
        self.entered.set()
        assert self.gate.wait(20)
        return answer


async def test_a_cancelled_hop_runs_to_its_end_and_its_result_is_known() -> None:
    hops = Hops(trio.CapacityLimiter(1))
    call = Blocking()
    results = []

    async def run() -> None:
        results.append(await hops.run(call, "written"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.to_thread.run_sync(call.entered.wait)
        nursery.cancel_scope.cancel()
        call.gate.set()
    assert results == ["written"]


async def test_a_hop_begun_after_the_cancellation_runs_too() -> None:
    hops = Hops(trio.CapacityLimiter(1))
    with trio.CancelScope() as scope:
        scope.cancel()
        assert await hops.run(str.upper, "closed") == "CLOSED"


async def test_abandoned_a_cancelled_hop_ends_while_its_thread_hangs() -> None:
    limiter = trio.CapacityLimiter(1)
    hops = Hops(limiter)
    call = Blocking()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hops.run, call, "never known")
        await trio.to_thread.run_sync(call.entered.wait)
        nursery.cancel_scope.cancel()
        hops.abandon()
    assert not call.gate.is_set()
    assert limiter.borrowed_tokens == 1
    with trio.move_on_after(0) as scope:  # it cannot even begin, and hangs nobody
        await hops.run(call, "never begun")
    assert scope.cancelled_caught
    call.gate.set()


async def test_what_has_to_be_done_at_the_end_is_done_though_abandoned() -> None:
    """A pipe that a reload takes away is abandoned in the end: its file must not stay open."""
    hops = Hops(trio.CapacityLimiter(1))
    closed = threading.Event()
    hops.abandon()
    with trio.CancelScope() as scope:
        scope.cancel()
        await hops.finish(closed.set)
    assert await trio.to_thread.run_sync(closed.wait, 10)


async def test_abandoning_alone_cancels_nothing() -> None:
    hops = Hops(trio.CapacityLimiter(1))
    call = Blocking()
    results = []

    async def run() -> None:
        results.append(await hops.run(call, "written"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await trio.to_thread.run_sync(call.entered.wait)
        hops.abandon()
        call.gate.set()
    assert results == ["written"]


async def test_an_error_is_the_callers() -> None:
    hops = Hops(trio.CapacityLimiter(1))
    with pytest.raises(ValueError, match="invalid literal"):
        await hops.run(int, "x")
