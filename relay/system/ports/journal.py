"""The journal of systemd."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from relay.system.ports.endpoint import Endpoint

FIELDS = frozenset({
    "MESSAGE", "PRIORITY", "SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "SYSLOG_PID", "_COMM",
    "_HOSTNAME", "_PID", "_SOURCE_REALTIME_TIMESTAMP", "_TRANSPORT",
})  # fmt: skip
"""What an entry is read for; it may have a thousand others, of any size."""


class Entry(NamedTuple):
    """One entry; of a field that is there several times the first value."""

    cursor: str
    usec: int  # wall clock, when the journal received it
    fields: Mapping[str, bytes]  # of FIELDS, those that it has


class JournalTurn(NamedTuple):
    """What one call has read."""

    entries: Sequence[Entry]
    damaged: int  # entries that cannot be read
    ended: bool  # these were all there are


class Journal(Protocol):
    """A reader of the journal; each call is a hop to its own thread.

    Begin with one of the `seek` calls, also after a call that was cancelled: what that one had read
    is lost here, and still in the journal. All of them raise `OSError` where it cannot be read.
    """

    @property
    def address(self) -> str: ...

    async def seek_cursor(self, cursor: str) -> bool:
        """Behind the entry of this cursor; False: it is gone, and the next one is newer."""

    async def seek_boot(self) -> None:
        """In front of the first entry of this boot."""

    async def seek_end(self) -> str | None:
        """Behind the last entry; its cursor, or None where there is no entry."""

    async def read(self, entries_max: int, octets_max: int) -> JournalTurn:
        """The next entries; stops at `entries_max` or once `octets_max` is passed."""

    async def news(self, seconds_max: float) -> None:
        """Wait until there may be new entries, no longer than this."""

    def adjust(self, endpoint: Endpoint) -> None:
        """Take over the units that a reload has changed, from the next seek on."""

    def close(self) -> None: ...
