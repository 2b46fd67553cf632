"""Lines of a file, as they are read piece by piece; what has no end yet is not given.

A file can be read again, so where the incomplete line begins is known at any time: a position kept
there neither loses nor repeats a line.
"""

from relay.wire.clip import clip
from relay.wire.split import split_lines

TAIL_OCTETS = 128  # kept of what stands in front of a position, to know it again
_HOLD_EXTRA = 3  # octets held beyond message_max: clip() looks at them


class Lines:
    """Takes the octets of one file in their order and gives its lines, without LF or CRLF.

    Lines above `message_max` are cut, and counted when they end. Octets of value 0 at the beginning
    of a line are passed over: a file has a hole there when it was truncated under a writer that
    does not append. What comes out does not depend on how the octets were cut.

    Invariants: `position <= end`; what stands between them is one incomplete line; of it at most
    `message_max + 3` octets are held.
    """

    def __init__(self, message_max: int, position: int = 0, before: bytes = b"") -> None:
        self.position = position  # of the first octet that belongs to no line given
        self.end = position  # of the next octet to feed
        self.before = before  # the last octets in front of `position`
        self.recent = before  # the last octets in front of `end`
        self.truncated = 0
        self.truncated_octets = 0
        self._message_max = message_max
        self._held = bytearray()
        self._passed = 0  # octets of the incomplete line that are beyond what is held

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that `data` completes; some may be empty."""
        cut = data.rfind(b"\n") + 1
        lines: list[bytes] = []
        if cut:
            first, *others = split_lines(data[:cut])
            self._hold(first)
            lines = [self._take(), *others]
            if len(max(others, key=len, default=b"")) > self._message_max or (
                data.find(b"\r\n") >= 0 or data.find(b"\0") >= 0
            ):
                lines[1:] = map(self._whole, others)
            self.before = (self.recent + data[:cut])[-TAIL_OCTETS:]
            self.position = self.end + cut
        self._hold(data[cut:])
        self.recent = (self.recent + data[-TAIL_OCTETS:])[-TAIL_OCTETS:]
        self.end += len(data)
        return lines

    def close(self) -> list[bytes]:
        """The line that has no end and gets none any more; none if nothing stands there."""
        lines = [line] if (line := self._take()) else []
        self.position, self.before = self.end, self.recent
        return lines

    def _hold(self, piece: bytes) -> None:
        if not self._held:
            piece = piece.lstrip(b"\0")
        room = self._message_max + _HOLD_EXTRA - len(self._held)
        self._held += piece[:room]
        self._passed += max(0, len(piece) - room)

    def _take(self) -> bytes:
        line, passed = bytes(self._held), self._passed
        self._held.clear()
        self._passed = 0
        return self._cut(line, passed)

    def _whole(self, line: bytes) -> bytes:
        line = line.lstrip(b"\0")
        held = line[: self._message_max + _HOLD_EXTRA]
        return self._cut(held, len(line) - len(held))

    def _cut(self, line: bytes, passed: int) -> bytes:
        if not passed and line.endswith(b"\r"):
            line = line[:-1]
        if len(line) <= self._message_max:
            return line
        clipped = clip(line, self._message_max)
        self.truncated += 1
        self.truncated_octets += len(line) + passed - len(clipped)
        return clipped
