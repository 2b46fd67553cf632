"""The same seed is the same run, whatever the process; and no seed is like another."""

import os
import subprocess
import sys
from collections.abc import Sequence

import trio

from tests.simulation.seeded import Seeded, run_seeded
from tests.simulation.story import run_seed


def order(seed: int) -> Sequence[int]:
    """In which order ten tasks have run, all of them ready at once."""
    ran: list[int] = []

    async def run(number: int) -> None:
        await trio.lowlevel.checkpoint()
        ran.append(number)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(run, number)

    run_seeded(Seeded(seed), main)
    return ran


def test_the_scheduler_obeys_the_seed() -> None:
    """The canary: Trio's switch is private, and may go."""
    orders = {tuple(order(seed)) for seed in range(50)}
    assert len(orders) == 50
    assert all(tuple(order(7)) == tuple(order(7)) for _ in range(10))


def test_trio_is_left_as_it_was() -> None:
    scheduler = trio._core._run
    before = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, trio.to_thread.run_sync, os.getpid
    order(1)
    after = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, trio.to_thread.run_sync, os.getpid
    assert before == after


def test_time_is_virtual_and_threads_are_none() -> None:
    seeded = Seeded(3)

    async def main() -> tuple[float, str]:
        await trio.sleep(3600)
        return trio.current_time(), await trio.to_thread.run_sync(lambda: "done")

    now, done = run_seeded(seeded, main)
    assert 3600 <= now < 3601
    assert done == "done"


def test_a_second_run_of_a_seed_has_the_same_trace() -> None:
    for seed in range(5):
        first, second = run_seed(seed), run_seed(seed)
        assert (first.trace, first.steps) == (second.trace, second.steps)


def test_another_process_has_the_same_trace() -> None:
    code = "from tests.simulation.story import run_seed; print(run_seed(3).trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "12345")
    }
    assert traces == {f"{run_seed(3).trace}\n"}
