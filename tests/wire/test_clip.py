import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.clip import boundary, clip


@pytest.mark.parametrize(
    ("message", "octets_max", "expected"),
    [
        (b"", 0, b""),
        (b"abc", 3, b"abc"),
        (b"abc", 2, b"ab"),
        (b"abc", 0, b""),
        ("aä".encode(), 3, "aä".encode()),
        ("aä".encode(), 2, b"a"),
        ("a€b".encode(), 4, "a€".encode()),
        ("a€b".encode(), 3, b"a"),
        ("a€b".encode(), 2, b"a"),
        ("a😀b".encode(), 5, "a😀".encode()),
        ("a😀b".encode(), 4, b"a"),
        ("😀".encode(), 3, b""),
        # Not UTF-8, so there is no character to keep whole.
        ("aäb".encode("latin-1"), 2, "aä".encode("latin-1")),
        (b"\x80\x80\x80\x80\x80", 4, b"\x80\x80\x80\x80"),
        (b"\xff\xff\xff", 2, b"\xff\xff"),
        (b"a\xe2\x82b", 3, b"a\xe2\x82"),  # a character that breaks off
        (b"\xed\xa0\x80b", 2, b"\xed\xa0"),  # a surrogate
        (b"\xc0\x80b", 1, b"\xc0"),  # overlong
        ("ä".encode() + b"\x80b", 3, "ä".encode() + b"\x80"),  # a continuation too many
        # Whole where it is cut, whatever comes after.
        ("aä".encode() + b"\xff", 3, "aä".encode()),
        ("aä".encode() + b"\xff", 2, b"a"),
    ],
)
def test_the_cut_is_between_characters(message: bytes, octets_max: int, expected: bytes) -> None:
    assert clip(message, octets_max) == expected


def test_a_character_that_is_still_to_come_is_no_boundary() -> None:
    assert boundary("a€".encode()[:3], 3) == 1
    assert boundary(b"a\xff", 2) == 2


@given(st.text(), st.integers(0, 40))
def test_text_stays_text(text: str, octets_max: int) -> None:
    message = text.encode()
    clipped = clip(message, octets_max)
    assert text.startswith(clipped.decode())
    assert min(len(message), octets_max) - 3 <= len(clipped) <= octets_max


@given(st.binary(), st.integers(0, 40))
def test_any_bytes_lose_at_most_three_octets_more(message: bytes, octets_max: int) -> None:
    clipped = clip(message, octets_max)
    assert message.startswith(clipped)
    assert min(len(message), octets_max) - 3 <= len(clipped) <= octets_max
    assert clip(clipped, octets_max) == clipped
