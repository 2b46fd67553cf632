"""The next hop of a pipe that stamps: it says what was lost, and nothing else."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from relay.core.upstreams import EPOCHS_MAX, HopCounts, Upstreams
from tests.simulation.configuration import PipePlan
from tests.simulation.forms import Record, form_of, record_of, sent_form, unstamped
from tests.simulation.life import Life
from tests.simulation.truth import Truth

HOLES_MAX = 100_000  # so many never are
TOLD = re.compile(r"upstream edge/\S+: (missing|received again) (\d+) messages?: .+")


@dataclass(slots=True, eq=False)
class NextHop:
    """Reads behind all destinations of a pipe, and checks hop records as the listeners do."""

    pipe: PipePlan
    upstreams: Upstreams = field(default_factory=lambda: Upstreams(holes_max=HOLES_MAX))
    read: list[bytes] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    names: defaultdict[int, set[bytes]] = field(
        default_factory=lambda: defaultdict(set)
    )  # the messages that ever had a number
    named: dict[tuple[int, int], bytes] = field(default_factory=dict)  # by epoch and number
    copies: Counter[bytes] = field(default_factory=Counter)  # how many numbers each had
    faults: list[str] = field(default_factory=list)

    def take(self, messages: Sequence[bytes], now: float | None = None) -> None:
        """A peer's application has read these."""
        now = trio.current_time() if now is None else now
        self.told += self.upstreams.due(now)
        self.upstreams.look(messages, now)
        self.read += messages

    def number(self, life: Life, renumbered: int, first: int, messages: Sequence[bytes]) -> None:
        """The pipe has given these numbers."""
        epoch = (int.from_bytes(life.relay.epoch, "big") + renumbered) % (1 << 64)
        for number, message in enumerate(messages, first):
            self.names[number].add(message)
            self.copies[message] += 1
            before = self.named.setdefault((epoch, number), message)
            if before != message:
                self.faults.append(f"number {number} of {epoch:x} is given twice")

    # -- in the end

    def judge(self, truth: Truth, *, one_epoch: bool) -> None:
        """`one_epoch`: nothing has happened for which numbers begin anew.

        Raises:
            AssertionError: it says what is not true, or does not say what is.
        """
        name = self.pipe.name
        assert not self.faults, f"{name}: {self.faults[0]}"
        records = [record_of(message) for message in self.read]
        forms = [unstamped(message) for message in self.read]
        rows = _rows(records)
        assert len(rows) <= 1 or not one_epoch, f"{name}: {len(rows)} epochs, and no reason"
        self._judge_records(truth, records, forms)
        if len(rows) <= EPOCHS_MAX:
            self._judge_counts(records, rows)
        read = set(forms)
        for epoch, numbers in rows.items():
            others = {number for it, row in rows.items() if it != epoch for number in row}
            self._judge_missing(epoch, _missing(numbers), read, others)

    def _judge_records(
        self, truth: Truth, records: Sequence[Record], forms: Sequence[bytes]
    ) -> None:
        """A message bears the number that it was given, and who has sent it."""
        name = self.pipe.name
        senders = {form_of(self.pipe, it): host for it, host in truth.hosts.items()}
        known: dict[tuple[int, int], bytes] = {}
        for record, form in zip(records, forms, strict=True):
            assert record.pipe == name, f"{name}: {record}"
            number = record.epoch, record.number
            assert known.setdefault(number, form) == form, f"{name}: {record} twice, {form!r:.200}"
            given = {sent_form(self.pipe, it) for it in self.names[record.number]}
            assert form in given, f"{name}: {record} was not given to {form!r:.200}"
            sender = senders.get(form, record.sender)
            assert record.sender == sender, f"{name}: {record}, sent by {sender}"

    def _judge_counts(self, records: Sequence[Record], rows: Mapping[int, Sequence[int]]) -> None:
        """What the next hop has counted and told, against what it has read."""
        name = self.pipe.name
        self.told += self.upstreams.rest(float("inf"))
        counts = self.upstreams.counts.get(f"edge/{name}", HopCounts())
        assert counts.received == len(records), f"{name}: {counts}, read {len(records)}"
        missing = sum(len(_missing(numbers)) for numbers in rows.values())
        assert counts.missing - counts.late == missing, f"{name}: {counts}, missing {missing}"
        assert (counts.gaps > 0) == (counts.missing > 0), f"{name}: {counts}"
        again = sum(
            len(judged) - len(set(judged))
            for numbers in rows.values()
            if (judged := [number for number in numbers if number >= numbers[0]])
        )
        assert counts.duplicates == again, f"{name}: {counts}, {again} came again"
        anew = sum(first != before for before, first in _beginnings(records))
        assert counts.renumbered == anew, f"{name}: {counts}, began anew {anew} times"
        told: Counter[str] = Counter()
        for text in self.told:
            if found := TOLD.fullmatch(text):
                told[found[1]] += int(found[2])
        expected = {"missing": counts.missing, "received again": counts.duplicates}
        assert told == Counter(expected), f"{name}: told {told}, counted {expected}"

    def _judge_missing(
        self, epoch: int, missing: Sequence[int], read: set[bytes], others: set[int]
    ) -> None:
        """Each missing number is a message's that the pipe had taken, and that was never read.

        Unless it was read in another epoch, and a power cut has taken from the disk that it was.
        """
        for number in missing:
            lost = any(
                sent_form(self.pipe, it) not in read or self.copies[it] > 1  # sent to us again
                for it in self.names[number]
            )
            known = lost or (self.names[number] and number in others)
            assert known, f"{self.pipe.name}: {number} of {epoch:x} is said to be missing"


def _rows(records: Sequence[Record]) -> Mapping[int, Sequence[int]]:
    """The numbers as they came, by epoch."""
    rows: dict[int, list[int]] = {}
    for record in records:
        rows.setdefault(record.epoch, []).append(record.number)
    return rows


def _missing(numbers: Sequence[int]) -> Sequence[int]:
    """Between the first that came and the highest."""
    return sorted(set(range(numbers[0], max(numbers))).difference(numbers))


def _beginnings(records: Sequence[Record]) -> Iterator[tuple[int, int]]:
    """Where each new epoch had to go on, and where it did."""
    highest: dict[int, int] = {}
    for record in records:
        if record.epoch not in highest and highest:
            yield highest[next(reversed(highest))] + 1, record.number
        highest[record.epoch] = max(record.number, highest.get(record.epoch, 0))
