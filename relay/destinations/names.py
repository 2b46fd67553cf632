"""What the address of a destination stands for: servers in their order, and all their addresses."""

import random
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, groupby
from typing import Literal, NamedTuple

from relay.core.candidate import Candidate, Rank
from relay.core.values import host_of, service_name
from relay.system.ports import Network, Service, Unreachable

Kind = Literal["tcp", "udp"]

NAMED: Mapping[str, Kind] = {
    "tcp": "tcp",
    "relp": "tcp",
    "udp": "udp",
}  # types with a network address

SERVERS_MAX = 64  # of one service; each may take its time to be looked up, and to be tried
WEIGHTLESS = 1 / 256  # the weight of 0 is "a very small chance of being selected"


class Server(NamedTuple):
    """A host with a port, which may have several addresses."""

    address: str  # HOST:PORT
    rank: Rank


class Resolved(NamedTuple):
    """All addresses that a name stands for, the best first."""

    ranks: Mapping[Candidate, Rank]
    failed: Mapping[str, str]  # hosts that do not resolve now, and why
    seconds: float  # for so long at least, as the DNS says


async def resolve(network: Network, address: str, kind: Kind) -> Resolved:
    """Look up every host that an address stands for, one after the other.

    Raises:
        Unreachable: the hosts are not known; says why.
    """
    ranks: dict[Candidate, Rank] = {}
    failed: dict[str, str] = {}
    servers, seconds = await servers_of(network, address)
    for server in servers:
        host, rank = host_of(server.address), server.rank
        try:
            found = await network.resolve(server.address, kind=kind)
        except Unreachable as fault:
            failed[host] = str(fault)
            continue
        part = Rank(rank.tier, rank.weight / len(found))
        for ip, port in found:
            ranks.setdefault(Candidate(ip, port, host), part)
    return Resolved(ranks, failed, seconds)


async def servers_of(network: Network, address: str) -> tuple[Sequence[Server], float]:
    """The servers in the order in which they are to be tried, drawn anew for each call.

    And for how many seconds they are known; 0 for a host, of whose name only the resolver knows.

    Raises:
        Unreachable: the service does not resolve.
    """
    service = service_name(address)
    if service is None:
        return [Server(address, Rank())], 0.0
    found, seconds = await network.services(service)
    first = sorted(found, key=lambda it: (it.priority, -it.weight, it.target, it.port))
    order = in_order(first[:SERVERS_MAX], random.Random())  # noqa: S311 - spreads load, guards nothing
    return [_server(it) for it in order], seconds


def in_order(services: Sequence[Service], uniform: random.Random) -> Iterator[Service]:
    """The lowest priority first; of those that have the same the next is drawn by weight."""
    for _, equals in groupby(sorted(services, key=_priority), _priority):
        # RFC 2782: those of weight 0 stand first, where only a draw of 0 finds them
        waiting = sorted(equals, key=lambda it: it.weight > 0)
        while waiting:
            sums = list(accumulate(it.weight for it in waiting))
            yield waiting.pop(bisect_left(sums, uniform.randint(0, sums[-1])))


def _priority(service: Service) -> int:
    return service.priority


def _server(service: Service) -> Server:
    rank = Rank(service.priority, service.weight or WEIGHTLESS)
    return Server(f"{service.target}:{service.port}", rank)
