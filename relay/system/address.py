"""Addresses as the configuration writes them, and as the socket calls want them."""

import socket
from typing import Any

SocketAddress = tuple[Any, ...]  # (ip, port), or (ip, port, flow, scope) for IPv6


def split_host_port(address: str) -> tuple[str, int]:
    """`HOST:PORT` or `[HOST]:PORT`; raises `ValueError` for anything else."""
    host, _, port = address.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{address}: an IPv6 address stands in brackets")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address}: expected HOST:PORT")
    return host, int(port)


def look_up(
    host: str, port: int, kind: socket.SocketKind, *, numeric: bool = False
) -> list[tuple[socket.AddressFamily, SocketAddress]]:
    """What getaddrinfo(3) says, in its order; with `numeric` it asks nobody and cannot block.

    Raises:
        OSError: the name does not resolve (`socket.gaierror`), or can be no name at all.
    """
    flags = socket.AI_NUMERICHOST if numeric else 0
    try:
        found = socket.getaddrinfo(host, port, type=kind, flags=flags)
    except UnicodeError as exc:  # a label of more than 63 octets, by the idna codec
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host name") from exc
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))


def ip_and_port(address: SocketAddress) -> tuple[str, int]:
    """The short form, with a link-local address's interface: `fe80::1%2`."""
    scope = address[3] if len(address) == 4 else 0
    return (f"{address[0]}%{scope}" if scope else address[0]), address[1]


def host_port(address: SocketAddress) -> str:
    """The inverse of `split_host_port`."""
    ip, port = ip_and_port(address)
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


def without_mapping(ip: str) -> str:
    """`::ffff:192.0.2.1`, an IPv4 peer on a socket of both families, is `192.0.2.1`."""
    return ip.removeprefix("::ffff:") if "." in ip else ip


def bound_address(sock: socket.socket) -> str:
    """Where a socket is bound: `HOST:PORT`, a path, or `@NAME` for an abstract unix address."""
    name = sock.getsockname()
    if sock.family != socket.AF_UNIX:
        return host_port(name)
    if isinstance(name, bytes):  # unix(7): an abstract name starts with NUL, Python gives bytes
        return "@" + name[1:].decode("utf-8", "backslashreplace")
    return str(name)
