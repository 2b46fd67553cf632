"""A listener is ready once: when it says so, or after a while."""

from typing import Any

import trio

from relay.listeners.ready import Ready


class Status:
    times = 0

    def started(self, _value: Any = None) -> None:  # noqa: ANN401 - Trio's
        self.times += 1


async def test_it_is_told_once(autojump_clock: object) -> None:
    status = Status()
    ready = Ready(status)
    ready.tell()
    ready.tell()
    await ready.tell_after(5)
    assert status.times == 1


async def test_it_is_told_after_a_while_in_any_case(autojump_clock: object) -> None:
    status = Status()
    began = trio.current_time()
    await Ready(status).tell_after(5)
    assert (status.times, trio.current_time() - began) == (1, 5)
