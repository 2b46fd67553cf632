"""Looking in all messages of a batch at once finds what looking at each finds."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.joined import Joined, worth_joining
from relay.core.pattern import compile_hint, hint_of_regex, hint_of_texts

PIECES = [b"", b"a", b"ab", b"b", b"\n", b"a\nb", b"\xc3\xbc", b"\xfc", b"\x00", b"x" * 30]
MESSAGES = st.lists(st.lists(st.sampled_from(PIECES), max_size=4).map(b"".join), max_size=90)


class Counting:
    """A hint that counts what it is given to read."""

    def __init__(self, hint: Any) -> None:  # noqa: ANN401 - the binding has no types
        self.hint, self.octets = hint, 0

    def search(self, text: bytes, pos: int = 0, endpos: int | None = None) -> Any:  # noqa: ANN401
        endpos = len(text) if endpos is None else endpos
        self.octets += endpos - pos
        return self.hint.search(text, pos, endpos)


class Reading(Counting):
    """Counts only what a find has read, up to its end."""

    def search(self, text: bytes, pos: int = 0, endpos: int | None = None) -> Any:  # noqa: ANN401
        found = self.hint.search(text, pos, len(text) if endpos is None else endpos)
        self.octets += found.end() - pos if found else 0
        return found


@given(MESSAGES, st.sampled_from(["a", "ab", "\n", "a\nb", "b\na", "\xfc", "\x00", "xa"]),
       st.data())  # fmt: skip
def test_the_places_are_those_of_messages_that_have_it_themselves(
    messages: list[bytes], text: str, data: st.DataObject
) -> None:
    """Not those where it spans the border between two."""
    every = range(len(messages))
    places = data.draw(st.one_of(st.just(every), st.sets(st.sampled_from(every)).map(sorted))
                       if messages else st.just(every))  # fmt: skip
    wanted = text.encode()
    asked: list[int] = []

    def among(run: Sequence[int]) -> Sequence[int]:
        asked.extend(run)
        return [place for place in run if wanted in messages[place]]

    hint = compile_hint(hint_of_texts([text]))
    assert list(Joined(messages).select(hint, places, among)) == [
        place for place in places if wanted in messages[place]
    ]
    assert asked == sorted(set(asked)), "each once, and in order"
    assert set(asked) <= set(places)


def test_the_last_octets_of_a_message_count_wherever_a_leap_ends() -> None:
    hint = compile_hint(hint_of_texts(["end"]))
    for second in range(1, 300):
        messages = [b"the end" if place in (0, second) else b"." for place in range(300)]

        def among(run: Sequence[int], messages: list[bytes] = messages) -> Sequence[int]:
            return [place for place in run if messages[place] == b"the end"]

        assert list(Joined(messages).select(hint, range(300), among)) == [0, second]


def test_what_is_in_no_message_is_asked_of_none() -> None:
    def among(_: Sequence[int]) -> Sequence[int]:
        raise AssertionError

    hint = compile_hint(hint_of_texts(["needle"]))
    assert list(Joined([b"hay", b"need", b"le"] * 100).select(hint, range(300), among)) == []


@pytest.mark.parametrize("every", [1, 3, 10, 40, 1000])
@pytest.mark.parametrize("regex", ["(?s)a.*z", "(?s)a(.*z)?", "a"])
def test_a_hint_that_reads_far_beyond_what_it_finds_does_not_read_each_message_often(
    regex: str, every: int
) -> None:
    """Or the cost of a batch would grow with the square of its messages."""
    messages = [b"a" if n % every == 0 else b"." for n in range(4000)]
    messages[-1] = b"z"
    hint = Counting(compile_hint(hint_of_regex(regex)))
    asked = 0

    def among(run: Sequence[int]) -> Sequence[int]:
        nonlocal asked
        asked += len(run)
        return []

    Joined(messages).select(hint, range(len(messages)), among)
    assert hint.octets <= 8 * sum(len(message) + 1 for message in messages)
    assert asked <= len(messages)


@pytest.mark.parametrize("ends", [5, 16, 17, 40])
def test_finds_that_end_far_behind_read_a_batch_no_more_than_three_times(ends: int) -> None:
    """A sender may begin every message with what a find begins with, and end few."""
    messages = [b"a" + b"." * 20 + (b"z" if n % ends == ends - 1 else b"") for n in range(4000)]
    hint = Reading(compile_hint(hint_of_regex("(?s)a.*?z")))
    wanted = [n for n, message in enumerate(messages) if b"z" in message]

    def among(run: Sequence[int]) -> Sequence[int]:
        return [place for place in run if b"z" in messages[place]]

    assert list(Joined(messages).select(hint, range(len(messages)), among)) == wanted
    assert hint.octets <= 3.1 * sum(len(message) + 1 for message in messages)


def test_where_finds_are_far_from_each_other_little_is_asked() -> None:
    messages = [b"a" if n % 100 == 0 else b"." for n in range(4000)]
    asked = 0

    def among(run: Sequence[int]) -> Sequence[int]:
        nonlocal asked
        asked += len(run)
        return []

    Joined(messages).select(compile_hint(hint_of_texts(["a"])), range(4000), among)
    assert 40 <= asked <= 40 * 16


def test_few_messages_are_not_worth_it_nor_are_few_of_many() -> None:
    assert not worth_joining(1, 1)
    assert worth_joining(256, 256)
    assert worth_joining(256, 128)
    assert not worth_joining(256, 127)
