"""The messages of a channel that are in memory: those lent to a delivery, then those waiting."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from relay.core.batch import Batch


@dataclass(slots=True, eq=False, repr=False)
class Entry:
    """A batch and the number of its first message; the numbers of a channel only rise."""

    first: int
    batch: Batch
    echo: bool = False  # delivered already, and sent again to be sure: in nobody's book any more

    @property
    def end(self) -> int:
        return self.first + len(self.batch)

    def part(self, start: int, stop: int | None = None) -> "Entry":
        return Entry(self.first + start, self.batch.part(start, stop), self.echo)


@dataclass(slots=True, eq=False, repr=False)
class Queue:
    """Two rows of entries, numbers rising. What is lent was taken from the front of what waits.

    Invariant: the counts are what the rows contain, without the part of the first lent entry that
    has left already. `octets` and `notices` do not count echoes; `messages` does not either.
    """

    waiting: deque[Entry] = field(default_factory=deque)
    lent: deque[Entry] = field(default_factory=deque)
    waiting_messages: int = 0
    lent_messages: int = 0
    waiting_echoes: int = 0
    lent_echoes: int = 0
    octets: int = 0
    lent_octets: int = 0  # of whole lent entries
    notices: int = 0  # entries that tell of losses
    _gone: int = 0  # messages of the oldest lent entry that have left

    @property
    def messages(self) -> int:
        return self.waiting_messages + self.lent_messages - self.waiting_echoes - self.lent_echoes

    @property
    def head(self) -> int | None:
        """Number of the oldest message that is no echo."""
        gone = self._gone
        for entry in chain(self.lent, self.waiting):
            if not entry.echo:
                return entry.first + gone
            gone = 0
        return None

    def oldest(self) -> Entry | None:
        return (self.lent or self.waiting or (None,))[0]

    def add(self, entry: Entry) -> None:
        self.waiting.append(entry)
        self.waiting_messages += len(entry.batch)
        self.octets += entry.batch.octets
        self.notices += entry.batch.notice

    def lend(self, messages_max: int, octets_max: int, *, numbered: bool = False) -> list[Batch]:
        """Take from what waits, which must not be nothing: so much, or one batch of more octets.

        A batch of more messages is split. `numbered`, they bear their numbers: 1 µs a batch.
        """
        taken: list[Batch] = []
        messages = octets = 0
        while self.waiting:
            batch = self.waiting[0].batch
            messages += len(batch)
            octets += batch.octets
            if taken and (messages > messages_max or octets > octets_max):
                break
            if len(batch) > messages_max:
                self._split_head(messages_max)
            entry = self.waiting.popleft()
            self._lend(entry)
            taken.append(entry.batch.numbered(entry.first) if numbered else entry.batch)
        return taken

    def shift(self, messages: int) -> list[Entry]:
        """So many of the oldest lent messages leave; returns them."""
        assert 0 <= messages <= self.lent_messages, "more settled than lent"
        leaving: list[Entry] = []
        while messages:
            entry = self.lent[0]
            part = min(messages, len(entry.batch) - self._gone)
            left = entry if part == len(entry.batch) else entry.part(self._gone, self._gone + part)
            if self._gone + part == len(entry.batch):
                self.lent.popleft()
                self.lent_octets -= entry.batch.octets
                self._gone = 0
                if not entry.echo:
                    self.notices -= entry.batch.notice
            else:
                self._gone += part
            self.lent_messages -= part
            if entry.echo:
                self.lent_echoes -= part
            else:
                self.octets -= left.batch.octets
            leaving.append(left)
            messages -= part
        return leaving

    def recall(self) -> int:
        """Put what is lent back in front, in order; returns how many messages, without echoes.

        Echoes are not put back, nor do others stay: whoever wants them adds them anew.
        """
        recalled = self.lent_messages - self.lent_echoes
        if self.lent and self._gone:
            self.lent[0] = self.lent[0].part(self._gone)
        back = [entry for entry in self.lent if not entry.echo]
        self.drop_waiting_echoes()
        self.waiting.extendleft(reversed(back))
        self.waiting_messages += recalled
        self.lent.clear()
        self.lent_messages = self.lent_echoes = self.lent_octets = self._gone = 0
        return recalled

    def echo(self, entries: Iterable[Entry]) -> int:
        """Put these in front of everything as echoes; returns how many messages they have."""
        echoes = [Entry(entry.first, entry.batch, echo=True) for entry in entries]
        self.waiting.extendleft(reversed(echoes))
        messages = sum(len(entry.batch) for entry in echoes)
        self.waiting_messages += messages
        self.waiting_echoes += messages
        return messages

    def drop_waiting_echoes(self) -> int:
        """Take out the echoes that wait; returns how many messages they have."""
        messages = self.waiting_echoes
        if messages:
            self.waiting = deque(entry for entry in self.waiting if not entry.echo)
            self.waiting_messages -= messages
            self.waiting_echoes = 0
        return messages

    def drop_oldest_waiting(self) -> Entry | None:
        """Take the oldest waiting entry that is no echo out."""
        for place, entry in enumerate(self.waiting):
            if not entry.echo:
                del self.waiting[place]
                self.waiting_messages -= len(entry.batch)
                self.octets -= entry.batch.octets
                self.notices -= entry.batch.notice
                return entry
        return None

    def take_waiting(self) -> Sequence[Entry]:
        """Everything that waits is taken out, but for echoes."""
        taken = [entry for entry in self.waiting if not entry.echo]
        self.waiting = deque(entry for entry in self.waiting if entry.echo)
        self.waiting_messages = self.waiting_echoes
        self.octets -= sum(entry.batch.octets for entry in taken)
        self.notices -= sum(entry.batch.notice for entry in taken)
        return taken

    def held(self) -> Iterator[Entry]:
        """All that is no echo, oldest first, without what has left already."""
        gone = self._gone
        for entry in chain(self.lent, self.waiting):
            if not entry.echo:
                yield entry.part(gone) if gone else entry
            gone = 0

    def _lend(self, entry: Entry) -> None:
        messages = len(entry.batch)
        self.waiting_messages -= messages
        self.lent.append(entry)
        self.lent_messages += messages
        self.lent_octets += entry.batch.octets
        if entry.echo:
            self.waiting_echoes -= messages
            self.lent_echoes += messages

    def _split_head(self, messages: int) -> None:
        """Make the first so many messages of the oldest waiting entry one of their own."""
        entry = self.waiting.popleft()
        self.waiting.appendleft(entry.part(messages))
        self.waiting.appendleft(entry.part(0, messages))
        if not entry.echo:
            self.notices += entry.batch.notice  # there are two entries now
