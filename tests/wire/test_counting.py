import pytest

from relay.wire.counting import (
    KNOWN_MAX,
    Counting,
    any_count,
    ending,
    equal_run,
    forced_counting,
    guessed_counting,
    known_run,
)

GUESSED = guessed_counting(256, 64)
FORCED = forced_counting(64)


@pytest.mark.parametrize(
    ("counting", "matched", "partial", "neither"),
    [
        (
            GUESSED,
            [b"4 <", b"256 <", b"999 <"],
            [b"4", b"256", b"4 ", b"999 "],
            [b"0", b"01", b"4 x", b"4  ", b"4x", b" 4", b"2560", b"<"],
        ),
        (
            FORCED,
            [b"4 ", b"0 ", b"0004 x", b"9999999999 "],
            [b"4", b"0", b"9999999999"],
            [b"4x", b" 4", b"99999999999", b"<"],
        ),
    ],
)
def test_what_is_a_count(
    counting: Counting, matched: list[bytes], partial: list[bytes], neither: list[bytes]
) -> None:
    assert all(map(counting.pattern.match, matched))
    assert not any(map(counting.pattern.match, partial + neither))
    assert all(map(counting.partial.fullmatch, partial))
    assert not any(map(counting.partial.fullmatch, neither))


def test_known_counts_stay_below_every_limit() -> None:
    assert set(GUESSED.known.values()) == set(range(1, 65))
    assert set(FORCED.known.values()) == set(range(65))
    assert max(guessed_counting(10**6, 10**6).known.values()) == KNOWN_MAX


def test_lines_that_may_be_counted_frames() -> None:
    assert any_count([b"", b"a", b"4 <1>a"], GUESSED)
    assert not any_count([b"", b"a", b"4 pears", b"04 <1>a"], GUESSED)
    assert not any_count([b"", b"a"], GUESSED)
    assert any_count([b"", b"a", b"4 pears"], FORCED)


@pytest.mark.parametrize(
    ("stream", "contents", "end"),
    [
        (b"", [], 0),
        (b"4 <1>a4 <1>b", [b"<1>a", b"<1>b"], 12),
        (b"4 <1>a4 <1>b4 <1>", [b"<1>a", b"<1>b"], 12),
        (b"4 <1>", [], 0),
        (b"65 <1>a", [], 0),
        (b"line\n", [], 0),
    ],
)
def test_both_runs_take_whole_frames(stream: bytes, contents: list[bytes], end: int) -> None:
    for counting in (GUESSED, FORCED):
        assert equal_run(stream, 0, counting) == (contents, end)
        assert known_run(stream, 0, counting) == (contents, end)
        assert known_run(b"." + stream, 1, counting) == (contents, end + 1)


def test_the_equal_run_is_all_or_nothing() -> None:
    stream = b"4 <1>a4 <1>b5 <1>cd....."
    assert equal_run(stream, 0, GUESSED) == ([], 0)
    assert known_run(stream, 0, GUESSED) == ([b"<1>a", b"<1>b", b"<1>cd"], 19)
    assert equal_run(b"0 0 0 ", 0, FORCED) == ([b"", b"", b""], 6)


def test_a_lf_between_frames_is_an_empty_content() -> None:
    stream = b"4 <1>a\n\n4 <1>b\n"
    assert known_run(stream, 0, GUESSED) == ([b"<1>a", b"", b"", b"<1>b", b""], len(stream))
    assert known_run(b"\n4 <1>a", 0, GUESSED) == ([], 0)


@pytest.mark.parametrize(
    ("content", "octets"),
    [(b"", 0), (b"a", 0), (b"a\n", 1), (b"a\r\n", 2), (b"a\0", 1), (b"a\n\0", 1), (b"a\r", 0)],
)
def test_the_framing_at_the_end_of_content(content: bytes, octets: int) -> None:
    assert ending(content) == octets
