"""The busiest senders: exact while there is room, and off by no more than is said when not."""

import random
import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from relay.core.senders import HALVED_SECONDS, TALKERS_MAX, TICK_SECONDS, Senders

MESSAGE = b"<13>1 2026-11-23T07:28:45Z h app - - - x"
DAYS = 86400.0


def look(senders: Senders, names: list[str], now: float = 0.0) -> None:
    senders.look([MESSAGE] * len(names), names, now)


def test_while_there_is_room_counts_are_exact() -> None:
    senders = Senders()
    look(senders, ["a"] * 5)
    look(senders, ["a", "b", "a", "c", "b"], 7.0)
    found = [(it.name, it.weight, it.error, it.messages, it.last) for it in senders.top(2)]
    assert found == [("a", 7, 0, 7, 7.0), ("b", 2, 0, 2, 7.0)]
    assert len(senders) == 3


def test_the_dialect_is_that_of_a_message_and_looked_for_once_in_a_while() -> None:
    senders = Senders()
    senders.look([b"<13>Nov 23 07:28:45 h su: x", MESSAGE], ["a", "b"], 0.0)
    assert {it.name: it.dialect for it in senders.top(9)} == {"a": "rfc3164", "b": "rfc5424"}
    senders.tick(0.0)
    senders.look([MESSAGE], ["a"], 1.0)
    assert senders.top(1)[0].dialect == "rfc3164"
    senders.tick(TICK_SECONDS)
    senders.look([MESSAGE], ["a"], TICK_SECONDS)
    assert senders.top(1)[0].dialect == "rfc5424"


def test_rates_follow_what_comes() -> None:
    senders = Senders()
    senders.tick(0.0)
    for second in range(1, 301):
        look(senders, ["a"] * (100 if second <= 120 else 10), float(second))
        senders.tick(float(second))
        if second == 120:
            assert 95 < senders.top(1)[0].rate < 101
    assert 10 <= senders.top(1)[0].rate < 20


def test_who_was_busy_makes_room_in_time() -> None:
    """Halving takes what is weighed, not what was counted."""
    senders = Senders(talkers_max=2)
    senders.tick(0.0)
    look(senders, ["old"] * 1000 + ["b"])
    now = 0.0
    while any(it.name == "old" for it in senders.top(2)):
        now += HALVED_SECONDS
        assert now < DAYS
        senders.tick(now)
        look(senders, ["b"] * 4 + ["c"] * 4, now)
    assert {it.name for it in senders.top(2)} == {"b", "c"}
    assert senders.total < 40


@given(
    st.lists(st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=9), max_size=40),
    st.integers(1, 5),
)
def test_no_count_is_further_off_than_is_said(batches: list[list[str]], places: int) -> None:
    senders = Senders(talkers_max=places)
    true: Counter[str] = Counter()
    for batch in batches:
        look(senders, batch)
        true.update(batch)
        found = {it.name: it for it in senders.top(places)}
        assert len(senders) <= places
        assert senders.total == true.total()
        for name, talker in found.items():
            assert talker.weight - talker.error <= true[name] <= talker.weight
            assert talker.error <= senders.total / places
        missed = [number for name, number in true.items() if name not in found]
        assert not missed or max(missed) <= senders.total / places


def test_a_million_senders_take_bounded_memory_and_hide_no_busy_one() -> None:
    """Addresses are forged at will over UDP; twenty real senders go on among them."""
    senders = Senders()
    uniform = random.Random(1)
    true: Counter[str] = Counter()
    busy = [f"192.0.2.{number}" for number in range(20)]
    for batch in range(2000):
        if batch == 1900:  # from here on every place changes hands many times
            tracemalloc.start()
        names = [f"{(batch * 500 + place):#x}" for place in range(500)]
        for number, name in enumerate(busy):
            names += [name] * (3 + number)
        uniform.shuffle(names)
        look(senders, names, batch / 1000)
        true.update(name for name in names if name in busy)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(senders) == TALKERS_MAX
    assert used < 1 << 20
    top = senders.top(20)
    assert sorted(it.name for it in top) == sorted(busy)
    for talker in top:
        assert abs(talker.weight - true[talker.name]) <= senders.total / TALKERS_MAX
