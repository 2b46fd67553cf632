"""Other header fields for a message, and everything else byte for byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.message import elements, view
from relay.wire.rewrite import Change, rewrite
from tests.wire.samples import Sample, samples

ELEMENT = (b"site@32473", b'[site@32473 name="edge"]')
SITE = Change(data=(ELEMENT,))


@pytest.mark.parametrize(
    ("message", "change", "expected"),
    [
        (b"<13>x", Change(facility=16), b"<133>x"),
        (b"<13>x", Change(severity=3), b"<11>x"),
        (b"x", Change(facility=0, severity=0), b"<0>x"),
        (b"<999>x", Change(severity=0), b"<8><999>x"),
        (b"<13>1 - a b c d - text", Change(host=b"h"), b"<13>1 - h b c d - text"),
        (b"<13>1 - a b c d - text", Change(program=b"p"), b"<13>1 - a p c d - text"),
        (b"<13>1 - - - - - -", Change(2, 2, b"h", b"p"), b"<18>1 - h p - - -"),
        (b"<13>1 - a b c d - text", SITE, b'<13>1 - a b c d [site@32473 name="edge"] text'),
        (b"<13>1 - a b c d -", SITE, b'<13>1 - a b c d [site@32473 name="edge"]'),
        (b'<13>1 - a b c d [x y="\\]"] text', SITE,
         b'<13>1 - a b c d [x y="\\]"][site@32473 name="edge"] text'),
        (b'<13>1 - a b c d [site@32473 name="other"] text', SITE,
         b'<13>1 - a b c d [site@32473 name="other"] text'),
        (b"<13>1 - a b c d [broken text", SITE,
         b'<13>1 - a b c d [site@32473 name="edge"] [broken text'),
        (b"<13>Nov 23 07:45:25 web01 app[7]: x", Change(host=b"h"),
         b"<13>Nov 23 07:45:25 h app[7]: x"),
        (b"<13>Nov 23 07:45:25 web01 app[7]: x", Change(program=b"p"),
         b"<13>Nov 23 07:45:25 web01 p[7]: x"),
        (b"<13>Nov 23 07:45:25 app: x", Change(host=b"h", program=b"p"),
         b"<13>Nov 23 07:45:25 h p: x"),
        (b"<13>Nov 23 07:45:25 web01 some text", Change(program=b"p"),
         b"<13>Nov 23 07:45:25 web01 p: some text"),
        (b"<13>2026-11-23T07:45:25Z 192.0.2.1 text", Change(host=b"h"),
         b"<13>2026-11-23T07:45:25Z h text"),
        (b"<166>2018-06-27T12:17:46Z asa : %ASA-3-1: x", Change(host=b"h"),
         b"<166>2018-06-27T12:17:46Z h : %ASA-3-1: x"),
        (b"<13>Nov 23 07:45:25 web01 app: x", SITE, None),
        (b"<189>89: *Mar  1 00:20:10.663: %SYS-5-X: x", Change(host=b"h"), None),
        (b"<13>Nov 23 07:45:25", Change(host=b"h"), None),
        (b"<13>nothing known", Change(host=b"h"), None),
        (b"", Change(program=b"h"), None),
    ],
)  # fmt: skip
def test_rewriting(message: bytes, change: Change, expected: bytes | None) -> None:
    assert rewrite(message, change) == expected


@pytest.mark.parametrize("sample", list(samples()), ids=lambda it: it.name)
@pytest.mark.parametrize("change", [Change(host=b"new.example"), Change(program=b"new")])
def test_a_dialect_has_the_field_afterwards_and_the_others_as_before(
    sample: Sample, change: Change
) -> None:
    message = sample.normalised()
    after = rewrite(message, change)
    if after is None:
        return  # no place for it: the caller converts
    old, new = view(message), view(after)
    if change.host is not None:
        assert new == old._replace(host=change.host)
    else:
        assert new._replace(program=None) == old._replace(program=None)
        assert new.program == change.program


def test_most_dialects_have_a_place_for_a_host() -> None:
    placed = [rewrite(it.normalised(), Change(host=b"h")) is not None for it in samples()]
    assert sum(placed) > len(placed) // 2


@given(st.one_of(st.binary(max_size=80), st.binary(max_size=60).map(
    lambda rest: b"<13>Nov 23 07:45:25 " + rest), st.binary(max_size=60).map(
    lambda rest: b"<13>1 - a b c d " + rest)))  # fmt: skip
def test_no_message_makes_it_raise_and_twice_is_once(message: bytes) -> None:
    for change in (Change(host=b"h.example"), SITE, Change(1, 1, b"h", b"p", (ELEMENT,))):
        once = rewrite(message, change)
        assert once == rewrite(message, change, view(message))
        if once is None:
            continue
        header = view(once)
        if change.host is not None:
            assert header.host == change.host
        if change.data:
            assert ELEMENT[0] in {name for name, _ in elements(header.structured_data or b"")}
        assert rewrite(once, change) == once


def test_a_host_that_would_make_another_header_of_the_text_has_no_place() -> None:
    """Behind a version and a stamp any word may be missing for RFC 5424: here it is the host."""
    message = b"<13>1 2026-11-23T07:28:45Z a=1 12 I= [c x"
    assert view(message).text == b"a=1 12 I= [c x"
    assert rewrite(message, Change(host=b"edge")) is None
