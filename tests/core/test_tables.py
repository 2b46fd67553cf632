"""Tables decided for a batch at once choose what deciding for each message alone would."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.core.batch import Batch
from relay.core.match import Match, Views
from relay.core.pattern import compile_pattern, one_of
from relay.core.tables import Tables
from relay.wire.message import view
from tests.core.parts import RECEIVED_NS, make_batch

WORDS = ["ab", "ba", "b", "aab", "\n", "a\nb", "ü", "grün", "<1", "su"]
HEADS = [
    b"", b"<38>Oct 11 22:14:15 web1 su[230]: ", b"<165>1 2003-10-11T22:14:15Z Web1 SUdo - - - ",
    b"<11>1 - db-\xfc b - - - ", "<11>1 - Öl b - - - ".encode(),
    b"<0>", b"<999>", b"<191>Oct 11 22:14:15 abba cron: ",
]  # fmt: skip
TEXTS = st.lists(
    st.sampled_from([b"a", b"b", b"\n", "ü".encode(), b"\xfc", b"gr", b"n", b" "]), max_size=5
).map(b"".join)
MESSAGES = st.lists(
    st.builds(bytes.__add__, st.sampled_from(HEADS), TEXTS), min_size=1, max_size=40
)


def some(values: Sequence[Any], most: int = 2) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=most)


FLAT: dict[str, st.SearchStrategy[Any]] = {
    "facility": some([0, 1, 4, 20]),
    "severity": st.sampled_from([2, 5, 6]),
    "contains": some(WORDS, 3),
    "program": some(["su", "sudo", "su*", "b", "?", "*", "cr?n"]),
    "host": some(["web1", "web*", "*b*", "db-*", "*1", "Öl*", "öl"]),
    "regex": st.sampled_from(
        ["a.b", "^<38>", "b$", r"\bb", r"\Ab", r"b\z", "(?s)a.*b", "(?i)SU", "$"]
    ),
    "sender": st.just(["192.0.2.0/25"]),
    "listener": st.sampled_from([["net"], ["edge"]]),
}  # fmt: skip
TABLES = st.fixed_dictionaries({}, optional=FLAT)
NESTED = st.one_of(TABLES, st.builds(lambda table, inner: {**table, "not": inner}, TABLES, TABLES))


def holds(table: dict[str, Any], message: bytes, sender: str) -> bool:
    """The oracle: one message, and key by key as the documentation has them."""
    header = view(message)
    last = int(sender.rpartition(".")[2])
    keys: dict[str, Any] = {
        "facility": lambda names: header.facility in names,
        "severity": lambda worst: header.severity <= worst,
        "contains": lambda texts: any(text.encode() in message for text in texts),
        "program": lambda names: one_of(names)(header.program),
        "host": lambda names: one_of(names)(header.host),
        "regex": lambda regex: compile_pattern(regex).search(message) is not None,
        "sender": lambda _: last < 128,
        "listener": lambda names: "net" in names,
        "not": lambda inner: not holds(inner, message, sender),
    }
    return all(keys[key](wanted) for key, wanted in table.items())


def check(tables: list[dict[str, Any]], messages: list[bytes]) -> None:
    senders = [f"192.0.2.{(n * 37) % 256}" for n in range(len(messages))]
    views = Views(Batch.of(messages, senders, "net", RECEIVED_NS))
    for _ in range(2):  # what has been read once gives the same answer
        chosen = Tables([Match.model_validate(it) for it in tables]).select(
            views, range(len(messages))
        )
        assert list(chosen) == [
            place
            for place, message in enumerate(messages)
            if not tables or any(holds(table, message, senders[place]) for table in tables)
        ]


@given(st.lists(NESTED, max_size=6), MESSAGES)
def test_any_tables_choose_what_each_message_alone_would(
    tables: list[dict[str, Any]], messages: list[bytes]
) -> None:
    check(tables, messages)


@settings(max_examples=50)
@given(st.lists(st.fixed_dictionaries({"contains": some(WORDS)}), min_size=4, max_size=8),
       st.integers(0, 300), MESSAGES)  # fmt: skip
def test_tables_asked_for_together_choose_the_same_where_hardly_any_message_matches(
    tables: list[dict[str, Any]], before: int, messages: list[bytes]
) -> None:
    check(tables, [b"<14>." for _ in range(before)] + messages)


@pytest.mark.parametrize("count", [1, 3, 4, 99, 100, 101, 250])
def test_of_any_number_of_texts_each_is_found(count: int) -> None:
    tables = [{"contains": [f"text-{n:03}"]} for n in range(count)]
    for found in {0, count // 2, count - 1}:
        check(tables, [b"<14>nothing"] * 30 + [b"<14>a text-%03d" % found] + [b"<14>text-"] * 30)


@pytest.mark.parametrize("octets", [10, 100, 900, 5000])
def test_of_any_length_of_texts_each_is_found(octets: int) -> None:
    """Also where there are more than one hint may ask for."""
    texts = [f"{n:03}".rjust(octets, ".") for n in range(12)]
    for found in (0, 5, 11):
        messages = [b"<14>nothing"] * 30 + [b"<14>" + texts[found].encode()] + [b"<14>."] * 30
        check([{"contains": [text]} for text in texts], messages)


def test_each_message_is_chosen_once_and_in_order() -> None:
    messages = [b"<14>b", b"<14>a", b"<14>ab", b"<14>"] * 5
    tables = Tables([Match(contains=(text,)) for text in ("a", "b", "ab", "14>a", "<")])
    chosen = tables.select(Views(make_batch(*messages)), range(3, 20))
    assert list(chosen) == list(range(3, 20))


def test_without_a_table_all_are_chosen() -> None:
    assert Tables([]).select(Views(make_batch(b"a", b"b")), range(2)) == range(2)


def test_a_table_does_not_choose_beyond_the_places() -> None:
    views = Views(make_batch(*[b"<14>a"] * 10))
    assert list(Tables([Match(contains=("a",))]).select(views, [2, 5, 7])) == [2, 5, 7]
