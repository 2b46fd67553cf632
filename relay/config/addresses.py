"""Which addresses of one configuration meet: two that cannot be bound, one that sends to the other.

Nothing is looked up: a name is equal to itself, and `localhost` is both loopback addresses.
"""

import contextlib
import os
from collections.abc import Set as AbstractSet
from ipaddress import IPv4Address, IPv6Address, ip_address

from relay.core.values import service_name, split_address
from relay.system.ports import Endpoint

Host = IPv4Address | IPv6Address | str

_EVERY_FAMILY: frozenset[Host] = frozenset({IPv4Address(0), IPv6Address(0)})
_LOOPBACK: frozenset[Host] = frozenset({IPv4Address("127.0.0.1"), IPv6Address("::1")})


def group(endpoint: Endpoint) -> tuple[str, str | int]:
    """Endpoints of different groups never clash."""
    if endpoint.address.startswith("fd:"):
        return "inherited", endpoint.address
    if endpoint.kind in ("udp", "tcp"):
        return endpoint.kind, split_address(endpoint.address)[1]
    return "unix", os.path.abspath(endpoint.address)


def clash(first: Endpoint, second: Endpoint) -> bool:
    """True when the second cannot be bound beside the first."""
    if group(first) != group(second):
        return False
    kind, port = group(first)
    if kind not in ("udp", "tcp"):
        return True
    if port == 0:  # the kernel picks a free one; but a socket is known by what stands here
        return first.address == second.address
    (one, _), (other, _) = _split(first.address), _split(second.address)
    if _EVERY_FAMILY in (one, other):
        return True
    return any(a == b or _covers(a, b) or _covers(b, a) for a in one for b in other)


def reaches(kind: str, address: str, endpoint: Endpoint, own_name: str) -> bool:
    """True when what is sent to this address arrives at that endpoint of ours."""
    if kind != endpoint.kind or endpoint.address.startswith("fd:"):
        return False
    if kind.startswith("unix"):
        return os.path.abspath(address) == os.path.abspath(endpoint.address)
    if service_name(address) is not None:
        return False  # only the DNS knows
    (to, port), (at, listening_port) = _split(address), _split(endpoint.address)
    if port != listening_port:
        return False
    if own_name.lower() in to and any(_is_wildcard(host) for host in at):
        return True
    return any(a == b or (_covers(b, a) and _is_loopback(a)) for a in to for b in at)


def _split(address: str) -> tuple[AbstractSet[Host], int]:
    host, port = split_address(address)
    if host == "*":
        return _EVERY_FAMILY, port
    if host.lower() == "localhost":
        return _LOOPBACK, port
    name: Host = host.lower()
    with contextlib.suppress(ValueError):
        name = ip_address(host)
    return frozenset({name}), port


def _covers(wildcard: Host, host: Host) -> bool:
    """True for the wildcard address of the host's family."""
    return _is_wildcard(wildcard) and type(wildcard) is type(host)


def _is_wildcard(host: Host) -> bool:
    return not isinstance(host, str) and host.is_unspecified


def _is_loopback(host: Host) -> bool:
    return not isinstance(host, str) and host.is_loopback
