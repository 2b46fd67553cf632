"""What was settled last as acknowledged by the peer's kernel: its application may not have read it.

After an unclean break these messages are sent again before everything else.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from relay.core.queue import Entry


@dataclass(slots=True, eq=False, repr=False)
class Tail:
    """The last entries that have `octets_max` octets together, the oldest of them whole."""

    octets_max: int = 0  # 0: nothing is kept
    _entries: deque[Entry] = field(default_factory=deque)
    _octets: int = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def resize(self, octets_max: int) -> None:
        self.octets_max = octets_max
        self._trim()

    def keep(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            if not entry.echo:
                self._entries.append(entry)
                self._octets += entry.batch.octets
        self._trim()

    def forget(self) -> None:
        self._entries.clear()
        self._octets = 0

    def _trim(self) -> None:
        """Whole entries only: to cut one at each settlement would cost 30 ns a message."""
        if not self.octets_max:
            self.forget()
        while self._entries and self._octets - self._entries[0].batch.octets >= self.octets_max:
            self._octets -= self._entries.popleft().batch.octets
