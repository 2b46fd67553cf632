"""The adaptive pause."""

import pytest

from relay.listeners.pause import BUSY_SECONDS, FULL_OCTETS, Pause


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
    ],
)
def test_pause(gap: float, messages: int, octets: int, pause: float) -> None:
    subject = Pause(0.005, 100)
    subject.after(messages, octets, 100.0)
    assert subject.after(messages, octets, 100.0 + gap) == pause


def test_the_first_turn_never_waits() -> None:
    assert Pause(0.005, 100).after(1, 99, 0.0) == 0.0


def test_what_is_full_is_the_callers_to_say() -> None:
    """Datagrams wait in the kernel alone, so that a turn that has emptied the socket may wait."""
    subject = Pause(0.005, 100, full_octets=FULL_OCTETS + 2)
    subject.after(1, 99, 100.0)
    assert subject.after(1, FULL_OCTETS + 1, 100.001) == 0.005
    assert subject.after(1, FULL_OCTETS + 2, 100.002) == 0.0
