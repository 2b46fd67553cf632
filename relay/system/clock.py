"""The host's clocks."""

import time

import trio


class SystemClock:
    def now(self) -> float:
        return trio.current_time()

    def wall_ns(self) -> int:
        return time.time_ns()
