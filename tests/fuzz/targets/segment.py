from contextlib import suppress

from relay.core.batch import Batch
from relay.spool import segment
from relay.spool.segment import FRAME_OCTETS, Corrupt
from tests.fuzz.target import Octets

STORE = b"0123456789abcdef"
WORDS = (segment._sync(STORE), b"relayseg", b"\xff\xff\xff\xff", bytes(8), b"\x01\0\0\0", b"net")


def run(data: bytes) -> None:
    """Any octets of a segment are frames or none, and any payload is a batch or `Corrupt`.

    Also one whose CRC is right. What is read is written as it was; damage beside a frame does not
    hide it. A number in it costs no memory that its octets do not.
    """
    octets = Octets(data)
    kind, messages = octets.number() % 3, octets.number(4)
    payload = octets.rest()
    if kind == 0:
        check_any(payload)
    elif kind == 1:
        check_payload(payload, messages)
    else:
        check_beside(payload)


def check_any(data: bytes) -> None:
    with suppress(Corrupt):
        segment.parse_header(data)
    at = 0
    while found := segment.next_frame(data, at, STORE):
        assert at <= found.start < found.end <= len(data)
        at = found.end
    segment.frame_octets(data, 0, STORE)
    assert segment.end_below(data, 1 << 63, STORE) >= 0


def check_payload(payload: bytes, messages: int) -> None:
    first = 7
    crc = segment._crc(STORE, first, messages, payload)
    data = segment._FRAME.pack(segment._sync(STORE), len(payload), crc, first, messages) + payload
    found = segment.find_frame(data, 0, STORE)
    assert (found is None) == (messages == 0)
    if found is None:
        return
    try:
        batch = segment.decode(data, found)
    except Corrupt:
        return
    assert len(batch.messages) == len(batch.senders) == messages
    assert batch.octets == sum(map(len, batch.messages)) <= len(payload)
    written = bytes(segment.frame(STORE, first, batch))
    again = segment.find_frame(written, 0, STORE)
    assert again is not None
    assert repr(segment.decode(written, again)) == repr(batch)


def check_beside(garbage: bytes) -> None:
    """A whole frame behind any octets is found, unless they are one that says it is inside."""
    batch = batch_of(garbage)
    frame = segment.frame(STORE, 1, batch)
    found = segment.next_frame(garbage + frame, 0, STORE)
    while found and found.end <= len(garbage):
        found = segment.next_frame(garbage + frame, found.end, STORE)
    assert found is not None
    assert (found.start, found.first) == (len(garbage), 1)
    assert found.end - found.start >= FRAME_OCTETS
    assert repr(segment.decode(garbage + frame, found)) == repr(batch)


def batch_of(data: bytes) -> Batch:
    messages = data.split(b"\n")
    senders = [text.decode("latin-1") for text in messages]
    return Batch.of(messages, senders, "net", 7, zone="UTC")
