"""Upstreams: what is told of them, when, and what many or hostile ones can cost."""

from collections.abc import Iterable

import pytest

from relay.core.numbering import HOLES_MAX
from relay.core.upstreams import (
    LABELS_MAX,
    OTHER,
    REORDER_SECONDS,
    UPSTREAMS_MAX,
    HopCounts,
    Upstreams,
)

EPOCH = "5f3ac0de9b1f2a44"
LATER = "5f3ac0de9b1f2a45"


def stamped(
    numbers: Iterable[int], upstream: str = "edge01/hub", epoch: str = EPOCH
) -> list[bytes]:
    head = b"<13>1 2026-11-23T07:28:45Z h app - - "
    return [
        head + f'[relay@32473 hop="{upstream}/{epoch}/{number}"] x'.encode() for number in numbers
    ]


def counts(**changes: int) -> dict[str, int]:
    return dict.fromkeys(HopCounts.__slots__, 0) | changes


def seen(upstreams: Upstreams, name: str = "edge01/hub") -> dict[str, int]:
    found = upstreams.counts[name]
    return {it: getattr(found, it) for it in HopCounts.__slots__}


def test_what_comes_in_order_is_only_counted() -> None:
    upstreams = Upstreams()
    assert upstreams.look([*stamped(range(7, 10)), b"<13>no record"], 0.0) == 3
    upstreams.look(stamped(range(10, 20)), 1.0)
    assert upstreams.due(100.0) == []
    assert seen(upstreams) == counts(received=13)


def test_a_gap_is_told_with_its_numbers_once_it_can_not_be_filled() -> None:
    upstreams = Upstreams()
    upstreams.look(stamped([1, 2, 6, 8]), 0.0)
    assert upstreams.due(REORDER_SECONDS - 0.1) == []
    assert upstreams.due(REORDER_SECONDS) == ["upstream edge01/hub: missing 4 messages: 3 to 5, 7"]
    assert upstreams.due(REORDER_SECONDS + 1) == []
    assert seen(upstreams) == counts(received=4, gaps=2, missing=4)
    upstreams.look(stamped([4]), REORDER_SECONDS + 2)
    assert seen(upstreams) == counts(received=5, gaps=2, missing=4, late=1)


def test_what_is_overtaken_is_no_gap() -> None:
    """Two connections, or UDP."""
    upstreams = Upstreams()
    upstreams.look(stamped([1, 4, 5]), 0.0)
    upstreams.look(stamped([3, 2]), 5.0)
    assert upstreams.due(100.0) == []
    assert seen(upstreams) == counts(received=5)


def test_what_comes_again_is_told_at_once() -> None:
    upstreams = Upstreams()
    upstreams.look(stamped(range(1, 101)), 0.0)
    upstreams.look(stamped(range(90, 103)), 1.0)
    assert upstreams.due(1.0) == ["upstream edge01/hub: received again 11 messages: 90 to 100"]
    assert seen(upstreams) == counts(received=113, duplicates=11)


def test_an_episode_is_told_once_a_minute_and_at_its_end() -> None:
    upstreams = Upstreams()
    upstreams.look(stamped([1, 1]), 0.0)
    told = {0: upstreams.due(0.0)}
    for second in range(1, 130):
        if second <= 100:
            upstreams.look(stamped([1]), float(second))
        if texts := upstreams.due(float(second)):
            told[second] = texts
    again = "upstream edge01/hub: received again"
    assert told == {
        0: [f"{again} 1 message: 1"],
        60: [f"{again} 60 messages: {', '.join(['1'] * 16)} and 44 more"],
        110: [f"{again} 40 messages: {', '.join(['1'] * 16)} and 24 more"],
    }
    upstreams.look(stamped([1]), 130.0)
    assert len(upstreams.due(130.0)) == 1, "a new episode"


def test_an_epoch_that_goes_on_is_nothing_to_tell() -> None:
    """After a reboot, mostly."""
    upstreams = Upstreams()
    upstreams.look(stamped([1, 2]), 0.0)
    upstreams.look(stamped([3, 4], epoch=LATER), 1.0)
    assert upstreams.due(20.0) == []


def test_epochs_of_one_batch_are_booked_in_their_order() -> None:
    """The second one ends a run of its own before that of the first is over."""
    upstreams = Upstreams()
    upstreams.look([*stamped([1, 2]), *stamped([3, 4, 4, 5], epoch=LATER)], 0.0)
    assert upstreams.due(20.0) == ["upstream edge01/hub: received again 1 message: 4"]
    assert seen(upstreams) == counts(received=6, duplicates=1)


@pytest.mark.parametrize("first", [3, 9, 11, 1000])
def test_numbers_that_begin_anew_are_told_and_neither_gap_nor_duplicates(first: int) -> None:
    """Where the numbers of another epoch begin says nothing of how many there were before."""
    upstreams = Upstreams()
    upstreams.look(stamped([8, 9]), 0.0)
    upstreams.look(stamped([first, first + 1], epoch=LATER), 1.0)
    assert upstreams.due(20.0) == [
        f"upstream edge01/hub: numbers begin anew at {first} after 9: "
        "what was lost in between is not known"
    ]
    assert seen(upstreams) == counts(received=4, renumbered=1)


def test_the_rest_is_told_at_the_end() -> None:
    upstreams = Upstreams()
    upstreams.look(stamped([1, 3, 3]), 0.0)
    assert upstreams.rest(0.1) == [
        "upstream edge01/hub: missing 1 message: 2",
        "upstream edge01/hub: received again 1 message: 3",
    ]
    assert upstreams.rest(0.2) == []


def test_many_upstreams_are_bounded_and_share_counters() -> None:
    upstreams = Upstreams()
    for number in range(1000):
        upstreams.look(stamped([1, 1], f"edge{number}/hub"), 0.0)
    assert len(upstreams.known) == UPSTREAMS_MAX
    assert len(upstreams.counts) == LABELS_MAX + 1
    assert seen(upstreams, "edge0/hub") == counts(received=2, duplicates=1)
    assert seen(upstreams, OTHER)["received"] == 2 * (1000 - LABELS_MAX)


def test_an_upstream_that_speaks_is_not_forgotten_for_those_that_do_not() -> None:
    upstreams = Upstreams()
    for number in range(1000):
        upstreams.look(stamped([number]), 0.0)
        upstreams.look(stamped([1], f"other{number}/hub"), 0.0)
    assert seen(upstreams) == counts(received=1000)
    assert upstreams.due(0.0) == []


def test_what_is_missing_of_one_that_makes_room_is_told() -> None:
    upstreams = Upstreams()
    upstreams.look(stamped([1, 5]), 0.0)
    for number in range(UPSTREAMS_MAX):
        upstreams.look(stamped([1], f"other{number}/hub"), 1.0)
    assert upstreams.due(1.0) == ["upstream edge01/hub: missing 3 messages: 2 to 4"]
    assert upstreams.due(2.0) == []
    for number in range(1000):
        upstreams.look(stamped([1, 5], f"more{number}/hub"), 3.0)
    assert len(upstreams.due(3.0)) == UPSTREAMS_MAX


def test_a_hostile_name_stays_in_its_line() -> None:
    upstreams = Upstreams()
    name = b"a\n<0>\x1b[2J\xff/p"
    opening = b'<13>1 - h app - - [relay@32473 hop="' + name + b"/" + EPOCH.encode()
    upstreams.look([opening + b'/1"]', opening + b'/1"]'], 0.0)
    assert upstreams.due(0.0) == ["upstream a#012<0>#033[2J#377/p: received again 1 message: 1"]
    assert "a#012<0>#033[2J#377/p" in upstreams.counts


def test_hostile_numbers_cost_no_memory() -> None:
    upstreams = Upstreams()
    upstreams.look(stamped(range(0, 40_000, 2)), 0.0)
    upstreams.look(stamped([10**20 - 1]), 0.0)
    upstreams.look(stamped(range(0, 40_000, 2)), 0.0)
    (known,) = upstreams.known
    (numbering,) = known.epochs.values()
    assert len(numbering.fresh) <= 2 * HOLES_MAX
    assert len(numbering.given_up) <= HOLES_MAX
    assert seen(upstreams)["duplicates"] == 20_000
