"""What is less severe is dropped when a pipe fills up."""

import pytest
from pydantic import ValidationError

from relay.core.backlog import Backlog
from relay.core.bounds import Bounds
from relay.core.match import Views
from relay.core.memory import MESSAGE_OVERHEAD, Memory
from relay.core.shed import Shed, Shedding, fullness
from tests.core.parts import make_batch, make_channel, numbered

MESSAGES = make_batch(b"<11>err", b"<12>warning", b"<13>notice", b"none", b"<15>debug")


def severe(shedding: Shedding, full: float) -> list[int]:
    return list(shedding.keep(Views(MESSAGES), range(5), full))


def test_it_begins_at_one_point_and_ends_at_another() -> None:
    shedding = Shedding(Shed.model_validate({"below": "warning", "at": 0.8, "until": 0.5}))
    steps = [(0.79, 5), (0.8, 2), (0.7, 2), (0.5, 2), (0.49, 5), (0.7, 5), (1.2, 2), (0.0, 5)]
    assert [(full, len(severe(shedding, full))) for full, _ in steps] == steps


def test_it_ends_at_three_quarters_by_default() -> None:
    shedding = Shedding(Shed.model_validate({"below": "err", "at": 0.4}))
    assert [len(severe(shedding, full)) for full in (0.4, 0.31, 0.29)] == [1, 1, 5]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(10, 1 << 30), 0.5),
        (Bounds(1 << 20, 10 * (MESSAGE_OVERHEAD + 1)), 0.5),
        (Bounds(5, 1 << 30), 1.0),
    ],
)
def test_a_channel_is_as_full_as_the_bound_that_is_nearest(bounds: Bounds, expected: float) -> None:
    channel = make_channel(bounds)
    assert fullness(channel) == 0
    channel.put(numbered(0, 5))
    assert fullness(channel) == pytest.approx(expected)
    assert channel.full == (expected == 1)


def test_a_channel_is_full_when_the_memory_of_all_is() -> None:
    channel = make_channel(memory=Memory(100))
    channel.put(numbered(0, 5))
    assert channel.full
    assert fullness(channel) == 1


def test_a_channel_with_a_spool_is_as_full_as_its_disk_or_as_what_waits_for_it() -> None:
    channel = make_channel(Bounds(1, 1000))
    backlog = channel.backlog = Backlog("always", octets_max=1000, active=True)
    assert fullness(channel) == 0
    backlog.octets = 300
    assert fullness(channel) == pytest.approx(0.3)
    backlog.unwritten_octets = 700
    assert channel.full
    assert fullness(channel) == 1
    backlog.octets, backlog.octets_max = 0, 100_000
    assert fullness(channel) == pytest.approx(0.7)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "below"),
        ({"below": "worst"}, "unknown severity"),
        ({"below": "err", "at": 0}, "greater than or equal to 0.01"),
        ({"below": "err", "at": 1.1}, "less than or equal to 1"),
        ({"below": "err", "until": 0.9}, "0.9 is not less than at, which is 0.8"),
    ],
)
def test_what_is_no_shed(keys: dict[str, object], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Shed.model_validate(keys)
