"""Lines to a terminal, a named pipe or a program, each settled when its last octet is taken."""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import trio

from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.destinations.session import all_formatted, plain, wait_for_room
from relay.system.ports import Output
from relay.wire.escape import escape_text
from relay.wire.formats import Form

# PIPE_BUF (pipe(7)): a pipe takes so much as a whole or not at all, whoever else writes to it.
PIECE_OCTETS = 4096
ENDS_MAX = 10_000  # lines remembered before it is asked which of them were read


@dataclass(slots=True, eq=False)
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


@dataclass(frozen=True, slots=True)
class Manner:
    """How messages become lines, and how long nobody may take them."""

    form: Form
    end: bytes = b"\n"
    wait_max: float = math.inf


class LineSession:
    """Writes what the lease lends, a line a message, and goes on where a short write has ended.

    Invariant: `_taken` octets were taken so far; `_ends` says where in them lines end, but for
    lines that are known to be read.
    """

    def __init__(
        self, output: Output, lease: Lease, outlet: Outlet, manner: Manner, turn: Turn
    ) -> None:
        self._output = output
        self._lease = lease
        self._account = outlet.account
        self._manner = manner
        self._turn = turn
        self._taken = 0
        self._ends: deque[int] = deque()

    async def send(self, batches: Sequence[Batch]) -> bool:
        """Write what was lent; false if nothing was taken for `wait_max`, and the rest is lent yet.

        Raises:
            DestinationDown: it has hung up, or nobody reads it any more.
        """
        messages = escape_text(all_formatted(batches, self._manner.form))
        await wait_for_room(self._turn, self._account)
        try:
            return await self._write([message + self._manner.end for message in messages])
        finally:
            self._turn.lock.release()

    async def expire(self) -> Sequence[Batch]:
        """Drop what is lent, and what comes, until something is taken again.

        Returns what was lent meanwhile and is not to be dropped: its sender waits to be told yes.
        """
        kept: list[Batch] = []

        async def drop() -> None:
            self._drop_lent()
            while not kept:
                batches = await self._lease.lend()
                if self._lease.owes:
                    kept.extend(batches)
                else:
                    self._drop_lent()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(drop)
            await self._output.writable()
            nursery.cancel_scope.cancel()
        return kept

    def take_stock(self) -> str:
        """Before a pipe is closed: book what was taken and will not be read; says how many."""
        if not self._output.hung_up():
            return ""
        self._forget_read()
        unread = len(self._ends)
        self._account.in_doubt += unread
        self._ends.clear()
        return f", {unread} messages were not read" if unread else ""

    async def _write(self, lines: Sequence[bytes]) -> bool:
        repair = (
            [self._manner.end] if self._turn.cut else []
        )  # a cut line is never followed by another
        row = _Row.of([*repair, *lines])
        settled = 0
        while True:
            cut, self._turn.cut = (
                self._turn.cut,
                True,
            )  # true if a stop abandons the call: who knows
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
            if not await self._room():
                return False

    def _settle(self, taken: int, row: "_Row", messages: int) -> None:
        if not taken:
            return
        self._account.stalled = False
        began = self._taken + taken - row.taken  # of this row, among all that was taken
        self._taken += taken
        self._ends.extend(began + end for end in row.ends[row.whole - messages : row.whole])
        if len(self._ends) > ENDS_MAX:
            self._forget_read()
        self._lease.settle(messages, Confirmation.SENT)

    async def _room(self) -> bool:
        while True:
            with trio.move_on_after(self._manner.wait_max):
                await wait_for_room(self._output, self._account)
                return True
            if not self._lease.owes:
                return False

    def _forget_read(self) -> None:
        read = self._taken - self._output.unread()
        while self._ends and self._ends[0] <= read:
            self._ends.popleft()

    def _drop_lent(self) -> None:
        why = f"the terminal took nothing for {self._manner.wait_max:g} s"
        self._lease.refuse(self._lease.lent, Drop.EXPIRED, why)


@dataclass(slots=True, eq=False)
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
