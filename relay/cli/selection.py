"""Which messages of a spool a command is about: by number, by time, so many."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from relay.cli.failure import Mistake
from relay.core.values import parse_duration
from relay.spool.inspection import Inspection, Item
from relay.spool.store import Stored


@dataclass(frozen=True, slots=True)
class Selection:
    """None: no bound. Numbers are inclusive; times are those of receipt, `until` exclusive."""

    first: int | None = None
    last: int | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    limit: int | None = None
    everything: bool = False  # also what has left and is still on disk

    @classmethod
    def of(
        cls,
        *,
        first: int | None = None,
        last: int | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
        everything: bool = False,
    ) -> Self:
        """As the options say.

        Raises:
            Mistake: a time is none.
        """
        since_ns, until_ns = parse_time("--since", since), parse_time("--until", until)
        return cls(first, last, since_ns, until_ns, limit, everything)

    def read(self, inspection: Inspection) -> Iterator[Item]:
        """What is selected, and what of it cannot be read."""
        first = inspection.oldest if self.everything else inspection.settled
        end = inspection.next if self.last is None else self.last + 1
        left = self.limit
        for item in inspection.read(first if self.first is None else self.first, end):
            if not isinstance(item, Stored):
                yield item
                continue
            if not self._is_in_time(item.batch.received_ns):
                continue
            stop = min(item.end, end) - item.first
            stop = stop if left is None else min(stop, left)
            yield item if stop == len(item.batch) else Stored(item.first, item.batch.part(0, stop))
            if left is not None:
                left -= stop
                if left == 0:
                    return

    def _is_in_time(self, received_ns: int) -> bool:
        if self.since_ns is not None and received_ns < self.since_ns:
            return False
        return self.until_ns is None or received_ns < self.until_ns


def parse_time(option: str, text: str | None) -> int | None:
    """Nanoseconds of a date, a time, or so long ago: `2026-11-23T08:17:37Z`, `15m`. UTC.

    Raises:
        Mistake: it is none of these.
    """
    if text is None:
        return None
    now = datetime.now(UTC).timestamp()
    try:
        if not re.match(r"\d{4}-", text):
            return int((now - parse_duration(text)) * 1e9)
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return int(found.timestamp()) * 10**9 + found.microsecond * 1000
    except (ValueError, OverflowError) as exc:
        raise Mistake(
            f'{option}: expected a time such as "2026-11-23T08:17:37Z", or how long ago '
            f'such as "15m", not {text!r}'
        ) from exc
