import re
from dataclasses import asdict

from relay.wire.clip import clip
from relay.wire.framing import HOLD_EXTRA, Framer, Framing, FramingCounts
from tests.fuzz.target import Octets, pieces

FRAMINGS: tuple[Framing, ...] = ("auto", "octet", "lf", "nul")
WORDS = (b"\r\n", b"\n", b"\0", b"8 <13>", b"1 <", b"17 <1>", b"0 ", "€".encode(), b"<13>x\n")


def run(data: bytes) -> None:
    """However a stream is cut, a framer gives what the slow and plain reading of it gives.

    The counters say the same, no message is longer than it may be, and no buffer either; also when
    the listener cuts what is unfinished.
    """
    octets = Octets(data)
    framing = octets.choice(FRAMINGS)
    message_max = 16 + octets.number() % 64
    frame_max = message_max * octets.choice((1, 2, 16))
    sizes = octets.take(2)
    stream = octets.rest()
    expected, counts = plainly(stream, framing, message_max, frame_max)
    for cutting in (b"", b"\0", sizes):
        found = FramingCounts()
        framer = Framer(framing, message_max, frame_max, found)
        messages: list[bytes] = []
        for piece in pieces(stream, cutting):
            messages += framer.feed(piece)
            assert framer.buffered <= message_max + HOLD_EXTRA
        messages += framer.close()
        assert messages == expected
        assert asdict(found) == asdict(counts)
    cut_often(stream, sizes, Framer(framing, message_max, frame_max, found := FramingCounts()))
    assert found.skipped_octets <= found.truncated_octets


def cut_often(stream: bytes, sizes: bytes, framer: Framer) -> None:
    messages: list[bytes] = []
    for piece in pieces(stream, sizes):
        messages += framer.feed(piece) + framer.cut()
        assert framer.buffered <= framer._message_max
    messages += framer.close()
    counts = framer._counts
    assert all(0 < len(message) <= framer._message_max for message in messages)
    assert counts.octet + counts.line + counts.nul == len(messages)
    octets = sum(map(len, messages)) + counts.truncated_octets + counts.incomplete_octets
    assert octets <= len(stream)


def plainly(
    stream: bytes, framing: Framing, message_max: int, frame_max: int
) -> tuple[list[bytes], FramingCounts]:
    """The table in the docstring of `relay.wire.framing`, one frame after the other."""
    counts = FramingCounts()
    messages: list[bytes] = []
    ends = {"auto": b"[\n\0]", "octet": b"\n", "lf": b"\n", "nul": b"\0"}[framing]
    count = {"auto": rb"([1-9]\d*) (?=<)", "octet": rb"(\d{1,10}) "}.get(framing, b"(?!)")
    at = 0
    while at < len(stream):
        header = re.compile(count).match(stream, at)
        kind = "nul" if framing == "nul" else "line"
        if header and int(header[1]) <= frame_max:
            kind = "octet"
            size = int(header[1])
            at = header.end() + size
            text = stream[header.end() : at]
            if len(text) < size or (size and header.end() == len(stream)):
                counts.incomplete += 1
                counts.incomplete_octets += len(text)
                break
            text = re.sub(rb"(?:\r\n|\n|\0)\Z", b"", text)
        else:
            end = re.compile(ends).search(stream, at)
            text = stream[at : end.start() if end else len(stream)]
            at = end.end() if end else len(stream)
            if framing != "nul":
                text = re.sub(rb"\r\Z", b"", text)
                kind = "nul" if end and end[0] == b"\0" else "line"
        if not text:
            counts.empty += 1
            continue
        setattr(counts, kind, getattr(counts, kind) + 1)
        messages.append(clip(text, message_max))
        if len(text) > message_max:
            counts.truncated += 1
            counts.truncated_octets += len(text) - len(messages[-1])
    return messages, counts
