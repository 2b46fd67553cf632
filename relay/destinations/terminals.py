"""Notes on the terminals of people: each at its own pace, so that one that is stuck delays none."""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import trio

from relay.core.account import PipeAccount
from relay.destinations.lines import Turn, turn_at
from relay.destinations.session import plain
from relay.system.ports import Local, Login, Output

WAITING_OCTETS_MAX = 64 << 10  # for one terminal that is slower than another one

# tty(4): has logged out or hung up in this moment. ENOTTY: what the login named is no terminal.
_GONE = frozenset({errno.ENOENT, errno.EIO, errno.ENXIO, errno.ENODEV, errno.ENOTTY})


@dataclass(slots=True, eq=False, repr=False)
class Note:
    """One message on its way to the terminals of those who are logged in.

    Invariant: `showing` is how many terminals have it and have neither shown it nor given it up.
    """

    text: bytes  # with its line end
    urgent: bool = False  # also for terminals that are closed to messages
    seen: bool = False
    showing: int = 0
    overdue: bool = False  # a terminal took nothing for too long
    fault: str = ""  # why a terminal could not be opened or written to

    @property
    def decided(self) -> bool:
        return self.seen or not self.showing


@dataclass(slots=True, eq=False, repr=False)
class Screen:
    """One terminal, open only while there is something to show.

    One that is held open would not notice that its other side has ended (pty(7)).

    Invariant: of the notes in `waiting` is not known whether they are shown here, and with
    `showing` each of them counts this terminal.
    """

    login: Login
    greeting: Callable[[], bytes]
    wait_max: float
    account: PipeAccount
    news: trio.lowlevel.ParkingLot
    busy: bool = False
    waiting: deque[Note] = field(default_factory=deque)
    _octets: int = 0

    def add(self, notes: Sequence[Note]) -> None:
        """These are to be shown, unless it is closed to them; what finds no room is missed.

        One that has shown all there was takes everything: what is lent at once is bounded.
        """
        behind = bool(self.waiting)
        for note in notes:
            if self.login.closed and not note.urgent:
                continue
            if behind and self._octets + len(note.text) > WAITING_OCTETS_MAX:
                note.overdue = True
                self.account.missed += 1
                continue
            self._octets += len(note.text)
            note.showing += 1
            self.waiting.append(note)

    async def show(self, local: Local) -> None:
        """Show what is waiting, as far as the terminal takes it."""
        turn = turn_at(self.login.terminal)
        terminal: Output | None = None
        try:
            with trio.move_on_after(self.wait_max) as patience:
                await turn.lock.acquire()
            if patience.cancelled_caught:  # another pipe's, which finds it stuck
                self._give_up()
                return
            try:
                terminal = await local.open_terminal(self.login.terminal)
                while self.waiting:
                    await self._write(terminal, turn, list(self.waiting))
            finally:
                turn.lock.release()
        except OSError as fault:
            known = fault.errno in _GONE or self.login.closed
            text = "" if known else f"{self.login.terminal}: {plain(fault.strerror or str(fault))}"
            while self.waiting:
                self._take().fault = text
        finally:
            self.busy = False
            self.account.missed += sum(note.seen for note in self.waiting)  # by others, elsewhere
            self.news.unpark_all()
            if terminal is not None:
                await terminal.close()

    async def _write(self, terminal: Output, turn: Turn, notes: Sequence[Note]) -> None:
        """Write these notes, or give up all that wait when the terminal takes nothing for long."""
        repair = b"\r\n" if turn.cut else b""  # a cut line is never followed by another
        texts = [repair + self.greeting(), *(note.text for note in notes)]
        data = memoryview(b"".join(texts))
        ends = list(accumulate(map(len, texts)))[1:]
        taken = shown = 0
        while taken < len(data):
            with trio.move_on_after(self.wait_max) as patience:
                while not (octets := await terminal.write([data[taken:]])):
                    await terminal.writable()
            if patience.cancelled_caught:
                self._give_up()
                return
            taken += octets
            turn.cut = data[taken - 1] != ord("\n")
            while shown < len(ends) and ends[shown] <= taken:
                self._take().seen = True
                shown += 1
            self.news.unpark_all()

    def _give_up(self) -> None:
        while self.waiting:
            self._take().overdue = True
            self.account.missed += 1

    def _take(self) -> Note:
        note = self.waiting.popleft()
        self._octets -= len(note.text)
        note.showing -= 1
        return note
