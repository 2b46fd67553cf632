"""The hop record: what is written, what of a message stays, and what is read."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.formats import Form, convert
from relay.wire.hop import Hop, Passage, every_passage, last_passage
from relay.wire.message import elements, view, well_formed
from relay.wire.timestamp import zone

EPOCH = "5f3ac0de9b1f2a44"
UTC = zone("UTC")
RECEIVED = 1795418925_123_456_789
HEAD = b"<34>1 2026-11-23T07:28:45Z mymachine su 7 ID47 "


def hop(relay: str = "edge01", pipe: str = "siem", *, epoch: str = EPOCH) -> Hop:
    return Hop(relay, pipe, epoch, "1.2.3")


def stamp(
    *messages: bytes, by: Hop | None = None, first: int = 7, sender: str = "192.0.2.7"
) -> Sequence[bytes]:
    form = Form("preserve", "edge01", by or hop())
    senders = [sender] * len(messages)
    return convert(
        messages,
        senders,
        form,
        received_ns=RECEIVED,
        zone=UTC,
        numbers=range(first, first + len(messages)),
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            HEAD + b"- hello  you",
            HEAD + b'[relay@32473 hop="edge01/siem/%b/7"][origin ip="192.0.2.7"]'
            b'[meta sequenceId="1"] hello  you' % EPOCH.encode(),
        ),
        (
            HEAD + b"-",
            HEAD + b'[relay@32473 hop="edge01/siem/%b/7"][origin ip="192.0.2.7"]'
            b'[meta sequenceId="1"]' % EPOCH.encode(),
        ),
        (
            HEAD + b'[a@1 x="\\]"][meta sequenceId="9"][origin ip="198.51.100.1"] \xef\xbb\xbfhi',
            HEAD + b'[relay@32473 hop="edge01/siem/%b/7"][a@1 x="\\]"][meta sequenceId="9"]'
            b'[origin ip="198.51.100.1"] \xef\xbb\xbfhi' % EPOCH.encode(),
        ),
        (
            b"<34>Oct 11 22:14:15 mymachine su[7]: failed",
            b"<34>1 2026-10-11T22:14:15.000Z mymachine su 7 - "
            b'[relay@32473 hop="edge01/siem/%b/7"]'
            b'[origin ip="192.0.2.7" software="relay" swVersion="1.2.3"]'
            b'[meta sequenceId="1"] failed' % EPOCH.encode(),
        ),
    ],
)
def test_the_record_is_the_first_element_and_all_else_stays(
    message: bytes, expected: bytes
) -> None:
    """Only what cannot carry structured data is converted; then we are the originator."""
    assert stamp(message) == [expected]


def test_programs_of_this_machine_have_no_address() -> None:
    (stamped,) = stamp(HEAD + b"- x", sender="local")
    assert b"[origin" not in stamped


FW1 = "fw1.example.net@192.0.2.7"
PEER = b'peer="fw1.example.net" '


def test_the_name_in_the_senders_certificate_stands_in_front_of_our_hop() -> None:
    (stamped,) = stamp(HEAD + b"- x", sender=FW1)
    ours = PEER + b'hop="edge01/siem/%b/7"' % EPOCH.encode()
    assert stamped.startswith(HEAD + b"[relay@32473 " + ours + b'][origin ip="192.0.2.7"]')
    assert last_passage(stamped) == Passage(b"edge01/siem", EPOCH.encode(), 7)
    (passed_on,) = stamp(stamped, by=hop("hub"), sender="edge01.example.net@192.0.2.1")
    theirs = b' peer="edge01.example.net" hop="hub/siem/%b/7"]' % EPOCH.encode()
    assert passed_on.startswith(HEAD + b"[relay@32473 " + ours + theirs)
    assert last_passage(passed_on) == Passage(b"hub/siem", EPOCH.encode(), 7)


def test_a_loop_takes_the_name_with_the_hop() -> None:
    (once,) = stamp(HEAD + b"- x", sender=FW1)
    assert stamp(once, sender=FW1) == [once]
    (unknown,) = stamp(once, sender="192.0.2.7")
    assert b"peer=" not in unknown


@pytest.mark.parametrize(
    "forged",
    [
        b'peer="admin.example.net"',
        b'peer="admin.example.net" x="y"',
        b'peer="other.example.net" peer="admin.example.net"',
        b'peer="admin.example.net" hop="edge01/siem/0000000000000000/3"',
    ],
)
def test_nobody_writes_a_name_in_front_of_our_hop_but_us(forged: bytes) -> None:
    """A sender without a certificate can't make it look as if we had seen one."""
    for sender in ("192.0.2.7", FW1):
        (stamped,) = stamp(HEAD + b"[relay@32473 " + forged + b"] x", sender=sender)
        assert b"admin" not in stamped
        assert (PEER + b'hop="edge01/' in stamped) == (sender == FW1)


def test_sequence_ids_begin_at_1_stay_with_the_number_and_wrap() -> None:
    """RFC 5424 section 7.3.1; a retry says the same as the first attempt."""
    by = hop()

    def ids(first: int) -> list[bytes]:
        stamped = stamp(HEAD + b"- a", HEAD + b"- b", by=by, first=first)
        return [it[1] for it in map(re.compile(rb'sequenceId="(\d+)"').search, stamped) if it]

    assert ids(100) == [b"1", b"2"]
    assert ids(101) == [b"2", b"3"]
    assert ids(100) == [b"1", b"2"]
    assert ids(100 + 2147483646) == [b"2147483647", b"1"]


def test_the_hops_of_others_are_kept_in_order_and_our_own_is_replaced() -> None:
    (once,) = stamp(HEAD + b"- x", by=hop("edge01"), first=1)
    (twice,) = stamp(once, by=hop("hub", "archive"), first=20)
    (looped,) = stamp(twice, by=hop("edge01", epoch="0" * 16), first=300)
    assert every_passage(twice) == [
        Passage(b"edge01/siem", EPOCH.encode(), 1), Passage(b"hub/archive", EPOCH.encode(), 20),
    ]  # fmt: skip
    assert every_passage(looped) == [
        Passage(b"hub/archive", EPOCH.encode(), 20), Passage(b"edge01/siem", b"0" * 16, 300),
    ]  # fmt: skip
    assert twice.count(b"[relay@32473 ") == looped.count(b"[relay@32473 ") == 1, "section 6.3.2"
    assert len(looped) == len(twice) + 2, "a loop adds nothing but digits"


def test_what_else_the_element_says_is_kept() -> None:
    mine = b'hop="edge01/siem/%b/7"' % EPOCH.encode()
    strange = b'a="x \\" hop=\\"1" hop="no number" hop="edge01/siem/x/1"'
    (message,) = stamp(HEAD + b"[relay@32473 " + strange + b" " + mine + b"][relay@32473] hello")
    assert message.startswith(HEAD + b"[relay@32473 " + strange + b" " + mine + b"][origin")
    assert last_passage(message) == Passage(b"edge01/siem", EPOCH.encode(), 7)
    assert stamp(message) == [message]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (HEAD + b'[relay@32473 hop="a/b/%b/12"] x' % EPOCH.encode(), 12),
        (HEAD + b'[x@1 a="b"][relay@32473 hop="a/b/%b/12"] x' % EPOCH.encode(), 12),
        (HEAD + b'[relay@32473 other="1" hop="a/b/%b/12"] x' % EPOCH.encode(), 12),
        (HEAD + b'[relay@32473 hop="a/b/%b/1" hop="c/d/%b/12"] x' % ((EPOCH.encode(),) * 2), 12),
        (HEAD + b'- [relay@32473 hop="a/b/%b/12"] in the text' % EPOCH.encode(), None),
        (HEAD + b'[x@1 a="[relay@32473 hop=\\"a/b/%b/12\\"\\]"] x' % EPOCH.encode(), None),
        (HEAD + b'[relay@32473 hop="a/b/short/12"] x', None),
        (HEAD + b'[relay@32473 hop="a/b/%b/-1"] x' % EPOCH.encode(), None),
        (HEAD + b"[relay@32473] x", None),
        (b'<13>Nov 23 08:28:45 su: [relay@32473 hop="a/b/%b/12"]' % EPOCH.encode(), None),
        (b"", None),
    ],
)
def test_a_record_is_read_from_structured_data_only(message: bytes, expected: int | None) -> None:
    found = last_passage(message)
    assert (found.number if found else None) == expected


@given(st.binary(max_size=60), st.text(max_size=20), st.integers(0, (1 << 64) - 1))
def test_any_message_is_stamped_and_read_again(text: bytes, name: str, number: int) -> None:
    """Hostile text and odd names neither hide a record nor make one."""
    by = hop(name or "x", "p")
    for message in (b"<13>" + text, HEAD + b"- " + text, HEAD + b'[a@1 b="c"] ' + text):
        (stamped,) = stamp(message, by=by, first=number)
        found = last_passage(stamped)
        assert found is not None
        assert found.number == number
        assert well_formed(stamped)
        ids = [it for it, _ in elements(view(stamped).structured_data or b"")]
        assert len(ids) == len(set(ids))
        assert view(stamped).text == view(message).text or not well_formed(message)


@given(st.binary(max_size=200))
def test_reading_never_raises(junk: bytes) -> None:
    last_passage(junk)
    last_passage(HEAD + b"[relay@32473 " + junk)
    every_passage(HEAD + b"[relay@32473 hop=" + junk)


def test_other_numbers_are_another_epoch() -> None:
    """What was sent under the numbers before must not look like a gap, or like a duplicate."""
    times = iter([0, 0, 0, 1, 2])  # the first is asked for when it is made
    by = Hop("edge01", "siem", "f" * 16, "1.2.3", lambda: next(times))
    epochs = []
    for _ in range(4):
        (stamped,) = stamp(HEAD + b"- x", by=by)
        epochs += [it.epoch for it in every_passage(stamped)]
    assert epochs == [b"f" * 16, b"f" * 16, b"0" * 16, b"0" * 15 + b"1"]
