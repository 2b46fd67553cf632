import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.escape import escape_terminator, escape_text, escaped_lines, printable


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"", b""),
        (b"plain #1 text\t~", b"plain #1 text\t~"),
        (b"two\nlines\r", b"two#012lines#015"),
        (b"\0\x01\x1b[31m\x7f", b"#000#001#033[31m#177"),
        ("grün €😀".encode(), "grün €😀".encode()),
        ("a\x80b\x9fc\xa0d".encode(), b"a#302#200b#302#237c\xc2\xa0d"),
        ("grün".encode("latin-1"), b"gr#374n"),
        ("grün\n".encode(), "grün#012".encode()),
        (b"\xe2\x82", b"#342#202"),  # a character that breaks off
        (b"\xed\xa0\x80", b"#355#240#200"),  # a surrogate
        (b"\xc0\x80", b"#300#200"),  # overlong
        (b"\xff" + "ü".encode() + b"\xff", b"#377" + "ü".encode() + b"#377"),
    ],
)
def test_controls_and_what_is_not_utf8_become_octal(message: bytes, expected: bytes) -> None:
    assert list(escape_text([message])) == [expected]
    assert list(escape_text([b"before", message, b"after"])) == [b"before", expected, b"after"]


def test_a_clean_batch_is_given_back_itself() -> None:
    messages = [b"a\tb", "grün".encode(), b"#012"]
    assert escape_text(messages) is messages
    assert escape_terminator(messages, b"\n") is messages


@given(st.lists(st.binary() | st.text().map(str.encode)))
def test_lines_are_the_escaped_messages(messages: list[bytes]) -> None:
    assert escaped_lines(messages).split(b"\n") == [*escape_text(messages), b""]


def test_messages_are_judged_each_by_itself() -> None:
    halves = ["ü".encode()[:1], "ü".encode()[1:]]
    assert list(escape_text(halves)) == [b"#303", b"#274"]


def test_only_the_terminator_is_escaped() -> None:
    messages = [b"\r\n\0\x1b\xff", b"a"]
    assert list(escape_terminator(messages, b"\n")) == [b"\r#012\0\x1b\xff", b"a"]
    assert list(escape_terminator(messages, b"\0")) == [b"\r\n#000\x1b\xff", b"a"]


@pytest.mark.parametrize("length", range(8186, 8196))
def test_escaping_cuts_nothing(length: int) -> None:
    """A line may be longer than the message that it is made of: four octets for each escaped."""
    text = b"x" * (length - 5) + b"foo\x1b\x80"
    assert list(escape_text([text])) == [text[:-2] + b"#033#200"]


@given(st.lists(st.binary()), st.sampled_from([b"\n", b"\0"]))
def test_no_terminator_is_left(messages: list[bytes], terminator: bytes) -> None:
    escaped = escape_terminator(messages, terminator)
    assert len(escaped) == len(messages)
    assert not any(terminator in message for message in escaped)
    assert escape_terminator(escaped, terminator) is escaped


@given(st.lists(st.binary() | st.text().map(str.encode)))
def test_escaped_text_is_clean_and_stays_as_it_is(messages: list[bytes]) -> None:
    escaped = escape_text(messages)
    assert len(escaped) == len(messages)
    for message in escaped:
        text = message.decode()
        assert all(c == "\t" or " " <= c <= "~" or c >= "\xa0" for c in text)
    assert escape_text(escaped) is escaped


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("fw1", "fw1"),
        ("größe", "größe"),
        ("a\tb\n\x1b[2J", "a#011b#012#033[2J"),
        ("\udcff", "#377"),  # an octet that is no UTF-8
        ("\ud800", "#355#240#200"),  # half of a pair
        ("\u202e", "#342#200#256"),  # what comes would be written from right to left
    ],
)
def test_a_name_is_made_printable(name: str, text: str) -> None:
    assert printable(name) == text


@given(st.text())
def test_what_is_printable_stays_as_it_is(name: str) -> None:
    assert printable(name).isprintable()
    assert printable(printable(name)) == printable(name)
