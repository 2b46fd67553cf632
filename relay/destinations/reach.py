"""Reach a destination by name: resolved freshly, all addresses tried in order."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from relay.core.errors import DestinationDown
from relay.core.outlet import Outlet
from relay.core.values import SRV, host_of
from relay.destinations.names import Kind, servers_of
from relay.destinations.session import plain
from relay.system.ports import Unreachable

Reachable = TypeVar("Reachable")


async def reach(
    outlet: Outlet,
    address: str,
    kind: Kind,
    connect: Callable[[tuple[str, int]], Awaitable[Reachable]],
) -> Reachable:
    """What `connect` gives for the first address that takes it.

    That is the one of `outlet.candidate`, if there is one. Else all of the host are tried in the
    resolver's order; of a service, those of its servers in the order of RFC 2782.

    Raises:
        DestinationDown: the name does not resolve, or no address can be reached; says why for each.
    """
    reasons: list[str] = []
    try:
        for server in await _servers(outlet, address):
            try:
                for candidate in await outlet.host.network.resolve(server, kind=kind):
                    try:
                        return await connect(candidate)
                    except Unreachable as fault:
                        reasons.append(_reason(fault, address))
            except Unreachable as fault:
                reasons.append(_reason(fault, address))
    except Unreachable as fault:
        reasons.append(_reason(fault, address))
    raise DestinationDown(f"{address}: {'; '.join(reasons)}")


async def _servers(outlet: Outlet, address: str) -> Sequence[str]:
    if outlet.candidate is not None:
        return [outlet.candidate.address]
    servers, _ = await servers_of(outlet.host.network, address)
    return [server.address for server in servers]


def _reason(fault: Unreachable, address: str) -> str:
    """The fault's text without a target that the whole message begins with."""
    reason = str(fault)
    for target in (address, address.removeprefix(SRV), host_of(address)):
        reason = reason.removeprefix(f"{target}: ")
    return plain(reason)
