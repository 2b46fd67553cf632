from dataclasses import astuple

from relay.wire.framing import HOLD_EXTRA, FramingCounts
from relay.wire.relp.frame import HEADER_MAX, encode, encode_messages
from relay.wire.relp.server import ServerSession
from tests.fuzz.target import Octets, pieces

OPEN = encode(1, b"open", b"relp_version=0\nrelp_software=x\ncommands=syslog")
MESSAGE_MAX, DATA_MAX = 48, 200
WORDS = (
    OPEN, b"1 open 0\n", b"2 syslog 3 abc\n", b"2 syslog 0\n", b"3 syslog 1 \n\n", b"2 close 0\n",
    b"0 x 0\n", b"999999999 ", b" syslog ", b"\0\n", b"relp_version=1\ncommands=syslog",
)  # fmt: skip


def run(data: bytes) -> None:
    """Any client's octets give messages, answers and faults that do not depend on their cut.

    Nobody is answered twice or for what was not taken, and nothing is held beyond the limits.
    """
    octets = Octets(data)
    kind = octets.number()
    sizes = octets.take(2)
    stream = octets.rest()
    if kind & 1:
        stream = OPEN + stream
    if kind & 2:  # so many whole frames that they are taken at once
        lines = (stream.split(b"\n") * 40)[:60]
        stream = OPEN + encode_messages(2, [line[:40] for line in lines]) + stream[-40:]
    whole = taken(stream, b"", bool(kind & 4))
    for cutting in (b"\x07" if kind & 2 else b"\0", sizes):
        assert taken(stream, cutting, bool(kind & 4)) == whole


def taken(stream: bytes, sizes: bytes, at_once: bool) -> tuple[object, ...]:
    counts = FramingCounts()
    session = ServerSession(MESSAGE_MAX, DATA_MAX, counts)
    messages: list[bytes] = []
    answered = 0
    for piece in pieces(stream, sizes):
        before, owed = len(messages), session.unanswered
        fault = session.fault
        messages += session.feed(piece)
        assert session.unanswered - owed >= len(messages) - before
        assert fault is None or (session.fault == fault and len(messages) == before)
        assert session.buffered <= max(MESSAGE_MAX + HOLD_EXTRA, HEADER_MAX)
        if at_once:
            answered += session.unanswered
            session.answer(session.unanswered)
    waiting = session.unanswered
    session.answer(waiting)
    session.end()
    assert session.unanswered == 0
    assert all(0 < len(message) <= MESSAGE_MAX for message in messages)
    assert counts.octet == len(messages) == answered + waiting - counts.empty
    answers = bytes(session.outgoing)
    assert answers.count(b" rsp 6 200 OK\n") <= len(messages) + counts.empty + 1
    reason = session.fault and session.fault.reason  # its text quotes what had come by then
    return messages, astuple(counts), answers, session.state, reason, answered + waiting
