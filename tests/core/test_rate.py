"""Token buckets, for one or for each sender."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core import rate
from relay.core.rate import Bucket, Buckets, Limit, parse_rate


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1000/s", 1000.0), ("30/m", 0.5), ("30 / min", 0.5), ("36/h", 0.01), ("0.5/s", 0.5)],
)
def test_a_rate_is_messages_a_second(text: str, expected: float) -> None:
    assert parse_rate(text) == pytest.approx(expected)


@pytest.mark.parametrize("value", ["1000", "0/s", "-1/s", "1/d", "x/s", 1000, 1.5, True, None, ""])
def test_what_is_no_rate(value: object) -> None:
    with pytest.raises(ValueError, match="expected a rate such as"):
        parse_rate(value)


@pytest.mark.parametrize(
    ("rate_limit", "burst", "expected"),
    [(None, None, None), (5.0, None, Limit(5.0, 5)), (0.1, None, Limit(0.1, 1)),
     (5.0, 100, Limit(5.0, 100))],
)  # fmt: skip
def test_a_burst_is_a_second_by_default(
    rate_limit: float | None, burst: int | None, expected: Limit | None
) -> None:
    assert Limit.of(rate_limit, burst) == expected


@given(
    st.floats(0.01, 1e5),
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 10), st.integers(0, 500)), max_size=50),
)
def test_never_more_than_burst_and_rate_and_never_less_than_is_there(
    per_second: float, burst: int, sends: Sequence[tuple[float, int]]
) -> None:
    bucket = Bucket(Limit(per_second, burst), burst, 0.0)
    now, granted = 0.0, 0
    for pause, messages in sends:
        now += pause
        before = bucket.tokens + pause * per_second
        taken = bucket.take(messages, now)
        granted += taken
        assert taken <= messages
        assert taken == messages or taken >= int(min(before, burst) - 1e-3)
        assert granted <= burst + now * per_second + 1e-3


def test_what_is_charged_beyond_the_tokens_is_waited_for() -> None:
    bucket = Bucket(Limit(10.0, 5), 5, 0.0)
    assert bucket.wait(0.0) == 0
    bucket.charge(25, 0.0)
    assert bucket.wait(0.0) == pytest.approx(2.1)
    assert bucket.take(1, 2.0) == 0
    assert bucket.wait(2.1) == 0
    assert bucket.take(3, 2.1) == 1
    assert bucket.take(9, 1000.0) == 5


def test_each_sender_has_a_bucket_and_the_longest_unheard_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate, "SENDERS_MAX", 3)
    buckets = Buckets(Limit(1.0, 5))
    for sender in ("a", "b", "c"):
        assert buckets.of(sender, 0.0).take(9, 0.0) == 5
    assert buckets.of("a", 0.0).take(9, 0.0) == 0
    for sender in "defgh":
        assert buckets.of(sender, 0.0).take(1, 0.0) == 1
        assert buckets.of("a", 0.0).take(1, 0.0) == 0  # heard all the time: it stays
        assert len(buckets) == 3
    assert buckets.of("b", 0.0).take(9, 0.0) == 5
