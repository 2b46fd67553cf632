"""Reach a destination by name: resolved freshly, all addresses tried in order."""

from collections.abc import Awaitable, Callable
from typing import Literal, TypeVar

from relay.core.errors import DestinationDown
from relay.core.values import split_address
from relay.destinations.session import plain
from relay.system.ports import Network, Unreachable

Reachable = TypeVar("Reachable")


async def reach(
    network: Network,
    address: str,
    kind: Literal["tcp", "udp"],
    connect: Callable[[tuple[str, int]], Awaitable[Reachable]],
) -> Reachable:
    """What `connect` gives for the first address that takes it.

    Raises:
        DestinationDown: the name does not resolve, or no address can be reached; says why for each.
    """
    reasons: list[str] = []
    try:
        for candidate in await network.resolve(address, kind=kind):
            try:
                return await connect(candidate)
            except Unreachable as fault:
                reasons.append(_reason(fault, address))
    except Unreachable as fault:
        reasons.append(_reason(fault, address))
    raise DestinationDown(f"{address}: {'; '.join(reasons)}")


def _reason(fault: Unreachable, address: str) -> str:
    """The fault's text without a target that the whole message begins with."""
    host, _ = split_address(address)
    reason = str(fault).removeprefix(f"{address}: ").removeprefix(f"{host}: ")
    return plain(reason)
