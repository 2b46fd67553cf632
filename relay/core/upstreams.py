"""Who sends us messages with hop records, and what of theirs is missing or came twice.

What is not here yet may only have been overtaken, on UDP or on another connection: a hole is
missing when it was open for `REORDER_SECONDS`. What comes after that is counted as late.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from relay.core.numbering import HOLES_MAX, Numbering, Range
from relay.wire.hop import Passage, last_passage, upstream_text

UPSTREAMS_MAX = 256  # with the longest silent one making room
LABELS_MAX = 64  # upstreams with counters of their own
OTHER = "other"  # has those of the rest
EPOCHS_MAX = 4  # of an upstream: what is older is taken for new
REORDER_SECONDS = 10.0
REPEAT_SECONDS = 60.0  # between two lines about what lasts
QUIET_SECONDS = 10.0  # after which it is over
RANGES_MAX = 16  # in a line


@dataclass(slots=True, eq=False, repr=False)
class HopCounts:
    """One upstream's numbers; none ever falls."""

    received: int = 0
    gaps: int = 0  # ranges of numbers that did not come in time
    missing: int = 0  # messages in these
    late: int = 0  # messages of these that came all the same
    duplicates: int = 0
    renumbered: int = 0  # numbers began anew, and what was lost before that is not known


@dataclass(slots=True, eq=False, repr=False)
class Episode:
    """What is to be told of one upstream and kind of trouble: at once, then at most once a minute.

    Invariant: `messages` is what was added and not told; `ranges` are the first of these.
    """

    messages: int = 0
    ranges: list[Range] = field(default_factory=list)
    more: int = 0  # messages in ranges for which there was no room
    told_at: float | None = None
    added_at: float = 0.0

    def add(self, ranges: Iterable[Range], now: float) -> None:
        for first, end in ranges:
            self.messages += end - first
            self.added_at = now
            if self.ranges and self.ranges[-1][1] == first and not self.more:
                self.ranges[-1] = self.ranges[-1][0], end
            elif len(self.ranges) < RANGES_MAX:
                self.ranges.append((first, end))
            else:
                self.more += end - first

    def due(self, now: float) -> str:
        """The numbers to tell at this moment; empty: nothing."""
        quiet = now - self.added_at >= QUIET_SECONDS
        if self.messages and (
            self.told_at is None or quiet or now - self.told_at >= REPEAT_SECONDS
        ):
            self.told_at = now
            return self.tell()
        if quiet and not self.messages:
            self.told_at = None
        return ""

    def tell(self) -> str:
        noun = "message" if self.messages == 1 else "messages"
        text = f"{self.messages} {noun}: {', '.join(map(range_text, self.ranges))}"
        if self.more:
            text += f" and {self.more} more"
        self.messages = self.more = 0
        self.ranges = []
        return text


def range_text(numbers: Range) -> str:
    first, end = numbers
    return str(first) if end - first == 1 else f"{first} to {end - 1}"


@dataclass(slots=True, eq=False, repr=False)
class Upstream:
    """One pipe of another relay. The epoch that began last is the last in `epochs`."""

    name: str
    counts: HopCounts
    holes_max: int
    epochs: dict[bytes, Numbering] = field(default_factory=dict)
    missing: Episode = field(default_factory=Episode)
    again: Episode = field(default_factory=Episode)
    news: list[str] = field(default_factory=list)

    def take(self, epoch: bytes, first: int, end: int, now: float) -> None:
        self.counts.received += end - first
        numbering = self.epochs.get(epoch)
        if numbering is None:
            numbering = self._begin(epoch, first)
        again, late = numbering.take(first, end, now)
        self.counts.late += late
        if numbering.crowded:
            self._miss(numbering, float("-inf"), now)
        for low, high in again:
            self.counts.duplicates += high - low
        self.again.add(again, now)

    def _begin(self, epoch: bytes, first: int) -> Numbering:
        """Numbers go on where those of the epoch before ended, or nobody knows what was lost."""
        before = next(reversed(self.epochs.values()), None)
        if before is not None and first != before.next:
            self.counts.renumbered += 1
            if len(self.news) < RANGES_MAX:
                self.news.append(f"numbers begin anew at {first} after {before.next - 1}: "
                                 "what was lost in between is not known")  # fmt: skip
        if len(self.epochs) >= EPOCHS_MAX:
            self._miss(self.epochs.pop(next(iter(self.epochs))), float("inf"), 0.0)
        numbering = self.epochs[epoch] = Numbering(first, first, self.holes_max)
        return numbering

    def settle(self, until: float, now: float) -> None:
        """Holes that are there since `until` or longer are missing."""
        for numbering in self.epochs.values():
            self._miss(numbering, until, now)

    def _miss(self, numbering: Numbering, until: float, now: float) -> None:
        if numbering.fresh:
            missing = numbering.give_up(until)
            self.counts.gaps += len(missing)
            self.counts.missing += sum(end - first for first, end in missing)
            self.missing.add(missing, now)


@dataclass(slots=True, eq=False, repr=False)
class Upstreams:
    """Invariant: at most `UPSTREAMS_MAX` are known, and `LABELS_MAX` and one have counters."""

    counts: dict[str, HopCounts] = field(default_factory=lambda: {OTHER: HopCounts()})
    holes_max: int = HOLES_MAX
    _known: dict[bytes, Upstream] = field(default_factory=dict)  # the longest silent first
    _parted: list[str] = field(default_factory=list)  # to be told of those that have made room

    def look(self, messages: Iterable[bytes], now: float) -> int:
        """Book the hop records of a batch; returns how many messages have one.

        2 µs a message, of which 1.8 are for finding the record; what follows one another is one
        step.
        """
        runs: dict[bytes, Passage] = {}  # by upstream the one that began its run
        ends: dict[bytes, int] = {}
        found = 0
        for passage in map(last_passage, messages):
            if passage is None:
                continue
            found += 1
            upstream, epoch, number = passage
            run = runs.get(upstream)
            if run is None or run.epoch != epoch or ends[upstream] != number:
                if run is not None:  # epochs are booked in their order, too
                    self._take(run, ends[upstream], now)
                runs[upstream] = passage
            ends[upstream] = number + 1
        for upstream, run in runs.items():
            self._take(run, ends[upstream], now)
        return found

    def due(self, now: float) -> list[str]:
        """What to tell at this moment; ask once a second."""
        texts, self._parted = self._parted, []
        for upstream in self._known.values():
            upstream.settle(now - REORDER_SECONDS, now)
            texts += _texts(upstream, now)
        return texts

    def rest(self, now: float) -> list[str]:
        """All that is not told yet, now: the relay stops."""
        texts, self._parted = self._parted, []
        for upstream in self._known.values():
            upstream.settle(now, now)
            texts += _texts(upstream, None)
        return texts

    @property
    def known(self) -> Sequence[Upstream]:
        return list(self._known.values())

    def _take(self, run: Passage, end: int, now: float) -> None:
        name, epoch, first = run
        upstream = self._known.pop(name, None) or self._meet(name, now)
        self._known[name] = upstream  # now the one that spoke last
        upstream.take(epoch, first, end, now)

    def _meet(self, name: bytes, now: float) -> Upstream:
        if len(self._known) >= UPSTREAMS_MAX:
            silent = self._known.pop(next(iter(self._known)))
            silent.settle(now, now)
            if len(self._parted) < UPSTREAMS_MAX:
                self._parted += _texts(silent, None)
        text = upstream_text(name)
        label = text if text in self.counts or len(self.counts) <= LABELS_MAX else OTHER
        return Upstream(text, self.counts.setdefault(label, HopCounts()), self.holes_max)


def _texts(upstream: Upstream, now: float | None) -> Iterator[str]:
    """What is due now; None: all there is."""
    for text in upstream.news:
        yield f"upstream {upstream.name}: {text}"
    upstream.news.clear()
    for episode, what in ((upstream.missing, "missing"), (upstream.again, "received again")):
        if now is not None:
            numbers = episode.due(now)
        else:
            numbers = episode.tell() if episode.messages else ""
        if numbers:
            yield f"upstream {upstream.name}: {what} {numbers}"
