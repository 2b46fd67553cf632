from collections.abc import Sequence

import pytest

from relay.destinations.silence import Silence
from tests.destinations.fakes import FakeConnection

DEAD = "peer is dead: its kernel has not answered for 30 s"


class Clock:
    seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    def wall_ns(self) -> int:
        return 0


def answers(silences: Sequence[float]) -> list[str]:
    """What a look a second says, given what our kernel says of the peer's at each."""
    clock, connection = Clock(), FakeConnection()
    silence = Silence(connection, clock, 30.0)
    found = []
    for connection.silent in silences:
        found.append(silence.look())
        clock.seconds += 1
    return found


@pytest.mark.parametrize(
    ("silences", "dead_at"),
    [
        ([0.0] * 3600, None),
        ([float(second) for second in range(3600)], 31),  # nothing is asked at first
        ([100.0 + second for second in range(60)], 30),  # asked after a long rest
        ([(second % 29) + 1.0 for second in range(3600)], None),  # answers come in the end
        ([60.0, 0.0] * 1800, None),  # window probes a minute apart, each answered in time
        ([60.0, 61.0, 62.0, 0.0] * 900, None),
        ([*([120.0] * 20), *([0.1] * 20), *([120.0] * 20)], None),  # asked, answered, asked
    ],
)
def test_only_what_is_asked_in_vain_for_long_is_dead(
    silences: Sequence[float], dead_at: int | None
) -> None:
    found = answers(silences)
    if dead_at is None:
        assert not any(found)
    else:
        assert found.index(DEAD) == dead_at


def test_a_short_silence_does_not_last() -> None:
    clock, connection = Clock(), FakeConnection()
    silence = Silence(connection, clock, 30.0)
    connection.silent = 1.0
    assert not silence.look()
    assert not silence.lasts
    clock.seconds += 3
    connection.silent = 4.0
    assert not silence.look()
    assert silence.lasts
    connection.silent = 0.0
    assert not silence.look()
    assert not silence.lasts


def test_a_broken_connection_is_named() -> None:
    connection = FakeConnection()
    connection.reset()
    assert Silence(connection, Clock(), 30.0).look() == "connection reset by peer"
