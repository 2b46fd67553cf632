"""Lines to a terminal, a named pipe or a program."""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import trio

from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.destinations.session import (
    STALLED_SECONDS,
    Writable,
    all_formatted,
    plain,
    wait_for_room,
)
from relay.destinations.transit import PAUSE_SECONDS, PAUSE_SECONDS_MAX
from relay.system.ports import Output
from relay.wire.escape import escape_text
from relay.wire.formats import Form

# PIPE_BUF (pipe(7)): a pipe takes so much as a whole or not at all, whoever else writes to it.
PIECE_OCTETS = 4096
READ_SECONDS_MAX = 1.0  # how long a pipe that we end may take to be read to its end


@dataclass(slots=True, eq=False, repr=False)
class Turn:
    """One terminal or named pipe, whichever pipes write to it; outlives their attempts.

    Invariant: who holds the lock finds `cut` true unless what was written last ended a line.
    """

    lock: trio.Lock = field(default_factory=trio.Lock)
    cut: bool = False

    async def writable(self) -> None:
        """Take the lock."""
        await self.lock.acquire()


_TURNS: dict[str, Turn] = {}  # by path; a few configured ones


def turn_at(path: str) -> Turn:
    """The turn of whoever writes to this path."""
    return _TURNS.setdefault(path, Turn())


class Manner(NamedTuple):
    """How messages become lines, and when they are delivered."""

    form: Form
    end: bytes = b"\n"
    wait_max: float = math.inf  # seconds in which nothing is taken
    pipe: bool = True  # of a pipe is known what has been read, of a terminal only what was taken


class LineSession:
    """Writes what the lease lends, a line a message, and goes on where a short write has ended.

    To a terminal a line is delivered when it is taken. To a pipe it is when it has been read, so
    that a reader that dies costs nothing: what it has left in the pipe is lent again.

    Invariant: `_taken` octets were taken so far; `_ends` says where in them the lines end that are
    lent yet.
    """

    def __init__(
        self, output: Output, lease: Lease, outlet: Outlet, manner: Manner, turn: Turn
    ) -> None:
        self._output = output
        self._lease = lease
        self._account = outlet.account
        self._health = outlet.health
        self._manner = manner
        self._turn = turn
        self._taken = 0
        self._ends: deque[int] = deque()
        self._launched = trio.lowlevel.ParkingLot()  # told when something is in the pipe

    @property
    def unread(self) -> int:
        """Messages that are in the pipe as a whole, and lent yet."""
        return len(self._ends)

    async def send(self, batches: Sequence[Batch]) -> bool:
        """Write what was lent; false if nothing was taken for `wait_max`, and the rest is lent yet.

        Raises:
            DestinationDown: it has hung up, or nobody reads it any more.
        """
        messages = escape_text(all_formatted(batches, self._manner.form))
        if not await self._room(self._turn):
            return False
        try:
            return await self._write([message + self._manner.end for message in messages])
        finally:
            self._turn.lock.release()

    async def expire(self) -> Sequence[Batch]:
        """Drop what is lent, and what comes, until something is taken again.

        Returns what was lent in the end and is not to be dropped: it came when something was taken
        again, or its sender waits to be told yes.
        """
        kept: list[Batch] = []

        async def drop() -> None:
            self._drop_lent()
            while not kept:
                kept.extend(await self._lease.lend())
                for _ in range(2):  # the kernel is asked once more, and who waits for it has a turn
                    await trio.lowlevel.checkpoint()
                if not self._lease.owes:
                    self._drop_lent()
                    kept.clear()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drop)
            await self._output.writable()
            nursery.cancel_scope.cancel()
        return kept

    async def follow(self) -> str:
        """Settle what is read as it is read; return when nobody reads any more."""
        pause = PAUSE_SECONDS
        progress_at = trio.current_time()
        while True:
            if not self._ends:
                await self._launched.park()
                pause, progress_at = PAUSE_SECONDS, trio.current_time()
            await trio.sleep(pause)
            if self.look():
                pause, progress_at = max(pause / 2, PAUSE_SECONDS), trio.current_time()
                continue
            if self._output.hung_up():
                return "broken pipe"
            if trio.current_time() - progress_at >= STALLED_SECONDS:
                self._health.stalled = True
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def look(self) -> bool:
        """Settle what has been read; true if that was something."""
        read = self._taken - self._output.unread()
        messages = 0
        while self._ends and self._ends[0] <= read:
            self._ends.popleft()
            messages += 1
        if messages:
            self._health.stalled = False
            self._lease.settle(messages, Confirmation.ACKED)
        return messages > 0

    async def read_out(self) -> None:
        """Wait a while for what is in the pipe to be read."""
        with trio.move_on_after(READ_SECONDS_MAX, shield=True):
            while self._ends and not self._output.hung_up():
                await trio.sleep(PAUSE_SECONDS)
                self.look()

    def leave(self) -> None:
        """Whoever reads it has what is in the pipe when we close it, unless he goes as well."""
        if not self._output.hung_up():
            self._account.in_doubt += len(self._ends)
            self._lease.settle(len(self._ends), Confirmation.SENT)
            self._ends.clear()

    async def _write(self, lines: Sequence[bytes]) -> bool:
        # A cut line is never followed by another.
        repair = [self._manner.end] if self._turn.cut else []
        row = _Row.of([*repair, *lines])
        settled = 0
        while True:
            cut = self._turn.cut
            self._turn.cut = True  # if a stop abandons the call: who knows
            try:
                taken = await self._output.write(list(row.pieces()))
            except OSError as fault:
                self._turn.cut = cut
                raise DestinationDown(plain(fault.strerror or str(fault))) from fault
            self._turn.cut = row.take(taken) if taken else cut
            whole = max(0, row.whole - len(repair))
            self._settle(taken, row, whole - settled)
            settled = whole
            if not row.rest:
                return True
            if not await self._room(self._output):
                return False

    def _settle(self, taken: int, row: "_Row", messages: int) -> None:
        if not taken:
            return
        self._health.stalled = False
        began = self._taken + taken - row.taken  # of this row, among all that was taken
        self._taken += taken
        if not self._manner.pipe:
            self._lease.settle(messages, Confirmation.SENT)
            return
        self._ends.extend(began + end for end in row.ends[row.whole - messages : row.whole])
        self.look()
        self._launched.unpark_all()

    async def _room(self, port: Writable) -> bool:
        while True:
            with trio.move_on_after(self._manner.wait_max):
                await wait_for_room(port, self._health)
                return True
            if not self._lease.owes:
                return False

    def _drop_lent(self) -> None:
        why = f"the terminal took nothing for {self._manner.wait_max:g} s"
        self._lease.refuse(self._lease.lent, Drop.EXPIRED, why)


@dataclass(slots=True, eq=False, repr=False)
class _Row:
    """Lines on their way. Invariant: `taken` octets of `data` are gone."""

    data: bytes
    ends: Sequence[int]
    taken: int = 0

    @classmethod
    def of(cls, lines: Sequence[bytes]) -> "_Row":
        return cls(b"".join(lines), list(accumulate(map(len, lines))))

    @property
    def rest(self) -> int:
        return len(self.data) - self.taken

    @property
    def whole(self) -> int:
        """How many lines are gone as a whole."""
        return bisect_right(self.ends, self.taken)

    def take(self, octets: int) -> bool:
        """So many more are gone; true if that ends within a line."""
        self.taken += octets
        return self.taken != self.ends[self.whole - 1] if self.whole else True

    def pieces(self) -> Iterator[memoryview]:
        """What is left, in pieces of whole lines; a longer line alone, as the rest of a cut one."""
        view = memoryview(self.data)
        start, line = self.taken, self.whole
        if line < len(self.ends) and start != (self.ends[line - 1] if line else 0):
            yield view[start : self.ends[line]]
            start, line = self.ends[line], line + 1
        while line < len(self.ends):
            after = max(line + 1, bisect_right(self.ends, start + PIECE_OCTETS))
            yield view[start : self.ends[after - 1]]
            start, line = self.ends[after - 1], after
