"""The adaptive pause."""

import pytest

from relay.listeners.pause import BUSY_SECONDS, FULL_OCTETS, SECONDS_MIN, Pause


@pytest.mark.parametrize(
    ("gap", "messages", "octets", "pause"),
    [
        pytest.param(10.0, 1, 99, 0.0, id="a message that comes alone is handed on at once"),
        pytest.param(0.001, 1, 99, 0.005, id="a trickle waits for a batch to form"),
        pytest.param(0.001, 100, 99, 0.0, id="a full turn goes on at once"),
        pytest.param(0.001, 9, FULL_OCTETS, 0.0, id="so does one of few but large messages"),
        pytest.param(
            BUSY_SECONDS * 1.01, 1, 99, 0.0, id="turns far apart gain nothing from waiting"
        ),
        pytest.param(0.0095, 1, 99, 0.0, id="as those of 100 messages a second are"),
    ],
)
def test_pause(gap: float, messages: int, octets: int, pause: float) -> None:
    subject = Pause(0.005, 100)
    subject.after(messages, octets, 90.0, 100.0)
    assert subject.after(messages, octets, 100.0 + gap, 110.0 + gap) == pause


def test_the_first_turn_never_waits() -> None:
    assert Pause(0.005, 100).after(1, 99, 0.0, 0.1) == 0.0


def test_what_is_full_is_the_callers_to_say() -> None:
    """Datagrams wait in the kernel alone, so that a turn that has emptied the socket may wait."""
    subject = Pause(0.005, 100, full_octets=FULL_OCTETS + 2)
    subject.after(1, 99, 100.0, 100.0)
    assert subject.after(1, FULL_OCTETS + 1, 100.001, 100.001) == 0.005
    assert subject.after(1, FULL_OCTETS + 2, 100.002, 100.002) == 0.0


def test_a_pause_that_a_turn_was_full_behind_was_too_long() -> None:
    """The next is half of it, as short as a task can sleep, and grows again behind small turns."""
    subject = Pause(0.005, 100)
    subject.after(1, 99, 100.0, 100.0)
    turns = (1, 100, 1, 100, 1, 100, 1, 100, 1, 1, 1, 1)
    pauses = [subject.after(messages, 99, 100.001, 100.001) for messages in turns]
    shorter = [0.005, 0.0, 0.0025, 0.0, 0.00125, 0.0, SECONDS_MIN, 0.0]
    assert pauses == [*shorter, SECONDS_MIN, 0.002, 0.004, 0.005]


def test_a_full_turn_that_no_pause_was_before_says_nothing_of_it() -> None:
    subject = Pause(0.005, 100)
    subject.after(1, 99, 100.0, 100.0)
    for messages in (100, 100, 100):
        assert subject.after(messages, 99, 100.001, 100.001) == 0.0
    assert subject.after(1, 99, 100.002, 100.002) == 0.005


def test_a_pause_is_never_longer_than_it_may_be() -> None:
    """Also where that is shorter than a task can sleep: a small buffer for datagrams."""
    subject = Pause(SECONDS_MIN / 2, 100)
    subject.after(1, 99, 100.0, 100.0)
    for messages in (1, 100, 1, 1):
        assert subject.after(messages, 99, 100.001, 100.001) in (0.0, SECONDS_MIN / 2)
