"""RELP frames: `TXNR SP COMMAND SP DATALEN [SP DATA] LF`.

A reader takes bytes in whatever pieces they come and has three answers: a frame, None for "more is
needed", or a `Fault` after which it reads nothing more. Sync cannot be found again in a stream
whose lengths are wrong, so the only remedy is a new connection, as the specification says.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from relay.wire.relp.txnr import Numbered, txnrs

HEADER_MAX = 9 + 1 + 32 + 1 + 9 + 1  # TXNR, COMMAND and DATALEN with their spaces

_HEADER = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
# What may become a header with the next octets.
_PARTIAL = re.compile(rb"[0-9]{1,9}(?: (?:[A-Za-z]{1,32}(?: (?:[0-9]{1,9})?)?)?)?")
_YES = Numbered(b" rsp 6 200 OK\n")
_SHOWN = 40  # octets of a peer's mistake that the log quotes


class Fault(NamedTuple):
    """Why a session cannot go on."""

    reason: Literal["protocol", "too-large", "refused"]
    text: str


class Frame(NamedTuple):
    txnr: int
    command: bytes
    data: bytes  # its beginning, when there is more than the reader holds
    size: int  # octets of DATA on the wire


class FrameReader:
    """Takes the bytes of one connection and gives its frames.

    Invariant: `held` is at most `hold_max`, or `HEADER_MAX` while no frame is open, beside the
    piece that was fed last.
    """

    def __init__(self, hold_max: int, data_max: int) -> None:
        self.fault: Fault | None = None
        self.data = b""  # fed and not taken yet: from `pos` on
        self.pos = 0
        self._hold_max = hold_max  # octets of DATA that are kept; the rest is skipped
        self._data_max = data_max  # octets of DATA that are believed
        self._open: tuple[int, bytes, int] | None = None  # a frame whose DATA has begun
        self._kept = bytearray()
        self._left = 0  # octets of DATA still to come

    @property
    def held(self) -> int:
        """Octets held of a frame that has begun."""
        return len(self._kept) + len(self.data) - self.pos

    @property
    def between(self) -> bool:
        """Whether the next octet is the first of a frame."""
        return self._open is None

    def feed(self, data: bytes) -> None:
        if self.fault:
            return
        self.data = self.data[self.pos :] + data if self.pos < len(self.data) else data
        self.pos = 0

    def next(self) -> Frame | None:
        """The next frame, or None: more is needed, or there is a `fault`."""
        if self.fault or (self._open is None and not self._begin()):
            return None
        return self._go_on()

    def fail(self, reason: Literal["protocol", "too-large", "refused"], text: str) -> None:
        """Read nothing more."""
        self.fault = Fault(reason, text)
        self.clear()

    def clear(self) -> None:
        """Let go of all that is held: nobody will ask for it."""
        self._open = None
        self._kept = bytearray()
        self.data, self.pos = b"", 0

    def _begin(self) -> bool:
        """Open the frame at `pos` if its header is whole."""
        header = _HEADER.match(self.data, self.pos)
        if header is None:
            if self.pos < len(self.data) and not _PARTIAL.fullmatch(self.data, self.pos):
                self._malformed("no RELP header")
            return False
        size = int(header[3])
        if size > self._data_max:
            text = f"a frame of {size} octets, expected no more than {self._data_max}"
            self.fail("too-large", text)
            return False
        if size and header[4] == b"\n":
            self._malformed("DATA is missing")
            return False
        self._open = int(header[1]), header[2], size
        self._left = size
        # No DATA: the LF ends the frame; a space before it, which some write, is passed over.
        self.pos = header.end() - (header[4] == b"\n")
        return True

    def _go_on(self) -> Frame | None:
        """Take DATA and the LF behind it."""
        assert self._open
        end = min(self.pos + self._left, len(self.data))
        kept = min(end, self.pos + self._hold_max - len(self._kept))
        self._kept += self.data[self.pos : kept]
        self._left -= end - self.pos
        self.pos = end
        if self._left or end == len(self.data):
            return None
        if self.data[end] != 0x0A:
            self._malformed("no LF at the end of a frame")
            return None
        self.pos += 1
        txnr, command, size = self._open
        frame = Frame(txnr, command, bytes(self._kept), size)
        self._open = None
        self._kept = bytearray()
        return frame

    def _malformed(self, what: str) -> None:
        self.fail("protocol", f"{what}: {self.data[self.pos : self.pos + _SHOWN]!r}")


def encode(txnr: int, command: bytes, data: bytes = b"") -> bytes:
    """One frame."""
    if not data:
        return b"%d %b 0\n" % (txnr, command)
    return b"%d %b %d %b\n" % (txnr, command, len(data), data)


def encode_messages(first: int, messages: Sequence[bytes]) -> bytes:
    """A `syslog` frame for each message, numbered from `first` on."""
    count = len(messages)
    numbers = txnrs(first, count)
    if not all(messages):
        numbered = zip(numbers, messages, strict=True)
        return b"".join([encode(txnr, b"syslog", message) for txnr, message in numbered])
    # All in one formatting: 0.11 us a message of 256 octets, where one each takes 0.20.
    fields: list[object] = [None] * (3 * count)
    fields[0::3] = numbers
    fields[1::3] = map(len, messages)
    fields[2::3] = messages
    return (b"%d syslog %d %b\n" * count) % tuple(fields)


def encode_answers(first: int, count: int) -> bytes:
    """A `rsp` frame that says yes for each of so many transactions from `first` on."""
    return _YES.from_(first, count)
