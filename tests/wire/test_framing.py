from collections.abc import Iterator

import pytest

from relay.wire.framing import HOLD_EXTRA, Framer, Framing, FramingCounts

LONG = 8192


def check(
    stream: bytes,
    *expected: bytes,
    framing: Framing = "auto",
    counts: FramingCounts | None = None,
    message_max: int = LONG,
    frame_max: int = 16 * LONG,
) -> None:
    """Feeds `stream` whole and in pieces: messages and counters must be the same each time."""
    for pieces in _cuttings(stream):
        seen = FramingCounts()
        framer = Framer(framing, message_max, frame_max, seen)
        messages: list[bytes] = []
        for piece in pieces:
            messages += framer.feed(piece)
            assert framer.buffered <= message_max + HOLD_EXTRA
        messages += framer.close()
        assert messages == list(expected)
        assert framer.buffered == 0
        assert seen.octet + seen.line + seen.nul == len(messages)
        counts = counts or seen
        assert seen == counts


def _cuttings(stream: bytes) -> Iterator[list[bytes]]:
    yield [stream]
    yield [stream[i : i + 1] for i in range(len(stream))]
    yield [stream[i : i + 3] for i in range(0, len(stream), 3)]
    step = 1 + len(stream) // 400  # every cut, if the stream is not very long
    for cut in range(0, len(stream) + 1, step):
        yield [stream[:cut], stream[cut:]]


# What OpenBSD's regression suite sends (args-client-tcp-*), as it is and with a PRI before each
# text. A terminator inside counted content is text here, and so is a lone space.


def test_octet() -> None:
    check(
        b"0 1 a2 bc3 de\n4 fg\0X3 hi 4 jk\n\n1 l0 1 m1  2  n2 o ",
        *(b"a", b"bc", b"de", b"fg\0X", b"hi ", b"jk\n", b"l", b"m", b" ", b" n", b"o "),
        framing="octet",
        counts=FramingCounts(octet=11, empty=2),
    )


def test_octet_with_pri() -> None:
    check(
        b"4 <1>a5 <1>bc6 <1>de\n7 <1>fg\0X6 <1>hi 7 <1>jk\n\n4 <1>l4 <1>m4 <1> 5 <1> n5 <1>o ",
        *(b"<1>a", b"<1>bc", b"<1>de", b"<1>fg\0X", b"<1>hi ", b"<1>jk\n", b"<1>l", b"<1>m"),
        *(b"<1> ", b"<1> n", b"<1>o "),
        counts=FramingCounts(octet=11),
    )


NONTRANSP = b"\na\nbc\nde\r\nfg\0hi \njk\a\nl\n\nm\n \n n\n o \n"


def test_nontransp() -> None:
    check(
        NONTRANSP,
        *(b"a", b"bc", b"de", b"fg", b"hi ", b"jk\a", b"l", b"m", b" ", b" n", b" o "),
        counts=FramingCounts(line=10, nul=1, empty=2),
    )


@pytest.mark.parametrize("framing", ["lf", "octet"])
def test_nontransp_by_lf(framing: Framing) -> None:
    check(
        NONTRANSP,
        *(b"a", b"bc", b"de", b"fg\0hi ", b"jk\a", b"l", b"m", b" ", b" n", b" o "),
        framing=framing,
        counts=FramingCounts(line=10, empty=2),
    )


def test_nontransp_by_nul() -> None:
    check(
        NONTRANSP,
        b"\na\nbc\nde\r\nfg",
        b"hi \njk\a\nl\n\nm\n \n n\n o \n",
        framing="nul",
        counts=FramingCounts(nul=2),
    )


def test_octet_nontransp() -> None:
    check(
        b"2 ab2 cdef\ngh\nij\n2 kl",
        *(b"ab", b"cd", b"ef", b"gh", b"ij", b"kl"),
        framing="octet",
        counts=FramingCounts(octet=3, line=3),
    )
    check(
        b"5 <1>ab5 <1>cd<1>ef\n<1>gh\n<1>ij\n5 <1>kl",
        *(b"<1>ab", b"<1>cd", b"<1>ef", b"<1>gh", b"<1>ij", b"<1>kl"),
        counts=FramingCounts(octet=3, line=3),
    )


def test_octet_badframe() -> None:
    check(b"000002 ab\n2bc\n", b"000002 ab", b"2bc", counts=FramingCounts(line=2))
    check(b"000005 <1>ab\n2<1>bc\n", b"000005 <1>ab", b"2<1>bc", counts=FramingCounts(line=2))
    counts = FramingCounts(octet=1, line=1, empty=1)
    check(b"000002 ab\n2bc\n", b"ab", b"2bc", framing="octet", counts=counts)


def test_multilines() -> None:
    check(b"<1>a\n<2>b\n<3>c\n", b"<1>a", b"<2>b", b"<3>c", counts=FramingCounts(line=3))


def test_maxline() -> None:
    counts = FramingCounts(line=1, truncated=1, truncated_octets=7)
    check(b"x" * 8199, b"x" * LONG, counts=counts)


def test_nontransp_maxline() -> None:
    counts = FramingCounts(line=2, truncated=1, truncated_octets=1)
    for ending in (b"\n", b"\r\n"):
        check(b"x" * 8193 + ending + b"y" * 8192 + ending, b"x" * LONG, b"y" * LONG, counts=counts)


def test_octet_maxline() -> None:
    text = b"<1>" + b"x" * 8191
    counts = FramingCounts(octet=2, truncated=1, truncated_octets=1)
    stream = b"8193 " + text[:8193] + b"8193 " + text[:8192] + b"\n"
    check(stream, text[:LONG], text[:LONG], counts=counts)
    check(
        stream.replace(b"8193", b"08193"), text[:LONG], text[:LONG], framing="octet", counts=counts
    )


# Where OpenBSD's syslogd loses sync or text.


def test_a_long_frame_does_not_lose_sync() -> None:
    text = b"<1>" + b"x" * 19997
    counts = FramingCounts(octet=2, truncated=1, truncated_octets=20000 - LONG)
    check(b"20000 " + text + b"8 <1>hello", text[:LONG], b"<1>hello", counts=counts)
    check(b"20000 " + text + b"5 hello", text[:LONG], b"hello", framing="octet", counts=counts)


def test_content_never_becomes_a_message_of_its_own() -> None:
    content = b"<13>" + b"A" * 8189 + b"<8>forged line\n"
    incomplete = FramingCounts(incomplete=1, incomplete_octets=len(content))
    check(b"99999 " + content, counts=incomplete)
    check(b"99999 " + content, framing="octet", counts=incomplete)
    # Above frame_max it is a line, and one line only.
    line = b"99999 " + content.rstrip()
    counts = FramingCounts(line=1, truncated=1, truncated_octets=len(line) - LONG)
    check(b"99999 " + content, line[:LONG], frame_max=65536, counts=counts)
    check(b"99999 " + content, line[:LONG], frame_max=65536, framing="octet", counts=counts)


def test_a_line_that_begins_with_a_number_is_a_line() -> None:
    check(b"404 not found\n<1>next\n", b"404 not found", b"<1>next", counts=FramingCounts(line=2))


AUTO_CASES = [
    (b"", [], FramingCounts()),
    (b"\r\n\r\n\0", [], FramingCounts(empty=3)),
    (b"\r\r\n<1>a\r\0b\r", [b"\r", b"<1>a", b"b"], FramingCounts(line=2, nul=1)),
    (b"<1>\rb\n", [b"<1>\rb"], FramingCounts(line=1)),
    (b"a\0\0\n\nb\n\0c\0", [b"a", b"b", b"c"], FramingCounts(nul=2, line=1, empty=4)),
    (b"<1>a\n4 <1>b<1>c\n", [b"<1>a", b"<1>b", b"<1>c"], FramingCounts(octet=1, line=2)),
    (b"4 <1>a\n4 <1>b\r\n4 <1>c", [b"<1>a", b"<1>b", b"<1>c"], FramingCounts(octet=3, empty=2)),
    (b"6 <1>a\r\n5 <1>b\0", [b"<1>a", b"<1>b"], FramingCounts(octet=2)),
    (b"6 <1>a\n\n6 <1>b\n\r", [b"<1>a\n", b"<1>b\n\r"], FramingCounts(octet=2)),
    (b"0 <1>a\n1 <\n01 <\n", [b"0 <1>a", b"<", b"01 <"], FramingCounts(octet=1, line=2, empty=1)),
    (b"4  <1>a\n4\t<1>b\n", [b"4  <1>a", b"4\t<1>b"], FramingCounts(line=2)),
    (b"-4 <1>a\n+4 <1>b\n", [b"-4 <1>a", b"+4 <1>b"], FramingCounts(line=2)),
    ("4 <1>a٤ <1>b\n".encode(), [b"<1>a", "٤ <1>b".encode()], FramingCounts(octet=1, line=1)),
]


@pytest.mark.parametrize(("stream", "messages", "counts"), AUTO_CASES)
def test_auto(stream: bytes, messages: list[bytes], counts: FramingCounts) -> None:
    check(stream, *messages, counts=counts)


TAILS = [
    ("auto", b"<1>a", [b"<1>a"], FramingCounts(line=1)),
    ("auto", b"<1>a\r", [b"<1>a"], FramingCounts(line=1)),
    ("auto", b"\r", [], FramingCounts(empty=1)),
    ("auto", b"12", [b"12"], FramingCounts(line=1)),
    ("auto", b"12 ", [b"12 "], FramingCounts(line=1)),
    ("auto", b"12 <", [], FramingCounts(incomplete=1, incomplete_octets=1)),
    ("auto", b"4 <1>a4 <1>", [b"<1>a"], FramingCounts(octet=1, incomplete=1, incomplete_octets=3)),
    ("octet", b"12", [b"12"], FramingCounts(line=1)),
    ("octet", b"12 ", [], FramingCounts(incomplete=1)),
    ("octet", b"0 0 1 \n", [], FramingCounts(empty=3)),
    ("octet", b"2 ab1 2 cd", [b"ab", b"2", b" cd"], FramingCounts(octet=2, line=1)),
    ("lf", b"4 <1>a\r", [b"4 <1>a"], FramingCounts(line=1)),
    ("lf", b"12 ", [b"12 "], FramingCounts(line=1)),
    ("nul", b"4 <1>a\r\n", [b"4 <1>a\r\n"], FramingCounts(nul=1)),
    ("nul", b"\0\0a\r\0", [b"a\r"], FramingCounts(nul=1, empty=2)),
]


@pytest.mark.parametrize(("framing", "stream", "messages", "counts"), TAILS)
def test_the_end_of_the_stream(
    framing: Framing, stream: bytes, messages: list[bytes], counts: FramingCounts
) -> None:
    check(stream, *messages, framing=framing, counts=counts)


def test_octet_resynchronises_at_the_next_line() -> None:
    check(
        b"no count\r\n3 abc12345678901 x\n2 de9999 y\n1 f",
        *(b"no count", b"abc", b"12345678901 x", b"de", b"9999 y", b"f"),
        framing="octet",
        frame_max=256,
        counts=FramingCounts(octet=3, line=3),
    )


def test_counts_above_frame_max_are_not_believed() -> None:
    stream = b"256 <1>" + b"x" * 253 + b"257 <1>y\n999999999999 <1>z\n"
    check(
        stream,
        *(b"<1>xxxxxxxxxxxxx", b"257 <1>y", b"999999999999 <1>"),
        message_max=16,
        frame_max=256,
        counts=FramingCounts(octet=1, line=2, truncated=2, truncated_octets=240 + 1),
    )


def test_truncated_messages_end_between_characters() -> None:
    text = "<1>" + "€" * 5  # 18 octets
    counts = FramingCounts(octet=1, line=1, truncated=2, truncated_octets=6)
    stream = f"18 {text}{text}\n".encode()
    check(stream, *["<1>€€€€".encode()] * 2, message_max=16, frame_max=256, counts=counts)


def test_bytes_that_only_begin_like_a_character_are_cut_hard() -> None:
    text = b"<1>xxxxxxxxxxxx\xf0\x9f\x98!"  # the limit is after \xf0
    counts = FramingCounts(octet=1, line=1, truncated=2, truncated_octets=6)
    stream = b"19 %b%b\n" % (text, text)
    check(stream, *[text[:16]] * 2, message_max=16, frame_max=256, counts=counts)


def test_a_terminator_is_not_cut_away() -> None:
    text = b"<1>" + b"x" * 13
    stream = b"17 %b\n18 %b\r\n%b\r\n%b\n" % (text, text, text, text)
    counts = FramingCounts(octet=2, line=2)
    check(stream, *[text] * 4, message_max=16, frame_max=256, counts=counts)
    stream = b"18 %bz\n19 %bz\r\n%bz\r\n%bz\n" % (text, text, text, text)
    counts = FramingCounts(octet=2, line=2, truncated=4, truncated_octets=4)
    check(stream, *[text] * 4, message_max=16, frame_max=256, counts=counts)


# Many frames in one chunk.


def test_frames_of_one_count_and_of_many() -> None:
    texts = [b"<13>" + b"x" * (n % 7) + b"\n" * (n % 2) for n in range(60)]
    for row in ([b"<13>abc"] * 60, texts):
        stream = b"".join(b"%d %b" % (len(text), text) for text in row)
        expected = [text.rstrip(b"\n") for text in row]
        check(stream, *expected, counts=FramingCounts(octet=60))
        check(stream, *expected, framing="octet", counts=FramingCounts(octet=60))


def test_lines_of_digits() -> None:
    texts = [b"%d apples" % n for n in range(60)]
    check(b"".join(text + b"\n" for text in texts), *texts, counts=FramingCounts(line=60))


def test_one_long_line_among_many() -> None:
    texts = [b"<1>short"] * 10 + [b"<1>" + b"x" * 40] + [b"<1>after"] * 10
    counts = FramingCounts(line=21, truncated=1, truncated_octets=27)
    check(b"\n".join(texts), *[text[:16] for text in texts], message_max=16, counts=counts)
