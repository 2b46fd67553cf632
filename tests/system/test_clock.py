import time

import trio.testing

from relay.system.clock import SystemClock


async def test_durations_follow_trio_and_stamps_the_wall(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock = SystemClock()
    before = clock.now()
    await trio.sleep(5)
    assert clock.now() - before == 5
    assert abs(clock.wall_ns() - time.time_ns()) < 1e9
