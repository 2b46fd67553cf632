from relay.admin.exposition import LABEL_CHARACTERS_MAX, label
from relay.wire.escape import escape_terminator, escape_text, printable
from relay.wire.frames import OutFraming, frame
from relay.wire.framing import Framer, Framing, FramingCounts
from tests.fuzz.target import Octets

FRAMINGS: tuple[tuple[OutFraming, Framing, bytes], ...] = (
    ("lf", "lf", b"\n"), ("nul", "nul", b"\0"), ("octet", "octet", b""),
)  # fmt: skip
WORDS = (b"\n", b"\0", b"\x1b[2J", b"\xc2\x9b", "é".encode(), b"\xed\xa0\x80", b"#012", b"\x7f")


def run(data: bytes) -> None:
    """A message never breaks out of its frame or line, and is escaped once only.

    What is framed comes out of the framer of the next relay, message for message.
    """
    octets = Octets(data)
    out, back, terminator = octets.choice(FRAMINGS)
    messages = octets.rest().split(b"\x01")
    if terminator:
        escaped = escape_terminator(messages, terminator)
        assert all(terminator not in each for each in escaped)
        assert escape_terminator(escaped, terminator) is escaped
    framed = frame(messages, out)
    assert framed.messages == framed.complete(len(framed.data)) == len(messages)
    ends = [framed.end_of(count) for count in range(len(messages) + 1)]
    assert ends == sorted(ends)
    assert [framed.complete(end) for end in ends] == [*range(len(messages) + 1)]
    framer = Framer(back, 65536, 65536, FramingCounts())
    received = framer.feed(framed.data)
    assert framer.close() == []
    assert received == list(filter(None, (_received(each, out, terminator) for each in messages)))
    check_text(messages)


def _received(message: bytes, out: OutFraming, terminator: bytes) -> bytes:
    """What the next relay has of it: what ends a message as a terminator does is framing there."""
    if out == "octet":
        return message.removesuffix(b"\r\n") if message.endswith(b"\r\n") else (
            message[:-1] if message.endswith((b"\n", b"\0")) else message)  # fmt: skip
    [escaped] = escape_terminator([message], terminator)
    return escaped.removesuffix(b"\r") if out == "lf" else escaped


def check_text(messages: list[bytes]) -> None:
    """For people: nothing is left that moves a terminal or spoils an exposition."""
    lines = escape_text(messages)
    assert escape_text(lines) is lines
    for line in lines:
        text = line.decode()
        assert not any(each < " " and each != "\t" for each in text)
        assert not any("\x7f" <= each <= "\x9f" for each in text)
    for message in messages:
        name = message.decode(errors="surrogateescape")
        assert printable(name).isprintable()
        assert label(name).isprintable()
        assert len(label(name)) <= LABEL_CHARACTERS_MAX
