from hypothesis import given
from hypothesis import strategies as st

from relay.destinations.doubt import KEPT_OCTETS, STEP_OCTETS, Doubt


def test_nothing_delivered_is_nothing_in_doubt() -> None:
    assert Doubt().within(1 << 20) == 0


def test_of_little_that_was_delivered_all_is_in_doubt() -> None:
    doubt = Doubt()
    doubt.add(1000, 10)
    doubt.add(1000, 5)
    assert doubt.within(1 << 20) == 15
    assert doubt.within(0) == 0


deliveries = st.lists(st.tuples(st.integers(1, 200_000), st.integers(1, 500)), min_size=1)


@given(deliveries, st.integers(0, 10_000_000))
def test_the_last_octets_and_no_more_than_a_step_beyond(
    delivered: list[tuple[int, int]], octets: int
) -> None:
    """Never fewer than really end there: what is in doubt is not to be understated."""
    doubt = Doubt()
    end = 0
    ends = []
    for size, messages in delivered:
        doubt.add(size, messages)
        end += size
        ends.append((end, messages, size))
    within = doubt.within(octets)
    assert within >= sum(messages for at, messages, _ in ends if at > end - octets)
    slack = STEP_OCTETS + max(size for _, _, size in ends)
    assert within <= sum(messages for at, messages, _ in ends if at > end - octets - slack)


def test_memory_of_what_was_delivered_is_bounded() -> None:
    doubt = Doubt()
    for _ in range(10 * KEPT_OCTETS // 4096):
        doubt.add(4096, 16)
    assert len(doubt._steps) <= KEPT_OCTETS // STEP_OCTETS + 1
    assert doubt.within(KEPT_OCTETS) >= KEPT_OCTETS // 256
