"""Plain headers: what the patterns accept means what the steps find, whatever text follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.message import exact_view, view
from relay.wire.plain import PLAIN3164, PLAIN5424
from tests.wire.headers import MESSAGES, RFC3164, RFC5424, TEXTS
from tests.wire.samples import samples

SAMPLES = [it.received for it in samples()]


@pytest.mark.parametrize(
    ("message", "groups"),
    [
        (
            b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
            (b"<34>", b"Oct 11 22:14:15", None, b"mymachine", b"su", None),
        ),
        (
            b"<165>2026-11-23T07:28:45.123456+01:00 2001:db8::1 a/b.service[7]: x",
            (
                b"<165>",
                None,
                b"2026-11-23T07:28:45.123456+01:00",
                b"2001:db8::1",
                b"a/b.service",
                b"7",
            ),
        ),
    ],
)
def test_a_header_of_rfc3164_in_one_look(message: bytes, groups: tuple[bytes | None]) -> None:
    found = PLAIN3164.match(message)
    assert found is not None
    assert found.groups() == groups


def test_a_header_of_rfc5424_in_one_look() -> None:
    found = PLAIN5424.match(b'<0>1 2026-11-23T07:28:45Z h app - ID [a b="c d"][e] x')
    assert found is not None
    stamp = b"2026-11-23T07:28:45Z"
    assert found.groups() == (b"<0>", stamp, b"h", b"app", b"-", b"ID", b'[a b="c d"][e]')


@pytest.mark.parametrize(
    "header",
    [
        b"<192>Oct 11 22:14:15 h su: ",
        b"<034>Oct 11 22:14:15 h su: ",
        b"<34>Oct 11 22:14:15 UTC su: ",  # a zone, if host and tag follow
        b"<34>Oct 11 22:14:15 EST: %A: ",
        b"<34>Oct 11 22:14:15 2026 su: ",
        b"<34>Oct 11 22:14:15 TZ-6 su: ",
        b"<34>Oct 11 22:14:15 h: su: ",
        b"<34>Oct 11 22:14:15 h %ASA-1-1: ",
        b"<34>Oct 11 22:14:15 h 123: ",
        b"<34>Oct 11 22:14:15 h 00005e005309,UAP-1: ",
        b"<34>Oct 11 22:14:15 h su[-]: ",
        b"<34>Oct 11 22:14:15 h " + b"p" * 49 + b": ",
        b"<34>Oct 01 22:14:15 h su: ",  # written with a space by RFC 3164
        b"<34>Oct 11 22:14:15 su: ",
        b"<34>1 - h a p m - ",
        b"<34>1 2026-11-23T07:28:45Z - a p m - ",
        b'<34>1 2026-11-23T07:28:45Z h a"b p m - ',
        b"<34>1 2026-11-23T07:28:45Z %b a p m - " % (b"h" * 256),
        b"<34>1 2026-11-23T07:28:45Z h %b p m - " % (b"a" * 49),
        b"<34>1 2026-11-23T07:28:45Z h a %b m - " % (b"p" * 129),
        b"<34>1 2026-11-23T07:28:45Z h a p %b - " % (b"m" * 33),
        b'<34>1 2026-11-23T07:28:45Z h a p m [x v="] ',
    ],
)
def test_what_depends_on_more_is_left_to_the_steps(header: bytes) -> None:
    assert not PLAIN3164.match(header + b"x")
    assert not PLAIN5424.match(header + b"x")


@given(MESSAGES)
def test_a_view_is_what_the_steps_find(message: bytes) -> None:
    assert view(message) == exact_view(message)


@given(st.sampled_from(SAMPLES), st.integers(0, 60), st.integers(0, 3), TEXTS)
def test_so_it_is_of_damaged_samples(sample: bytes, at: int, octets: int, piece: bytes) -> None:
    message = sample[:at] + piece + sample[at + octets :]
    assert view(message) == exact_view(message)


@given(RFC3164, TEXTS)
def test_no_text_changes_what_a_plain_header_means(message: bytes, text: bytes) -> None:
    found = PLAIN3164.match(message)
    if found:
        header = exact_view(message[: found.end()] + text)
        assert header[:10] == exact_view(message)[:10]
        if header.stamp is not None:
            assert header.stamp.text == found[2] or found[3]
            assert header[5:] == (found[4], found[5], found[6], None, None, text)


@given(RFC5424, TEXTS)
def test_nor_what_one_of_rfc5424_means(message: bytes, text: bytes) -> None:
    found = PLAIN5424.match(message)
    if found:
        header = exact_view(message[: found.end()] + text)
        if header.stamp is not None:
            fields = [None if it == b"-" else it for it in found.groups()[2:]]
            assert header[5:] == (*fields, text.removeprefix(b"\xef\xbb\xbf"))
