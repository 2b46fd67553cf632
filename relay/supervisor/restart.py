"""One component under supervision: what nobody expected is logged, counted, and tried again."""

import logging
import random
from collections.abc import Awaitable, Callable

import trio

from relay.core.delivery import backoff

log = logging.getLogger("relay.supervisor")

HURRIED_SECONDS = 0.1
HEALTHY_SECONDS = 60.0  # a component that ran for so long starts over with the shortest pause


async def supervise(
    component: str,
    run: Callable[[], Awaitable[None]],
    failed: Callable[[], bool],
    *,
    hurry: trio.Event | None = None,
) -> None:
    """Run until it returns. An unexpected exception restarts it, and it alone, with back-off.

    `failed` is called once per such exception. If it says that the cause is out of the way, there
    is no pause, and the next failure begins with the shortest one. Once `hurry` is set there is
    little time left, and pauses are short. With `Router.put` and the reader
    of a single connection this is the only place where any exception is caught.
    """
    pauses = backoff(random.Random())  # noqa: S311 - spreads restarts, guards nothing
    ended = False
    while not ended:
        began = trio.current_time()
        pause = 0.0
        try:
            await run()
            ended = True
        except* Exception:  # with its star, a cancellation in the same group goes its way
            if trio.current_time() - began >= HEALTHY_SECONDS:
                pauses = backoff(random.Random())  # noqa: S311 - as above
            pause = next(pauses)
            log.exception("%s failed unexpectedly; starting it again in %.1f s", component, pause)
            if failed():
                pauses = backoff(random.Random())  # noqa: S311 - as above
                pause = 0.0
        if not ended:
            await _pause(pause, hurry)


async def _pause(seconds: float, hurry: trio.Event | None) -> None:
    with trio.move_on_after(seconds):
        if hurry is not None and not hurry.is_set():
            await hurry.wait()
        elif hurry is not None:
            await trio.sleep(HURRIED_SECONDS)
        else:
            await trio.sleep_forever()
