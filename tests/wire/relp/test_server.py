"""The receiving side: tables, every cut, any bytes."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.framing import FramingCounts
from relay.wire.relp.frame import HEADER_MAX, encode, encode_messages
from relay.wire.relp.server import ServerSession
from relay.wire.relp.txnr import TXNR_MAX
from tests.wire.relp.parts import OFFER, OPEN, OPENED, SERVERCLOSE, STREAM, YES, cuts, pieces

MESSAGE_MAX = 64
DATA_MAX = 512


@dataclasses.dataclass
class Served:
    """What a server session made of some bytes."""

    messages: list[bytes]
    unanswered: int
    outgoing: bytes
    state: str
    reason: str
    counts: FramingCounts


def serve(parts: Sequence[bytes], first: int = 0) -> Served:
    """Feed these; `first`: what follows the first of them goes on from this number."""
    counts = FramingCounts()
    session = ServerSession(MESSAGE_MAX, DATA_MAX, counts)
    messages: list[bytes] = []
    for part in parts:
        messages += session.feed(part)
        if part is parts[0] and first:
            session._next = first
        assert session.buffered <= MESSAGE_MAX + HEADER_MAX
    reason = session.fault.reason if session.fault else ""
    return Served(
        messages, session.unanswered, bytes(session.outgoing), session.state, reason, counts
    )


def check(data: bytes, *messages: bytes, **expected: object) -> Served:
    served = serve([data])
    assert served.messages == list(messages)
    for name, value in expected.items():
        assert getattr(served, name) == value, name
    for parts in pieces(data):
        assert serve(parts) == served
    return served


def test_open_is_answered_with_what_both_can_do() -> None:
    check(OPEN, outgoing=OPENED, state="open", reason="")


@pytest.mark.parametrize(("theirs", "ours"), [(0, 0), (1, 1), (7, 1)])
def test_the_lower_version_counts(theirs: int, ours: int) -> None:
    offer = b"commands=eventlog,syslog\nrelp_version=%d\nnew_thing" % theirs
    served = check(encode(1, b"open", offer), state="open")
    assert b"relp_version=%d\n" % ours in served.outgoing


@pytest.mark.parametrize(
    ("offer", "answer"),
    [
        (b"", b"500 no relp_version is offered"),
        (b"commands=syslog", b"500 no relp_version is offered"),
        (b"relp_version=x\ncommands=syslog", b"500 no relp_version is offered"),
        (b"relp_version=1", b"500 no command syslog is offered"),
        (b"relp_version=1\ncommands=eventlog", b"500 no command syslog is offered"),
    ],
)
def test_an_open_that_is_not_enough_is_told_and_ends(offer: bytes, answer: bytes) -> None:
    check(encode(1, b"open", offer), outgoing=encode(1, b"rsp", answer), reason="protocol")


def test_messages_wait_for_their_answer() -> None:
    data = OPEN + encode_messages(2, [b"<13>a", b"two\nlines", b"\xff\0x"])
    served = check(data, b"<13>a", b"two\nlines", b"\xff\0x", unanswered=3, outgoing=OPENED)
    assert served.counts == FramingCounts(octet=3)


def test_answers_go_out_in_order_one_for_each() -> None:
    session = ServerSession(MESSAGE_MAX, DATA_MAX, FramingCounts())
    session.feed(OPEN + encode_messages(2, [b"a", b"b", b"c"]))
    session.outgoing.clear()
    session.answer(2)
    assert session.outgoing == b"2 rsp 6 200 OK\n3 rsp 6 200 OK\n"
    assert session.unanswered == 1
    session.feed(encode_messages(5, [b"d"]))
    session.outgoing.clear()
    session.answer(2)
    assert session.outgoing == b"4 rsp 6 200 OK\n5 rsp 6 200 OK\n"


@pytest.mark.parametrize(
    ("text", "message", "counts"),
    [
        (b"x" * 64, b"x" * 64, FramingCounts(octet=1)),
        (b"x" * 65, b"x" * 64, FramingCounts(octet=1, truncated=1, truncated_octets=1)),
        (b"x" * 400, b"x" * 64, FramingCounts(octet=1, truncated=1, truncated_octets=336)),
        (b"x" * 63 + "é".encode() * 9, b"x" * 63,
         FramingCounts(octet=1, truncated=1, truncated_octets=18)),
        (b"x\n", b"x", FramingCounts(octet=1)),
        (b"x\r\n", b"x", FramingCounts(octet=1)),
        (b"x\0", b"x", FramingCounts(octet=1)),
        (b"x" * 64 + b"\r\n", b"x" * 64, FramingCounts(octet=1)),
    ],
)  # fmt: skip
def test_sizes_and_terminators(text: bytes, message: bytes, counts: FramingCounts) -> None:
    data = OPEN + encode_messages(2, [text, b"next"])
    counts = dataclasses.replace(counts, octet=2)
    check(data, message, b"next", unanswered=2, counts=counts)


@pytest.mark.parametrize("frame", [b"2 syslog 0\n", b"2 syslog 0 \n", b"2 syslog 1 \n\n"])
def test_an_empty_message_is_counted_and_has_an_answer(frame: bytes) -> None:
    data = OPEN + frame + encode_messages(3, [b"a"])
    served = check(data, b"a", unanswered=2, reason="")
    assert served.counts == FramingCounts(octet=1, empty=1)


def test_numbers_may_have_leading_zeros() -> None:
    check(OPEN + b"002 syslog 01 a\n", b"a", unanswered=1)


def test_close_is_answered_after_all_before_it() -> None:
    session = ServerSession(MESSAGE_MAX, DATA_MAX, FramingCounts())
    found = session.feed(OPEN + encode_messages(2, [b"a"]) + b"3 close 0\n4 syslog 1 b\n")
    assert found == [b"a"]
    session.outgoing.clear()
    assert session.feed(b"5 syslog 1 c\n") == []
    session.answer(1)
    assert session.outgoing == YES + b"3 rsp 6 200 OK\n" + SERVERCLOSE


def test_close_without_messages_is_answered_at_once() -> None:
    check(OPEN + b"2 close 0\n", outgoing=OPENED + YES + SERVERCLOSE, state="closed", reason="")


def test_an_end_of_ours_answers_what_was_taken_and_takes_nothing_more() -> None:
    session = ServerSession(MESSAGE_MAX, DATA_MAX, FramingCounts())
    session.feed(OPEN + encode_messages(2, [b"a"]) + b"3 sysl")
    session.outgoing.clear()
    session.end()
    assert session.feed(b"og 1 b\n") == []
    assert not session.outgoing
    session.answer(1)
    assert session.outgoing == YES + SERVERCLOSE
    session.end()
    assert session.outgoing == YES + SERVERCLOSE


def test_hints_are_passed_over() -> None:
    check(b"0 hello 2 xx\n" + OPEN + b"0 abort 0\n2 syslog 1 a\n", b"a", reason="")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "protocol"),
        (b"<13>Nov 23 07:45:25 host app: text\n", "protocol"),
        (b"\n", "protocol"),
        (b"1234567890 open 0\n", "protocol"),
        (b"1 " + b"x" * 33, "protocol"),
        (b"1 op3n 0\n", "protocol"),
        (b"1 open x", "protocol"),
        (b"1 open 1\n", "protocol"),
        (b"1 open 0  ", "protocol"),
        (b"1 open -1 ", "protocol"),
        (b"1 syslog 1 a\n", "protocol"),
        (b"2 open 0\n", "protocol"),
        (b"1 close 0\n", "protocol"),
        (OPEN + OPEN, "protocol"),
        (OPEN + encode(2, b"open", OFFER), "protocol"),
        (OPEN + b"3 syslog 1 a\n", "protocol"),
        (OPEN + b"1 syslog 1 a\n", "protocol"),
        (OPEN + b"2 starttls 0\n", "protocol"),
        (OPEN + b"2 rsp 6 200 OK\n", "protocol"),
        (OPEN + b"2 syslog 1 ab", "protocol"),
        (OPEN + b"2 syslog 513 x", "too-large"),
        (OPEN + b"2 syslog 999999999 x", "too-large"),
    ],
)
def test_a_fault_ends_the_session(data: bytes, reason: str) -> None:
    served = check(data, unanswered=0, reason=reason)
    assert serve([data, b"2 syslog 1 a\n"]) == served


def test_messages_before_a_fault_are_taken() -> None:
    check(OPEN + encode_messages(2, [b"a"]) + b"GET", b"a", unanswered=1, reason="protocol")


def test_a_cut_ends_the_session_and_frees_what_it_held() -> None:
    session = ServerSession(MESSAGE_MAX, DATA_MAX, FramingCounts())
    session.feed(OPEN + b"2 syslog 50 xxxxxxxxxxxxxxxxxxxxxxxx")
    assert session.buffered == 24
    assert session.cut() == []
    assert session.fault
    assert session.fault.reason == "too-large"
    assert session.buffered == 0


def test_after_the_highest_number_comes_1() -> None:
    session = ServerSession(MESSAGE_MAX, DATA_MAX, FramingCounts())
    session.feed(OPEN)
    session._next = TXNR_MAX - 1
    session.outgoing.clear()
    assert session.feed(encode_messages(TXNR_MAX - 1, [b"a", b"b", b"c"])) == [b"a", b"b", b"c"]
    session.answer(3)
    assert session.outgoing == b"".join(
        b"%d rsp 6 200 OK\n" % txnr for txnr in (TXNR_MAX - 1, TXNR_MAX, 1)
    )


MANY = [b"<13>message %d %b" % (number, b"." * (number % 30)) for number in range(80)]
# What comes among many ordinary frames, and is none: the frame after it is numbered one higher.
AMONG = {
    "nothing": b"",
    "an LF in a message": encode(42, b"syslog", b"two\nlines"),
    "a frame in a message": encode(42, b"syslog", b"x\n43 syslog 5 hello"),
    "an LF at the end": encode(42, b"syslog", b"text\n"),
    "a NUL at the end": encode(42, b"syslog", b"text\0"),
    "a NUL in the middle": encode(42, b"syslog", b"te\0xt"),
    "an empty message": encode(42, b"syslog"),
    "a long message": encode(42, b"syslog", b"x" * (MESSAGE_MAX + 1)),
    "the longest message": encode(42, b"syslog", b"x" * MESSAGE_MAX),
    "a count with a zero": b"42 syslog 04 text\n",
    "a number with a zero": b"042 syslog 4 text\n",
    "a hint": b"0 hint 0\n" + encode(42, b"syslog", b"text"),
    "a wrong number": encode(43, b"syslog", b"text"),
    "another command": encode(42, b"sysloh", b"text"),
    "a wrong count": b"42 syslog 5 text\n",
    "no message": b"\n" + encode(42, b"syslog", b"text"),
    "the end": encode(42, b"close"),
}


@pytest.mark.parametrize("among", AMONG.values(), ids=AMONG)
@pytest.mark.parametrize("first", [2, 70, 120])
def test_many_frames_at_once_are_what_they_are_one_by_one(first: int, among: bytes) -> None:
    """From 2 on, so that the numbers get another digit, and so that they do not."""
    before = encode_messages(2, [b"a"] * (first - 2))
    among = among.replace(b"42", b"%d" % (first + 40)).replace(b"43", b"%d" % (first + 41))
    data = before + encode_messages(first, MANY[:40]) + among
    data += encode_messages(first + 40 + bool(among), MANY[40:])
    served = serve([OPEN, data])
    assert len(data) > 2048
    assert served.messages[first - 2 :][:40] == MANY[:40]
    assert serve([OPEN, *[data[i : i + 1] for i in range(len(data))]]) == served
    for size in (7, 100, 1025, 2000):
        assert serve([OPEN, *[data[i : i + size] for i in range(0, len(data), size)]]) == served


def test_many_frames_of_any_length_are_taken_whole() -> None:
    messages = [b"m" * length for length in range(1, 3000, 7)]
    session = ServerSession(4096, 8192, FramingCounts())
    session.feed(OPEN)
    data = encode_messages(2, messages)
    found: list[bytes] = []
    for at in range(0, len(data), 65536):
        found += session.feed(data[at : at + 65536])
    assert found == messages


@given(
    st.one_of(st.integers(1, 1100), st.integers(TXNR_MAX - 100, TXNR_MAX)),
    st.lists(st.binary(min_size=1, max_size=MESSAGE_MAX), min_size=1, max_size=5),
    st.lists(
        st.tuples(
            st.integers(0, 1 << 16),
            st.integers(0, 2),
            st.one_of(st.sampled_from([b"\n", b"\0\n", b"0", b" ", b"\n7 syslog 1 "]), st.binary()),
        ),
        max_size=3,
    ),
    st.lists(st.integers(0, 1 << 16), max_size=3),
)
def test_many_frames_at_once_are_what_they_are_one_by_one_whatever_stands_among_them(
    first: int,
    messages: list[bytes],
    changes: list[tuple[int, int, bytes]],
    places: list[int],
) -> None:
    """Frames of which some octets are taken out, or others put in: at once, and in small pieces."""
    data = encode_messages(first, (messages * 200)[:200])
    for place, octets, instead in changes:
        at = place % len(data)
        data = data[:at] + instead + data[at + octets :]
    one_by_one = serve([OPEN, *[data[i : i + 500] for i in range(0, len(data), 500)]], first)
    assert serve([OPEN, data], first) == one_by_one
    assert serve([OPEN, *cuts(data, places)], first) == one_by_one


@given(st.booleans(), STREAM, st.lists(st.integers(0, 1 << 16), max_size=6))
def test_cuts_do_not_matter_to_a_server_and_nothing_raises(
    open_first: bool, data: bytes, places: list[int]
) -> None:
    if open_first:
        data = OPEN + data
    assert serve(cuts(data, places)) == serve([data])


def test_what_is_left_of_a_read_is_looked_through_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many frames need care: for each anew, a read of 128 KiB took seconds."""
    looks: list[int] = []
    look = ServerSession._lines

    def counted(self: ServerSession, messages: list[bytes]) -> None:
        looks.append(len(self._reader.data))
        look(self, messages)

    monkeypatch.setattr(ServerSession, "_lines", counted)
    session = ServerSession(8192, 8192, FramingCounts())
    session.feed(OPEN)
    looks.clear()
    frames = b"".join(b"%d syslog 4 <1>\n\n" % txnr for txnr in range(2, 1000))
    assert session.feed(frames) == [b"<1>"] * 998
    assert len(looks) == 1
