"""What happens later, in virtual time: packets that arrive, faults, threads that return."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import trio


@dataclass(slots=True, eq=False)
class Timeline:
    """Calls in the order of their time; those of one moment in the order they were asked for."""

    on_fault: Callable[[Exception], None] | None = None  # a call of ours has a bug
    _heap: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)
    _sooner: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def after(self, seconds: float, call: Callable[[], None]) -> None:
        at = trio.current_time() + seconds
        if not self._heap or at < self._heap[0][0]:
            self._sooner.unpark_all()
        heapq.heappush(self._heap, (at, next(self._numbers), call))

    async def run(self) -> None:
        while True:
            while self._heap and self._heap[0][0] <= trio.current_time():
                self._call(heapq.heappop(self._heap)[2])
            with trio.CancelScope(deadline=self._heap[0][0] if self._heap else float("inf")):
                await self._sooner.park()

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as fault:  # raised here it would end the time for everybody
            if self.on_fault is None:
                raise
            self.on_fault(fault)
