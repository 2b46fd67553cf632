"""Who gets a place among the connections, and who has to go."""

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from relay.admin import admission
from relay.admin.admission import (
    ADDRESS_MAX,
    CONNECTIONS_MAX,
    LOCAL,
    LOCAL_MAX,
    Admission,
)
from relay.admin.lifetime import Lifetime


def lifetime(idle_since: float = 0.0, requests: int = 0) -> Lifetime:
    made = Lifetime(trio.CancelScope())
    made.idle_since, made.requests = idle_since, requests
    return made


async def test_the_one_that_is_idle_for_longest_makes_room() -> None:
    hall = Admission()
    there = [lifetime(float(n), requests=int(n == 0)) for n in range(ADDRESS_MAX)]
    assert all(hall.admit("192.0.2.1", it) for it in there)
    assert hall.admit("192.0.2.1", lifetime(100.0))
    assert [it.scope.cancel_called for it in there].index(True) == 1  # the first one is at work
    assert (len(hall), hall.refused) == (ADDRESS_MAX, 1)


async def test_where_nobody_is_idle_the_new_one_goes() -> None:
    hall = Admission()
    for _ in range(ADDRESS_MAX):
        assert hall.admit("192.0.2.1", lifetime(requests=1))
    assert not hall.admit("192.0.2.1", lifetime())
    assert hall.admit("192.0.2.2", lifetime())
    assert hall.admit(LOCAL, lifetime())


async def test_in_a_full_house_it_is_one_of_whoever_has_the_most() -> None:
    hall = Admission()
    first = lifetime(-1.0)
    assert hall.admit("192.0.2.9", first)
    for n in range(CONNECTIONS_MAX - LOCAL_MAX - 1):
        assert hall.admit(f"192.0.2.{n % 2}", lifetime(float(n)))
    assert hall.admit("192.0.2.8", lifetime())
    assert not first.scope.cancel_called
    assert hall.refused == 1


async def test_one_ipv6_network_is_one_address() -> None:
    hall = Admission()
    for n in range(ADDRESS_MAX):
        assert hall.admit(f"2001:db8::{n:x}", lifetime(requests=1))
    assert not hall.admit("2001:db8::ffff:1", lifetime())
    assert hall.admit("2001:db8:0:1::1", lifetime())


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", "d", LOCAL]), st.booleans())))
def test_the_limits_hold_whoever_comes(comers: list[tuple[str, bool]]) -> None:
    async def come() -> None:
        hall = Admission()
        for place, (address, busy) in enumerate(comers * 20):
            hall.admit(address, lifetime(float(place), int(busy)))
            groups = list(hall._open.values())
            assert groups.count(LOCAL) <= LOCAL_MAX
            assert len(groups) - groups.count(LOCAL) <= CONNECTIONS_MAX - LOCAL_MAX
            assert max(groups.count(it) for it in "abcd") <= ADDRESS_MAX

    trio.run(come)


async def test_few_descriptors_leave_few_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "descriptors_max", lambda: 64)
    hall = Admission()
    for _ in range(20):
        hall.admit("192.0.2.1", lifetime(requests=1))
        hall.admit("192.0.2.2", lifetime(requests=1))
        hall.admit(LOCAL, lifetime(requests=1))
    assert len(hall) == 8
