"""Clocks of senders: measured now and then, of a bounded number of senders, the worst ones."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import skew
from relay.core.skew import Skews
from relay.wire.timestamp import rfc3339, zone

NS = 10**9
NOW = 1795418925 * NS  # 2026-11-23T07:28:45
UTC = zone("UTC")


def saying(seconds: float) -> bytes:
    """A message whose sender is ahead by so much."""
    return b"<13>1 %b h a - - - x" % rfc3339(NOW + round(seconds * NS), 9)


def look(skews: Skews, sender: str, seconds: float, *, after_ns: int = 0) -> None:
    message = b"<13>1 %b h a - - - x" % rfc3339(NOW + after_ns + round(seconds * NS), 9)
    skews.look([message], [sender], NOW + after_ns, UTC)


@pytest.mark.parametrize("seconds", [0.0, 0.25, -0.25, 3600.0, -86400.0 * 400])
def test_a_clock_ahead_is_positive_and_one_behind_negative(seconds: float) -> None:
    skews = Skews()
    look(skews, "a", seconds)
    assert skews.seconds(NOW) == {"a": pytest.approx(seconds)}


@pytest.mark.parametrize(
    ("message", "name", "seconds"),
    [
        (b"<13>Nov 23 07:28:40 h su: x", "UTC", -5),
        (b"<13>Nov 23 08:28:45 h su: x", "Europe/Berlin", 0),
        (b"<13>Nov 23 07:28:45 h su: x", "Europe/Berlin", -3600),  # the wrong zone is seen
        (b"<189>4: .Nov 23 07:28:46.500 UTC: %SYS-5-X: x", "local", 1.5),
        (b'<189>date=2026-11-23 time=07:28:45 devname=fw1 tz="-0100"', "UTC", 3600),
    ],
)
def test_every_stamp_tells(message: bytes, name: str, seconds: float) -> None:
    skews = Skews()
    skews.look([message], ["a"], NOW, zone(name))
    assert skews.seconds(NOW) == {"a": pytest.approx(seconds)}


@pytest.mark.parametrize(
    "message", [b"", b"x", b"<13>1 - h a - - - x", b"<189>82: 00:20:10: %S-5-X"]
)
def test_without_a_stamp_nothing_is_said(message: bytes) -> None:
    skews = Skews()
    skews.look([message], ["a"], NOW, UTC)
    assert skews.seconds(NOW) == {}


def test_a_sender_is_measured_once_in_a_period() -> None:
    skews = Skews()
    look(skews, "a", 1)
    look(skews, "a", 2, after_ns=skew.PERIOD_NS - 1)
    assert skews.seconds(NOW) == {"a": 1}
    look(skews, "a", 2, after_ns=skew.PERIOD_NS)
    assert skews.seconds(NOW) == {"a": 2}


def test_a_clock_of_ours_that_goes_back_begins_a_period() -> None:
    skews = Skews()
    look(skews, "a", 1)
    look(skews, "a", 2, after_ns=-1)
    assert skews.seconds(NOW) == {"a": 2}


class Looked(list[bytes]):
    """Messages, and how many of them were looked at."""

    looks = 0

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as the list has it
        self.looks += 1
        return super().__getitem__(index)


def test_of_a_large_batch_a_few_messages_are_looked_at() -> None:
    skews = Skews()
    messages = Looked([saying(1)] * 1000)
    skews.look(messages, [str(n) for n in range(1000)], NOW, UTC)
    assert messages.looks == len(skews.seconds(NOW)) == skew.LOOKS_MAX
    messages = Looked([saying(1)] * 1000)
    skews.look(messages, ["a"] * 1000, NOW, UTC)
    assert messages.looks == 1


def test_every_place_of_a_batch_is_looked_at_in_time() -> None:
    skews = Skews()
    senders = [str(n) for n in range(60)]
    for turn in range(60):
        skews.look([saying(0)] * 60, senders, NOW + turn * 1000, UTC)
    assert set(skews.seconds(NOW)) == set(senders)


def test_the_worst_are_kept_and_places_do_not_change_for_less_than_a_second() -> None:
    skews = Skews()
    for n in range(skew.SENDERS_MAX):
        look(skews, f"good {n}", n / 1000)
    before = skews.seconds(NOW)
    look(skews, "hardly worse", 0.9)
    assert skews.seconds(NOW) == before
    look(skews, "worse", -90)
    assert skews.seconds(NOW) == {**{it: s for it, s in before.items() if it != "good 0"},
                                  "worse": -90}  # fmt: skip
    look(skews, "good 1", 0, after_ns=skew.PERIOD_NS)  # who has a place keeps it
    assert skews.seconds(NOW)["good 1"] == 0


def test_who_is_silent_is_forgotten() -> None:
    skews = Skews()
    look(skews, "a", 1)
    assert skews.seconds(NOW + skew.FORGET_NS) == {"a": 1}
    assert skews.seconds(NOW + skew.FORGET_NS + 1) == {}
    look(skews, "a", 1)
    look(skews, "b", 1, after_ns=skew.FORGET_NS + 1)
    assert skews.seconds(NOW + skew.FORGET_NS + 1) == {"b": 1}


def test_names_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(skew, "MEASURED_MAX", 100)
    skews = Skews()
    for n in range(1000):
        look(skews, str(n), n * 10)
    assert len(skews._done) == 100
    assert len(skews._seconds) == len(skews._measured_ns) == skew.SENDERS_MAX
    assert min(skews._seconds.values()) == (100 - skew.SENDERS_MAX) * 10


@given(st.lists(st.tuples(st.binary(max_size=40), st.text(max_size=2)), min_size=1, max_size=40))
def test_any_batch_can_be_looked_at(batch: list[tuple[bytes, str]]) -> None:
    messages, senders = zip(*batch, strict=True)
    skews = Skews()
    skews.look(messages, senders, NOW, zone("local"))
    assert set(skews.seconds(NOW)) <= set(senders)
