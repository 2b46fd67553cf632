import re

from relay.wire.framing import FramingCounts
from relay.wire.relp.client import ClientSession
from relay.wire.relp.server import ServerSession
from tests.fuzz.target import Octets, pieces

OPENED = b"1 rsp 57 200 OK\nrelp_version=0\nrelp_software=relay\ncommands=syslog\n"
WORDS = (
    OPENED, b"2 rsp 6 200 OK\n", b"3 rsp 6 200 OK\n", b"4 rsp 3 200\n", b"2 rsp 6 500 no\n",
    b"0 serverclose 0\n", b"5 rsp 0\n", b"0 x 0\n", b"999999999 ", b" rsp ", b"6 rsp 6 200 OK\n",
)  # fmt: skip


def run(data: bytes) -> None:
    """Any server's octets confirm what has a 200 and nothing else, however they are cut.

    And with a server of ours in its place every message arrives, and each is confirmed.
    """
    octets = Octets(data)
    count, kind = octets.number() % 8, octets.number()
    sizes = octets.take(2)
    stream = octets.rest()
    if kind & 1:
        stream = OPENED + stream
    whole = confirmed(stream, b"", count, closing=bool(kind & 2))
    for cutting in (b"\0", sizes):
        if whole[0] is not None:
            assert confirmed(stream, cutting, count, closing=bool(kind & 2)) == whole
    check_pair(stream.split(b"\n"), sizes)


def confirmed(stream: bytes, sizes: bytes, count: int, *, closing: bool) -> tuple[object, ...]:
    """What becomes of so many messages; None: the session has not opened with what came first."""
    client = ClientSession()
    client.opening()
    first, rest = stream[: len(OPENED)], stream[len(OPENED) :]
    total = client.feed(first)
    assert total == 0
    if client.state != "open" or client.fault:
        client.feed(rest)
        assert client.unanswered == 0
        return None, client.state
    client.frames([b"x"] * count)
    if closing:
        client.closing()
    for piece in pieces(rest, sizes):
        before = client.unanswered
        got = client.feed(piece)
        assert before - client.unanswered == got >= 0
        total += got
        assert len(client._ahead) <= client.unanswered
    assert total + client.unanswered == count
    assert total <= len(re.findall(rb"\d rsp \d+ 200", rest))
    for txnr in range(2, 2 + total):
        assert re.search(rb"(?<!\d)0*%d rsp \d+ 200" % txnr, rest)
    reason = client.fault and client.fault.reason  # its text quotes what had come by then
    return total, client.state, reason


def check_pair(messages: list[bytes], sizes: bytes) -> None:
    counts = FramingCounts()
    client, server = ClientSession(), ServerSession(65536, 65536, counts)
    server.feed(client.opening())
    client.feed(bytes(server.outgoing))
    assert client.state == server.state == "open"
    server.outgoing.clear()
    received: list[bytes] = []
    for piece in pieces(client.frames(messages), sizes):
        received += server.feed(piece)
    assert server.fault is None
    assert server.unanswered == client.unanswered == len(messages)
    assert len(received) + counts.empty == len(messages)
    for before, after in zip(filter(None, messages), received, strict=False):
        assert before.startswith(after) or counts.empty
    server.answer(len(messages))
    assert client.feed(bytes(server.outgoing)) == len(messages)
