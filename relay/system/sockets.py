"""Opening the sockets that listeners listen on, before Trio runs or at a reload.

Nothing waits, if `find` does not: the addresses of a host's name are its business.
"""

import enum
import errno
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence

from relay.system.address import SocketAddress, look_up, split_host_port
from relay.system.datagram import SocketDatagramReceiver, pass_credentials
from relay.system.inherited import inherited_sockets
from relay.system.ports import Endpoint, FamilyMissing
from relay.system.receive_buffer import grow_receive_buffer
from relay.system.stream import SocketAcceptor
from relay.system.unix_file import UnixFile, bind_unix

__all__ = ["FamilyMissing", "Found", "Opened", "inherited_sockets", "open_endpoint"]

Opened = SocketDatagramReceiver | SocketAcceptor
Found = Sequence[tuple[socket.AddressFamily, SocketAddress]]
Find = Callable[[str, int, socket.SocketKind], Found]

# For a fleet that connects at the same moment; the kernel cuts it to net.core.somaxconn (4096).
_BACKLOG = 4096

_KINDS = {
    "udp": socket.SOCK_DGRAM,
    "tcp": socket.SOCK_STREAM,
    "unix-datagram": socket.SOCK_DGRAM,
    "unix-stream": socket.SOCK_STREAM,
}


def open_endpoint(
    endpoint: Endpoint, inherited: Mapping[str, list[socket.socket]], find: Find = look_up
) -> list[Opened]:
    """Open the socket or sockets of an endpoint; the caller closes them.

    `*:PORT` and a name with several addresses give a socket each, `fd:NAME` one for each inherited
    socket of that name. Inherited ones are duplicated: the mapping serves the next reload, too.

    Raises:
        FamilyMissing: the kernel lacks every family that the address has.
        OSError: anything else; the text names the endpoint.
    """
    opened: list[Opened] = []
    try:
        for each in _open_each(endpoint, inherited, find):
            opened.append(each)  # noqa: PERF402 (those before an error must be closed)
    except OSError as exc:
        for each in opened:
            each.close()
        kind = FamilyMissing if isinstance(exc, FamilyMissing) else OSError
        text = f"{endpoint.kind} {endpoint.address}: {exc.strerror or exc}"
        raise kind(exc.errno, text) from exc
    return opened


def _open_each(
    endpoint: Endpoint, inherited: Mapping[str, list[socket.socket]], find: Find
) -> Iterator[Opened]:
    if endpoint.address.startswith("fd:"):
        yield from _inherit(endpoint, inherited)
    elif endpoint.kind in ("udp", "tcp"):
        yield from _open_inet(endpoint, find)
    else:
        yield _open_unix(endpoint)


def _inherit(endpoint: Endpoint, inherited: Mapping[str, list[socket.socket]]) -> Iterator[Opened]:
    sockets = inherited.get(endpoint.address.removeprefix("fd:"), [])
    if not sockets:
        handed = ", ".join(sorted(inherited)) or "none"
        raise OSError(errno.ENOENT, f"no such inherited socket (there are: {handed})")
    for sock in sockets:
        _check_kind(endpoint, sock)
        pass_credentials(sock, endpoint)
        yield _finish(endpoint, sock.dup(), shared=True)


def _open_inet(endpoint: Endpoint, find: Find) -> Iterator[Opened]:
    lacking: FamilyMissing | None = None
    found = False
    for family, sockaddr in _local_addresses(endpoint, find):
        try:
            sock = _bind_inet(endpoint, family, sockaddr)
        except FamilyMissing as exc:
            lacking = exc
        else:
            found = True
            yield _finish(endpoint, sock)
    if lacking and not found:
        raise lacking


def _open_unix(endpoint: Endpoint) -> Opened:
    sock = socket.socket(socket.AF_UNIX, _KINDS[endpoint.kind])
    try:
        pass_credentials(sock, endpoint)  # before anybody can send
        file = bind_unix(sock, endpoint)
    except OSError:
        sock.close()
        raise
    return _finish(endpoint, sock, file=file)


def _local_addresses(endpoint: Endpoint, find: Find) -> Found:
    try:
        host, port = split_host_port(endpoint.address)
    except ValueError as exc:
        raise OSError(errno.EINVAL, "expected HOST:PORT") from exc
    if host == "*":
        return [(socket.AF_INET, ("0.0.0.0", port)), (socket.AF_INET6, ("::", port))]  # noqa: S104
    return find(host, port, _KINDS[endpoint.kind])


def _bind_inet(
    endpoint: Endpoint, family: socket.AddressFamily, sockaddr: SocketAddress
) -> socket.socket:
    try:
        sock = socket.socket(family, _KINDS[endpoint.kind])
    except OSError as exc:
        if exc.errno == errno.EAFNOSUPPORT:
            raise FamilyMissing(exc.errno, exc.strerror) from exc
        raise
    try:
        if family == socket.AF_INET6:
            # IPv4 peers come to an IPv4 socket: one form of address each, and no clash of the two.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if endpoint.kind == "tcp":
            # Not for UDP, where it would let any process take our datagrams (socket(7)).
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(sockaddr)
    except OSError as exc:
        sock.close()
        # With net.ipv6.conf.all.disable_ipv6 there are IPv6 sockets, but no addresses for them.
        if exc.errno == errno.EADDRNOTAVAIL and sockaddr[0] in ("::", "::1"):
            raise FamilyMissing(exc.errno, exc.strerror) from exc
        raise
    return sock


def _finish(
    endpoint: Endpoint,
    sock: socket.socket,
    *,
    shared: bool = False,
    file: UnixFile | None = None,
) -> Opened:
    try:
        granted = grow_receive_buffer(sock, endpoint.receive_buffer)
        if sock.type == socket.SOCK_DGRAM:
            return SocketDatagramReceiver(
                sock, shared=shared, file=file, receive_buffer_granted=granted
            )
        if not shared:
            sock.listen(_BACKLOG)
        return SocketAcceptor(sock, shared=shared, file=file)
    except OSError:
        if file is not None:
            file.unlink()
        sock.close()
        raise


def _check_kind(endpoint: Endpoint, sock: socket.socket) -> None:
    """Raise `OSError` unless an inherited socket is what the endpoint says."""
    is_unix = sock.family == socket.AF_UNIX
    known = is_unix or sock.family in (socket.AF_INET, socket.AF_INET6)
    if not known or sock.type != _KINDS[endpoint.kind] or is_unix != endpoint.kind.startswith("un"):
        found = f"{_name(sock.family)} {_name(sock.type)}"
        raise OSError(errno.EINVAL, f"the inherited socket is of another kind ({found})")
    listening = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if sock.type == socket.SOCK_STREAM and not listening:
        raise OSError(errno.EINVAL, "the inherited socket does not listen")


def _name(value: int) -> str:
    return value.name if isinstance(value, enum.Enum) else str(value)
