"""Supervision: restart with back-off, log, count."""

from functools import partial

import pytest
import trio
import trio.testing

from relay.core import delivery
from relay.supervisor.restart import HEALTHY_SECONDS, supervise


async def starts(
    failures: int, *, lives: float = 0.0, cured: frozenset[int] = frozenset()
) -> list[float]:
    """When a component that fails so often is started; `cured`: after which failures at once."""
    times: list[float] = []

    async def run() -> None:
        times.append(trio.current_time())
        await trio.sleep(lives)
        if len(times) <= failures:
            raise ZeroDivisionError

    await supervise("component x", run, lambda: len(times) in cured)
    return [time - times[0] for time in times]


@pytest.fixture(autouse=True)
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "JITTER", 0.0)


async def test_the_pauses_double(autojump_clock: trio.testing.MockClock) -> None:
    assert await starts(4) == [0, 1, 3, 7, 15]


async def test_a_component_that_ran_well_starts_over_with_the_shortest_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    lives = HEALTHY_SECONDS
    assert await starts(2, lives=lives) == [0, lives + 1, 2 * lives + 2]


async def test_a_cause_that_is_out_of_the_way_costs_no_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    assert await starts(4, cured=frozenset({3})) == [0, 1, 3, 3, 4]


async def test_what_happened_is_logged_with_its_traceback(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    await starts(1)
    assert "component x failed unexpectedly; starting it again in 1.0 s" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_bug_that_meets_a_cancellation_ends_nothing_but_the_component(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def stubborn() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise ZeroDivisionError

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stubborn)
            nursery.start_soon(trio.sleep_forever)

    with trio.move_on_after(1) as scope:
        await supervise("component x", run, lambda: False)
    assert scope.cancelled_caught
    assert "ZeroDivisionError" in caplog.text


async def test_who_is_in_a_hurry_gets_short_pauses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    hurry = trio.Event()
    times: list[float] = []

    async def run() -> None:
        times.append(trio.current_time())
        if len(times) <= 5:
            raise ZeroDivisionError

    async with trio.open_nursery() as nursery:
        began = trio.current_time()
        nursery.start_soon(partial(supervise, "x", run, lambda: False, hurry=hurry))
        await trio.sleep(4)
        hurry.set()
    assert [round(time - began, 1) for time in times] == [0, 1, 3, 4, 4.1, 4.2]
