"""The sending side: tables, every cut, any bytes, and both sides with each other."""

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.framing import FramingCounts
from relay.wire.relp.client import ClientSession
from relay.wire.relp.frame import encode, encode_answers
from relay.wire.relp.server import ServerSession
from relay.wire.relp.txnr import TXNR_MAX
from tests.wire.relp.parts import OFFER, OPENED, SERVERCLOSE, STREAM, cuts, pieces


@dataclasses.dataclass
class Heard:
    """What a client session made of some bytes."""

    confirmed: int
    unanswered: int
    state: str
    fault: str


def hear(parts: Sequence[bytes], sent: int, *, closing: bool = False, first: int = 2) -> Heard:
    session = opened(first)
    session.frames([b"x"] * sent)
    if closing:
        session.closing()
    confirmed = sum(session.feed(part) for part in parts)
    # What it quotes of a mistake is what has come of it so far.
    fault = session.fault.text.partition(": b")[0] if session.fault else ""
    return Heard(confirmed, session.unanswered, session.state, fault)


def opened(first: int = 2) -> ClientSession:
    session = ClientSession()
    session.opening()
    assert session.feed(OPENED) == 0
    assert session.state == "open"
    session._next = first
    return session


def check_heard(
    data: bytes, expected: Heard, sent: int, *, closing: bool = False, first: int = 2
) -> None:
    assert hear([data], sent, closing=closing, first=first) == expected
    for parts in pieces(data):
        assert hear(parts, sent, closing=closing, first=first) == expected


def test_what_a_client_sends() -> None:
    session = ClientSession()
    offer = b"relp_version=0\nrelp_software=relay\ncommands=syslog"
    assert session.opening() == b"1 open 50 " + offer + b"\n"
    session.feed(OPENED)
    assert session.frames([b"<13>a", b"<13>two\n"]) == b"2 syslog 5 <13>a\n3 syslog 8 <13>two\n\n"
    assert session.frames([b"", b"b"]) == b"4 syslog 0\n5 syslog 1 b\n"
    assert session.unanswered == 4
    assert session.closing() == b"6 close 0\n"


@pytest.mark.parametrize(
    ("answer", "state", "fault"),
    [
        (OPENED, "open", ""),
        (encode(1, b"rsp", b"200 OK\ncommands=syslog\nrelp_version=1"), "open", ""),
        (encode(1, b"rsp", b"200\nrelp_version=0\ncommands=a,syslog"), "open", ""),
        (encode(1, b"rsp", b"200 OK"), "opening",
         "the server speaks no version of RELP that we know"),
        (encode(1, b"rsp", b"200 OK\nrelp_version=2\ncommands=syslog"), "opening",
         "the server speaks no version of RELP that we know"),
        (encode(1, b"rsp", b"200 OK\nrelp_version=1"), "opening",
         "the server does not take syslog"),
        (encode(1, b"rsp", b"500 no\nmore"), "opening", "the server answers '500 no' to open"),
        (encode(1, b"rsp", b""), "opening", "the server answers '' to open"),
        (encode(1, b"open", OFFER), "opening", "command open, expected rsp"),
        (encode(2, b"rsp", b"200 OK"), "opening",
         "an answer to transaction 2, which has none to come"),
        (SERVERCLOSE, "opening", "the server closes the session"),
        (b"220 mail.example.net ESMTP\r\n", "opening",
         "no RELP header: b'220 mail.example.net ESMTP\\r\\n'"),
    ],
)  # fmt: skip
def test_the_answer_to_open(answer: bytes, state: str, fault: str) -> None:
    session = ClientSession()
    session.opening()
    assert session.feed(answer) == 0
    assert session.state == state
    assert (session.fault.text if session.fault else "") == fault


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (b"", Heard(0, 4, "open", "")),
        (encode_answers(2, 4), Heard(4, 0, "open", "")),
        (encode_answers(2, 2) + b"4 rsp 6 200", Heard(2, 2, "open", "")),
        (b"2 rsp 3 200\n3 rsp 12 200 and gone\n", Heard(2, 2, "open", "")),
        (b"3 rsp 6 200 OK\n5 rsp 6 200 OK\n", Heard(0, 4, "open", "")),
        (b"3 rsp 6 200 OK\n2 rsp 6 200 OK\n", Heard(2, 2, "open", "")),
        (b"5 rsp 6 200 OK\n4 rsp 6 200 OK\n" + encode_answers(2, 2), Heard(4, 0, "open", "")),
        (b"2 rsp 6 200 OK\n3 rsp 6 500 no\n4 rsp 6 200 OK\n",
         Heard(1, 3, "open", "the server answers '500 no'")),
        (b"2 rsp 6 2000 x\n", Heard(0, 4, "open", "the server answers '2000 x'")),
        (b"2 rsp 0\n", Heard(0, 4, "open", "the server answers ''")),
        (b"1 rsp 6 200 OK\n",
         Heard(0, 4, "open", "an answer to transaction 1, which has none to come")),
        (b"6 rsp 6 200 OK\n",
         Heard(0, 4, "open", "an answer to transaction 6, which has none to come")),
        (b"3 rsp 6 200 OK\n" * 2,
         Heard(0, 4, "open", "an answer to transaction 3, which has none to come")),
        (b"2 rsp 6 200 OK\n" * 2,
         Heard(1, 3, "open", "an answer to transaction 2, which has none to come")),
        (b"2 rsp 6 200 OK\n" + SERVERCLOSE + b"3 rsp 6 200 OK\n",
         Heard(1, 3, "open", "the server closes the session")),
        (b"0 hint 2 xx\n2 rsp 6 200 OK\n", Heard(1, 3, "open", "")),
        (b"2 rsp 65537 x", Heard(0, 4, "open",
         "a frame of 65537 octets, expected no more than 65536")),
    ],
)  # fmt: skip
def test_only_a_200_in_its_place_confirms(answers: bytes, expected: Heard) -> None:
    check_heard(answers, expected, sent=4)


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (encode_answers(2, 2), Heard(2, 0, "closing", "")),
        (encode_answers(2, 3) + SERVERCLOSE, Heard(2, 0, "closed", "")),
        (encode_answers(2, 2) + b"4 rsp 0\n", Heard(2, 0, "closed", "")),
        (encode_answers(2, 1) + SERVERCLOSE, Heard(1, 1, "closed", "")),
        (b"4 rsp 6 200 OK\n" + encode_answers(2, 2), Heard(0, 2, "closed", "")),
    ],
)
def test_the_answer_to_close(answers: bytes, expected: Heard) -> None:
    check_heard(answers, expected, sent=2, closing=True)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0)])
def test_answers_around_the_highest_number(order: Sequence[int]) -> None:
    numbers = [TXNR_MAX - 1, TXNR_MAX, 1, 2]
    answers = b"".join(encode(numbers[place], b"rsp", b"200 OK") for place in order)
    check_heard(answers, Heard(4, 0, "open", ""), sent=4, first=TXNR_MAX - 1)


@given(STREAM, st.integers(0, 3), st.booleans(), st.lists(st.integers(0, 1 << 16), max_size=6))
def test_cuts_do_not_matter_to_a_client_and_nothing_raises(
    data: bytes, sent: int, closing: bool, places: list[int]
) -> None:
    whole = hear([data], sent, closing=closing)
    assert hear(cuts(data, places), sent, closing=closing) == whole
    assert whole.confirmed + whole.unanswered == sent


@given(
    st.lists(st.lists(st.binary(min_size=1, max_size=90), min_size=1, max_size=6), max_size=6),
    st.integers(1, TXNR_MAX),
    st.randoms(use_true_random=False),
)
def test_the_two_sides_understand_each_other(
    batches: list[list[bytes]], first: int, random: object
) -> None:
    """Whatever the cuts, and however late the answers: all is confirmed, each once."""
    client, server = ClientSession(), ServerSession(1 << 10, 1 << 10, FramingCounts())
    server.feed(client.opening())
    assert client.feed(bytes(server.outgoing)) == 0
    server.outgoing.clear()
    client._next = server._next = first
    confirmed = 0
    for batch in batches:
        data = client.frames(batch)
        for part in cuts(data, [random.randrange(1 << 16) for _ in range(3)]):  # type: ignore[attr-defined]
            server.feed(part)
        server.answer(random.randint(0, server.unanswered))  # type: ignore[attr-defined]
        half = len(server.outgoing) // 2
        confirmed += client.feed(bytes(server.outgoing[:half]))
        del server.outgoing[:half]
    server.feed(client.closing())
    server.answer(server.unanswered)
    confirmed += client.feed(bytes(server.outgoing))
    assert confirmed == sum(map(len, batches))
    assert (client.state, server.state) == ("closed", "closed")
    assert client.fault is None
    assert server.fault is None
