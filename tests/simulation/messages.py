"""Numbered messages, and the frames in which they travel: written here again, for the oracle."""

import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

OWN = re.compile(rb"<\d+>1 \S+ edge relay 4711 - - ")  # Relay's own messages
NUMBERED = re.compile(
    rb"<\d+>1 2026-11-24T12:00:00Z \S+ \S+ - - (?:-|\[site[^]]*\]) src=(\S+) n=(\d+) "
)
SECRET = b"hush"  # is somewhere in every message
HIDDEN = re.compile(rb"hush|h\*\*\*h|\*\*\*|\[secret\]")  # it, and what masks make of it


def make(source: str, number: int, chance: random.Random) -> bytes:
    """The number-th message of a source; its text holds both and a checksum, and it a secret."""
    size = chance.choice((0, 10, 40, 40, 200)) if chance.random() < 0.98 else 9000
    start = f"src={source} n={number} key={chance.randrange(2)} "
    place = zlib.crc32(start.encode())
    host, padding = "host", "x" * size
    if not size or place % 3 == 0:
        host = SECRET.decode()
    if size:
        at = place % (size - 3)
        padding = padding[:at] + SECRET.decode() + padding[at + 4 :]
    body = start + padding
    crc = _checksum(body.encode())
    return f"<13>1 2026-11-24T12:00:00Z {host} app - - - {body} crc={crc:08x}".encode()


def _checksum(body: bytes) -> int:
    """The same with and without the secret."""
    return zlib.crc32(HIDDEN.sub(b"", body))


def identify(message: bytes) -> tuple[str, int] | None:
    """Source and number; None for what is none of ours, or damaged."""
    found = NUMBERED.match(message)
    if found is None:
        return None
    body, _, crc = message[message.index(b"src=") :].rpartition(b" crc=")
    if crc != b"%08x" % _checksum(body):
        return None
    return found[1].decode(), int(found[2])


def is_own(message: bytes) -> bool:
    return OWN.match(message) is not None


def is_cut_count(message: bytes) -> bool:
    """The octet count of a frame whose connection was cut behind it: no frame yet, so a line."""
    return re.fullmatch(rb"<13>\S+ \S+ \d+ ?", message) is not None


def encoded(message: bytes, framing: str) -> bytes:
    return b"%d %b" % (len(message), message) if framing == "octet" else message + b"\n"


@dataclass(slots=True, eq=False)
class Parser:
    """The frames of one stream: octet counted, ended by LF, or RELP's."""

    framing: str
    rest: bytes = b""
    consumed: int = 0  # octets up to the end of the last whole frame
    ends: list[int] = field(default_factory=list)  # of the messages

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now; of RELP's, with their transaction in front."""
        self.rest += data
        found: list[bytes] = []
        while (frame := self._next()) is not None:
            message, end = frame
            self.rest = self.rest[end:]
            self.consumed += end
            found.append(message)
            self.ends.append(self.consumed)
        return found

    def _next(self) -> tuple[bytes, int] | None:
        if self.framing == "lf":
            at = self.rest.find(b"\n")
            return None if at < 0 else (self.rest[:at], at + 1)
        if self.framing == "relp":
            return self._next_relp()
        digits, blank, data = self.rest.partition(b" ")
        assert digits.isdigit() or not blank, f"no frame begins with {self.rest[:40]!r}"
        if not blank or len(data) < int(digits):
            return None
        return data[: int(digits)], len(digits) + 1 + int(digits)

    def _next_relp(self) -> tuple[bytes, int] | None:
        found = re.match(rb"(\d+) (\w+) (\d+)( ?)", self.rest)
        if found is None or len(self.rest) == found.end():
            return None  # one octet more tells that the count has ended
        start = found.end() if int(found[3]) else found.end(3)
        end = start + int(found[3])
        if len(self.rest) <= end:
            return None
        assert self.rest[end : end + 1] == b"\n", f"a frame ends in {self.rest[end : end + 9]!r}"
        return found[1] + b" " + found[2] + b" " + self.rest[start:end], end + 1


def whole(data: bytes, framing: str) -> tuple[Sequence[bytes], Sequence[int]]:
    """The whole messages in a stream and where each ends; of RELP's the syslog messages."""
    parser = Parser(framing)
    found = parser.feed(data)
    if framing != "relp":
        return found, parser.ends
    kept = [(it.split(b" ", 2)[2], end) for it, end in zip(found, parser.ends, strict=True)
            if it.split(b" ", 2)[1] == b"syslog"]  # fmt: skip
    return [message for message, _ in kept], [end for _, end in kept]
