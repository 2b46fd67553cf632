"""RFC 5424 messages from parts: always well-formed, and every character is kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.compose import compose, element
from relay.wire.message import elements, view, well_formed

NS = 1_795_000_000_123_456_789
HEAD = b"<6>1 2026-11-18T11:06:40.123456Z host"


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        ((b"kernel", None), b"usb 1-1: new device", b"kernel - - - usb 1-1: new device"),
        ((b"sshd", b"99"), b"ok", b"sshd 99 - - ok"),
        ((None, None), b"", b"- - - -"),
        ((b"two words", b"7"), b"ok", b"- - - - two words[7]: ok"),
        ((b"x" * 49, None), b"ok", b"- - - - " + b"x" * 49 + b": ok"),
        ((None, b"a b"), b"ok", b"- - - - -[a b]: ok"),
        ((b"\xc3\xa4", b"1"), b"ok", b"- - - - \xc3\xa4[1]: ok"),
    ],
)
def test_what_a_field_does_not_allow_stands_in_front_of_the_text(
    tag: tuple[bytes | None, bytes | None], text: bytes, expected: bytes
) -> None:
    assert compose(6, NS, b"host", tag, text) == HEAD + b" " + expected


def test_an_element_escapes_its_values_and_mends_its_names() -> None:
    assert (
        element(b"kmsg@32473", [(b"DEVICE", b'a"b]c\\'), (b'x =]"\x80', b""), (b"", b"1"),
                                (b"L" * 40, b"")])
        == rb'[kmsg@32473 DEVICE="a\"b\]c\\" x_____="" _="1" ' + b"L" * 32 + b'=""]'
    )  # fmt: skip


PARTS = st.binary(max_size=60) | st.none()


@given(st.integers(0, 191), PARTS, PARTS, st.binary(max_size=50),
       st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=20)), max_size=3))  # fmt: skip
def test_any_parts_make_a_well_formed_message_that_says_them(
    priority: int,
    program: bytes | None,
    procid: bytes | None,
    text: bytes,
    parameters: list[tuple[bytes, bytes]],
) -> None:
    data = element(b"kmsg@32473", parameters)
    message = compose(priority, NS, b"host", (program, procid), text, data)
    assert well_formed(message)
    header = view(message)
    assert header.facility * 8 + header.severity == priority
    assert (header.host, header.structured_data) == (b"host", data)
    ((_, found),) = elements(data)
    assert [value for _, value in found] == [value for _, value in parameters]
    if header.program != program or header.procid != procid:
        front = (program or b"-").removeprefix(b"\xef\xbb\xbf")  # a view is without
        assert header.text.startswith(front) or program == b"-"
    if not text.startswith(b"\xef\xbb\xbf"):
        assert header.text.endswith(text)
