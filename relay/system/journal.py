"""The journal through systemd-python, which is imported when it is needed.

libsystemd wants a reader used by the thread alone that made it (sd-journal(3)).
"""

import errno
from collections.abc import Sequence
from typing import Any, Self

import trio

from relay.system.own_thread import OwnThread
from relay.system.ports import Endpoint, Entry, JournalTurn
from relay.system.ports.journal import FIELDS

# Longest field that is read whole; a core dump in a field of its own may have gigabytes. Behind
# the largest `message_max`, so that what is longer is cut, and counted.
FIELD_OCTETS_MAX = (16 << 20) + 4096
DAMAGED_MAX = 1000  # in one turn, so that it is soon told
SYSTEM = "system"  # the address of the host's own journal


class SystemJournal:
    """Invariant: `_reader` is touched by the thread alone."""

    def __init__(self, address: str, units: Sequence[str]) -> None:
        self._address = address
        self._units = units
        self._thread: OwnThread[Any] = OwnThread(f"journal {address}")
        self._reader: Any = None
        self._ahead: Entry | None = None  # read by a seek, and not yet by `read`
        self._number = -1
        self._changed = False

    @classmethod
    def of(cls, endpoint: Endpoint) -> Self:
        """Opens nothing yet."""
        return cls(endpoint.address, endpoint.units)

    @property
    def address(self) -> str:
        return self._address

    async def seek_cursor(self, cursor: str) -> bool:
        return bool(await self._thread.run(self._seek_cursor, cursor))

    async def seek_boot(self) -> None:
        await self._thread.run(self._seek_boot)

    async def seek_end(self) -> str | None:
        found: str | None = await self._thread.run(self._seek_end)
        return found

    async def read(self, entries_max: int, octets_max: int) -> JournalTurn:
        turn: JournalTurn = await self._thread.run(self._read, entries_max, octets_max)
        return turn

    async def news(self, seconds_max: float) -> None:
        with trio.move_on_after(seconds_max):
            await trio.lowlevel.wait_readable(self._number)

    def adjust(self, endpoint: Endpoint) -> None:
        """Other units: they count from the next seek on."""
        self._units, self._changed = endpoint.units, True

    def close(self) -> None:
        if self._number >= 0 and trio.lowlevel.in_trio_run():
            trio.lowlevel.notify_closing(self._number)
        self._number = -1
        self._thread.end(self._close)

    # -- below: in the thread

    def _open(self) -> Any:  # noqa: ANN401 - systemd-python has no types
        if self._changed:
            self._close()
        if self._reader is None:
            try:  # an extra, and only where it is used
                from systemd import journal
            except ImportError as exc:
                raise OSError(errno.ENOPKG, "systemd-python is not installed") from exc

            path = None if self._address == SYSTEM else self._address
            reader = journal.Reader(path=path)
            reader.converters = _AsTheyAre()
            reader.data_threshold = FIELD_OCTETS_MAX
            self._match_units(reader)
            self._number = reader.fileno()  # before the first entry: from here on it watches
            self._reader, self._changed = reader, False
        self._ahead = None
        return self._reader

    def _close(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _seek_cursor(self, cursor: str) -> bool:
        reader = self._open()
        try:
            reader.seek_cursor(cursor)
        except ValueError:  # no cursor, whoever wrote it
            reader.seek_head()
            return False
        fields = reader.get_next()
        if not fields or reader.test_cursor(cursor):
            return True
        self._ahead = _entry(fields)
        return False

    def _match_units(self, reader: Any) -> None:  # noqa: ANN401
        for unit in self._units:
            reader.add_match(_SYSTEMD_UNIT=unit)

    def _seek_boot(self) -> None:
        # sd_journal_seek_monotonic_usec(3) does not do: a file that has no entry of this boot, an
        # archived one for instance, would be read from its head.
        reader = self._open()
        reader.flush_matches()
        reader.this_boot()
        reader.seek_head()
        first = reader.get_next()
        reader.flush_matches()
        self._match_units(reader)
        if first:
            reader.seek_cursor(first["__CURSOR"])
        else:
            self._to_end(reader)

    def _seek_end(self) -> str | None:
        return self._to_end(self._open())

    @staticmethod
    def _to_end(reader: Any) -> str | None:  # noqa: ANN401
        reader.seek_tail()
        fields = reader.get_previous()
        if not fields:
            reader.seek_head()
        return str(fields["__CURSOR"]) if fields else None

    def _read(self, entries_max: int, octets_max: int) -> JournalTurn:
        assert self._reader is not None, "seek first"
        self._reader.process()  # files that came or went
        entries: list[Entry] = []
        octets = damaged = 0
        if self._ahead is not None:
            entries.append(self._ahead)
            self._ahead = None
        while len(entries) < entries_max and octets < octets_max and damaged < DAMAGED_MAX:
            try:
                fields = self._reader.get_next()
            except OSError as exc:
                if exc.errno not in (errno.EBADMSG, errno.EIO, errno.EPROTONOSUPPORT):
                    raise
                damaged += 1
                continue
            if not fields:
                return JournalTurn(entries, damaged, True)
            entries.append(_entry(fields))
            octets += sum(map(len, entries[-1].fields.values()))
        return JournalTurn(entries, damaged, False)


class _AsTheyAre(dict[str, Any]):
    """For `Reader.converters`: fields stay octets."""

    def get(self, key: str, default: object = None) -> Any:  # noqa: ANN401
        return lambda value: value


def _entry(fields: dict[str, Any]) -> Entry:
    # The threshold is a hint: a field that stands uncompressed in the file comes as a whole.
    octets = {
        name: (value[0] if isinstance(value, list) else value)[:FIELD_OCTETS_MAX]
        for name, value in fields.items()
        if name in FIELDS
    }
    return Entry(str(fields["__CURSOR"]), int(fields["__REALTIME_TIMESTAMP"]), octets)
