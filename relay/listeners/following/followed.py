"""One file that is followed, from where it stands to its end."""

import os
from dataclasses import dataclass, field
from typing import Self

from relay.core.position import Place
from relay.listeners.following.listing import is_compressed
from relay.listeners.following.steps import Read
from relay.listeners.following.trace import HEAD_OCTETS, Trace, before, head_of
from relay.system.ports import LogFile, Stat
from relay.wire.lines import Lines

READ_OCTETS_MAX = 64 << 10
READ_OCTETS_MIN = 2 << 10
READ_LINES = 1024  # what one read should bring at most, as far as the one before can tell
UNKNOWN = 1 << 62


class Rewritten(Exception):
    """What stands in front of the position is no longer what was read there."""


@dataclass(slots=True, eq=False, repr=False)
class Followed:
    """Invariant: `trace` is of what stands in front of `lines.position`."""

    source: str
    key: str  # of its inode; empty: that has another content by now
    path: str
    group: str
    lines: Lines
    trace: Trace = field(default_factory=Trace)
    head: bytes = b""  # its first octets, as far as they were read
    file: LogFile | None = None
    size: int = 0  # when it was looked at last
    changed_ns: int = 0
    grown_at: float = 0.0
    away_since: float | None = None  # it has lost its name, or got the name of a rotated file
    missing_since: float | None = None  # no file is known to have it
    missed: int = 0  # in so many looks
    how: str = ""  # it went missing, if not by being deleted
    nameless: bool = False  # deleted, or moved to where nobody looks
    suspect: bool = False  # truncated, or filled anew
    reused_at: str = ""  # the path of another file that may have its inode
    told_size: int = 0  # as its last place has it
    done: bool = False  # read to its end, and nobody writes to it any more
    damaged: bool = False  # compressed, and cannot be read any further
    failed: bool = False  # cannot be read until the next look
    opened: int = 0  # its turn among those that share the descriptors
    repeats_until: int = 0  # an earlier process may have put what stands in front of this
    _more: bool = False  # the last read was full
    _dry: int = -1  # of this size no more is to be had
    _read_octets: int = READ_OCTETS_MIN

    @classmethod
    def resumed(cls, source: str, place: Place, message_max: int, *, repeating: bool) -> Self:
        """As an earlier process has left it.

        Raises:
            KeyError, TypeError, ValueError: the place is none of ours.
        """
        path, offset = str(place["path"]), int(place["offset"])
        octets = int(place["octets"])
        trace = Trace(offset, octets, str(place["head"]), str(place["tail"]))
        lines = Lines(message_max, offset)
        found = cls(source, str(place["inode"]), path, str(place["group"]), lines, trace)
        found.size, found.changed_ns = int(place["size"]), int(place["changed"])
        found.told_size = found.size
        found.done = bool(place["done"])
        found.repeats_until = UNKNOWN if repeating else int(place.get("repeats", 0))
        return found

    @property
    def place(self) -> Place:
        return {
            "path": self.path,
            "group": self.group,
            "inode": self.key,
            "done": self.done,
            "offset": self.trace.offset,
            "octets": self.trace.octets,
            "head": self.trace.head,
            "tail": self.trace.tail,
            "size": self.size,
            "changed": self.changed_ns,
            "repeats": self.repeats_until if self.repeats_until > self.trace.offset else 0,
        }

    @property
    def ready(self) -> bool:
        """There is something to read."""
        if self.file is None or self.suspect or self.failed:
            return False
        if self._more or is_compressed(self.path):
            return self._more
        return self.lines.end < self.size != self._dry

    @property
    def lag(self) -> int:
        known = not (self.done or is_compressed(self.path))
        return max(0, self.size - self.lines.position) if known else 0

    def seen(self, stat: Stat, now: float) -> None:
        if stat.size != self.size or stat.changed_ns != self.changed_ns:
            self.grown_at = now
        self.size, self.changed_ns = stat.size, stat.changed_ns

    def begin(self) -> bool:
        """Of a file that was not read, remember how it begins; False: nothing new.

        Raises:
            OSError: it cannot be read.
        """
        assert self.file is not None
        if self.trace.offset or self.trace.octets >= min(self.size, HEAD_OCTETS):
            return False
        self.trace = Trace.at(self.file, 0)
        return True

    def take(self, file: LogFile, message_max: int) -> None:
        """Go on with this open file, whose content fits the trace.

        Raises:
            OSError: it cannot be read.
        """
        offset = self.trace.offset
        self.head = head_of(file, offset)
        self.lines = Lines(message_max, offset, before(file, offset))
        self.file = file
        self._more = is_compressed(self.path)  # its size says nothing of its content

    def intact(self) -> bool:
        """Whether what was read last is still there.

        Raises:
            OSError: it cannot be read.
        """
        assert self.file is not None
        if not self.lines.end:
            return self.trace.fits(self.file)
        check = self.lines.recent
        if self.file.read(len(check), self.lines.end - len(check)) != check:
            return False
        return self._begins_as_before()

    def _begins_as_before(self) -> bool:
        """Lines may end alike: a file truncated and filled again differs in its beginning, too."""
        assert self.file is not None
        if not self.lines.end:
            return self.trace.fits(self.file)
        return self.file.read(len(self.head), 0) == self.head

    def read(self, octets_max: int) -> Read | None:
        """The next octets; None at the end.

        Raises:
            OSError: it cannot be read.
            Rewritten: it was truncated.
        """
        assert self.file is not None
        compressed = is_compressed(self.path)
        check = b"" if compressed else self.lines.recent  # read again: it differs once truncated
        start = self.lines.end
        asked = min(octets_max, self._read_octets)
        data = self.file.read(len(check) + asked, start - len(check))
        alike = data.startswith(check) and (compressed or self._begins_as_before())
        if not alike:
            raise Rewritten
        data = data[len(check) :]
        self._more = len(data) == asked
        if not data:
            self._dry = self.size  # a file system may say more than it gives
            return None
        if start < HEAD_OCTETS:
            self.head += data[: HEAD_OCTETS - start]
        if not compressed:
            self.size = max(self.size, start + len(data))
        return self._fed(data)

    def close_line(self) -> Read | None:
        """The incomplete line will not be completed: it is one."""
        if self.lines.position == self.lines.end:
            return None
        began = self.lines.position
        cut = self.lines.truncated, self.lines.truncated_octets
        lines = self.lines.close()
        self._trace()
        return self._step(lines, 0, cut, unfinished=len(lines), began=began)

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def _fed(self, data: bytes) -> Read:
        position = self.lines.position
        cut = self.lines.truncated, self.lines.truncated_octets
        lines = self.lines.feed(data)
        wanted = len(data) * READ_LINES // max(1, len(lines))
        self._read_octets = max(
            READ_OCTETS_MIN, min(wanted, 2 * self._read_octets, READ_OCTETS_MAX)
        )
        if self.lines.position == position:
            return Read(self.source, self.path, None, octets=len(data))
        self._trace()
        return self._step(lines, len(data), cut, began=position)

    def _trace(self) -> None:
        self.trace = Trace.of(self.lines.position, self.head, self.lines.before)

    def _step(
        self,
        lines: list[bytes],
        octets: int,
        cut: tuple[int, int],
        *,
        began: int,
        unfinished: int = 0,
    ) -> Read:
        return Read(
            self.source,
            os.path.join(os.path.dirname(self.path), os.path.basename(self.group)),
            self.place,
            lines,
            octets,
            self.lines.truncated - cut[0],
            self.lines.truncated_octets - cut[1],
            unfinished,
            began < self.repeats_until,
        )
