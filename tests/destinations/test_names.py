"""What an address stands for, and in which order its servers are tried."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from relay.core.candidate import Candidate, Rank
from relay.core.errors import DestinationDown
from relay.core.outlet import Outlet
from relay.destinations.names import SERVERS_MAX, WEIGHTLESS, in_order, resolve, servers_of
from relay.destinations.reach import reach
from relay.system.ports import Service, Unreachable
from tests.core.parts import make_channel, make_outlet
from tests.destinations.fakes import FakeConnection, FakeNetwork

SRV = "srv:_syslog._tcp.example.net"


class Drawing(random.Random):
    """Draws the numbers that it is given, as far as they are in the range asked for."""

    def __init__(self, *draws: int) -> None:
        super().__init__()
        self.draws = list(draws)

    def randint(self, a: int, b: int) -> int:
        drawn = self.draws.pop(0)
        assert a <= drawn <= b
        return drawn


def services(*rows: tuple[str, int, int]) -> list[Service]:
    return [Service(priority, weight, 514, target) for target, priority, weight in rows]


@pytest.mark.parametrize(
    ("rows", "draws", "order"),
    [
        ([("a", 1, 5)], [0], "a"),
        ([("a", 3, 0), ("b", 1, 0), ("c", 2, 0)], [0, 0, 0], "bca"),  # priority alone
        ([("a", 1, 1), ("b", 1, 3)], [0, 0], "ab"),  # the first whose sum is not below the draw
        ([("a", 1, 1), ("b", 1, 3)], [1, 0], "ab"),
        ([("a", 1, 1), ("b", 1, 3)], [2, 1], "ba"),
        ([("a", 1, 1), ("b", 1, 3)], [4, 0], "ba"),
        ([("a", 1, 9), ("b", 1, 0)], [0, 0], "ba"),  # one of weight 0 stands first
        ([("a", 1, 9), ("b", 1, 0)], [1, 0], "ab"),
        ([("a", 1, 0), ("b", 1, 0)], [0, 0], "ab"),  # all of weight 0
        ([("a", 1, 2), ("b", 1, 2), ("c", 1, 2), ("d", 0, 0)], [0, 4, 3, 2], "dbca"),
        ([("a", 0, 65535), ("b", 65535, 65535)], [65535, 0], "ab"),
    ],
)
def test_servers_are_tried_as_rfc_2782_says(
    rows: Sequence[tuple[str, int, int]], draws: Sequence[int], order: str
) -> None:
    drawing = Drawing(*draws)
    assert "".join(it.target for it in in_order(services(*rows), drawing)) == order
    assert drawing.draws == []


def test_the_first_is_drawn_in_proportion_to_the_weights() -> None:
    uniform = random.Random(1)
    rows = services(("a", 0, 10), ("b", 0, 30), ("c", 0, 0))
    first = Counter(next(in_order(rows, uniform)).target for _ in range(4100))
    assert abs(first["a"] - 1000) < 100
    assert abs(first["b"] - 3000) < 100
    assert 50 < first["c"] < 150  # 1 of 41


async def test_of_very_many_records_the_best_are_taken() -> None:
    network = FakeNetwork()
    network.records = services(*((f"host{n}", n // 10, 1) for n in range(2000)))
    found, _ = await servers_of(network, SRV)
    assert len(found) == SERVERS_MAX
    assert max(it.rank.tier for it in found) == (SERVERS_MAX - 1) // 10


async def test_a_plain_name_is_its_own_server() -> None:
    found, seconds = await servers_of(FakeNetwork(), "siem.example.net:514")
    assert [it.address for it in found] == ["siem.example.net:514"]
    assert seconds == 0


async def test_all_addresses_of_all_servers_share_the_weights() -> None:
    network = FakeNetwork()
    network.seconds = 7.0
    network.records = services(("a", 1, 6), ("b", 2, 0), ("gone", 3, 5))
    network.hosts = {
        "a:514": [("192.0.2.1", 514), ("2001:db8::1", 514)],
        "b:514": [("192.0.2.1", 514), ("192.0.2.2", 514)],
        "gone:514": [],
    }
    resolved = await resolve(network, SRV, "tcp")
    assert resolved.seconds == 7
    assert dict(resolved.ranks) == {
        Candidate("192.0.2.1", 514, "a"): Rank(1, 3.0),
        Candidate("2001:db8::1", 514, "a"): Rank(1, 3.0),
        Candidate("192.0.2.1", 514, "b"): Rank(2, WEIGHTLESS / 2),
        Candidate("192.0.2.2", 514, "b"): Rank(2, WEIGHTLESS / 2),
    }
    assert resolved.failed == {"gone": "gone: Name or service not known"}


# -- reaching one of them


def outlet_of(network: FakeNetwork, candidate: Candidate | None = None) -> Outlet:
    outlet = make_outlet(make_channel())
    return outlet._replace(host=outlet.host._replace(network=network), candidate=candidate)


async def test_servers_are_tried_one_after_the_other_with_all_their_addresses() -> None:
    connection = FakeConnection()
    network = FakeNetwork(Unreachable("192.0.2.1:514: Connection refused"),
                          Unreachable("192.0.2.2:514: no answer"), connection)  # fmt: skip
    network.records = services(("c", 3, 0), ("gone", 2, 0), ("a", 1, 0))
    network.hosts = {"a:514": [("192.0.2.1", 514), ("192.0.2.2", 514)], "gone:514": [],
                     "c:514": [("192.0.2.3", 514)]}  # fmt: skip
    assert await reach(outlet_of(network), SRV, "tcp", network.connect) is connection
    assert network.tried == [("192.0.2.1", 514), ("192.0.2.2", 514), ("192.0.2.3", 514)]


async def test_each_one_that_cannot_be_reached_says_why() -> None:
    network = FakeNetwork(Unreachable("192.0.2.1:514: Connection refused"))
    network.records = services(("gone", 2, 0), ("a", 1, 0))
    network.hosts = {"a:514": [("192.0.2.1", 514)], "gone:514": []}
    with pytest.raises(DestinationDown) as down:
        await reach(outlet_of(network), SRV, "tcp", network.connect)
    assert str(down.value) == (
        f"{SRV}: 192.0.2.1:514: Connection refused; gone: Name or service not known"
    )


async def test_a_service_without_records_is_down() -> None:
    network = FakeNetwork()
    with pytest.raises(DestinationDown, match=f"^{SRV}: there is no SRV record$"):
        await reach(outlet_of(network), SRV, "tcp", network.connect)


async def test_a_candidate_is_the_only_one_that_is_tried() -> None:
    network = FakeNetwork(Unreachable("[2001:db8::1]:514: Connection refused"))
    network.addresses = [("2001:db8::1", 514)]
    outlet = outlet_of(network, Candidate("2001:db8::1", 514, "a"))
    with pytest.raises(DestinationDown):
        await reach(outlet, SRV, "tcp", network.connect)
    assert network.tried == [("2001:db8::1", 514)]
