"""Relay's own messages on their way to the pipes: a bounded book that the log writes into.

The listener of type `internal` empties it. What is logged before the configuration is in force, and
the pipes are there, waits for it; without such a listener nothing is kept. The log on stderr has
everything either way.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

BACKLOG_MESSAGES = 1000


class OwnMessage(NamedTuple):
    """A line of ours, with its severity (RFC 5424 section 6.2.1)."""

    severity: int
    text: str
    notice: bool  # tells of losses
    at_ns: int | None = None  # when it was said; None: when it is put


@dataclass(slots=True, eq=False, repr=False)
class OwnMessages:
    """Invariant: what was added is waiting, taken, or counted in what `take` says overflowed."""

    wanted: bool = True  # unless the configuration says otherwise
    initial: bool = True  # nothing was taken so far
    wall_ns: Callable[[], int | None] = lambda: None  # the time, for who adds
    _waiting: deque[OwnMessage] = field(default_factory=deque)
    _overflowed: int = 0
    _arrival: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    _token: trio.lowlevel.TrioToken | None = None
    _thread: int = 0

    def want(self, wanted: bool) -> None:
        """Whether there is a listener. Without one, what waits is forgotten: the log has it."""
        self.wanted = wanted
        if not wanted:
            self.take()

    def attach(self) -> None:
        """Called once inside `trio.run`: from now on threads can wake the listener, too."""
        self._token = trio.lowlevel.current_trio_token()
        self._thread = threading.get_ident()

    def add(self, message: OwnMessage) -> None:
        """Keep a message for the pipes. Callable from any thread, never waits."""
        if not self.wanted:
            return
        if len(self._waiting) >= BACKLOG_MESSAGES:
            self._overflowed += 1
        else:
            self._waiting.append(message)
        if threading.get_ident() == self._thread:
            self._arrival.unpark_all()
        elif self._token is not None:
            with suppress(trio.RunFinishedError):  # nobody listens any more
                self._token.run_sync_soon(self._arrival.unpark_all, idempotent=True)

    async def arrival(self) -> None:
        """Wait until there is something to take."""
        while not (self._waiting or self._overflowed):
            await self._arrival.park()

    def take(self) -> tuple[Sequence[OwnMessage], int]:
        """What is waiting, and how many messages found the book full since the last call."""
        self.initial = False
        # Other threads add meanwhile: only what was seen may be taken away.
        taken = [self._waiting.popleft() for _ in range(len(self._waiting))]
        overflowed = self._overflowed
        self._overflowed -= overflowed
        return taken, overflowed
