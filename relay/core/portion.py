"""A batch of a channel in portions for several destinations, which are settled in any order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch
from relay.core.lease import ChannelLease

_LEVELS = (None, *Confirmation)  # by mark; 0: it is not known yet what becomes of the message
_REFUSED = len(_LEVELS)


@dataclass(slots=True, eq=False, repr=False)
class Spread:
    """A batch that the channel has lent, and what has become of each of its messages.

    Invariant: what is known of the oldest ones the channel's lease knows as well, `gone` of them.
    """

    marks: bytearray
    gone: int = 0
    whys: dict[int, tuple[Drop, str, str]] = field(
        default_factory=dict
    )  # of those refused, by place

    @classmethod
    def of(cls, batch: Batch) -> "Spread":
        return cls(bytearray(len(batch)))

    def settle(self, places: Sequence[int], level: Confirmation) -> None:
        self._mark(places, _LEVELS.index(level))

    def refuse(self, places: Sequence[int], reason: Drop, why: str, by: str) -> None:
        self.whys.update(dict.fromkeys(places, (reason, why, by)))
        self._mark(places, _REFUSED)

    def pass_on(self, lease: ChannelLease) -> bool:
        """Settle and refuse what is known of the oldest messages; True when that is all."""
        known = self.marks.find(0, self.gone)
        if known < 0:
            known = len(self.marks)
        while self.gone < known:
            mark = self.marks[self.gone]
            rest = self.marks[self.gone : known]
            run = len(rest) - len(rest.lstrip(bytes([mark])))
            level = _LEVELS[mark] if mark != _REFUSED else None
            if level is not None:
                lease.settle(run, level)
            else:
                for place in range(self.gone, self.gone + run):
                    lease.refuse(1, *self.whys[place])
            self.gone += run
        return self.gone == len(self.marks)

    def _mark(self, places: Sequence[int], mark: int) -> None:
        if isinstance(places, range):
            self.marks[places.start : places.stop] = bytes([mark]) * len(places)
        else:
            for place in places:
                self.marks[place] = mark


@dataclass(slots=True, eq=False, repr=False)
class Portion:
    """Messages that go to one destination; without a `spread` they are delivered already."""

    batch: Batch
    spread: Spread | None
    places: Sequence[int]  # of the messages in the batch that was spread
    slots: Sequence[int]  # of their senders, each once

    @property
    def echo(self) -> bool:
        return self.spread is None

    def part(self, start: int, stop: int | None = None) -> "Portion":
        batch = self.batch.part(start, stop)
        return Portion(batch, self.spread, self.places[start:stop], self.slots)
