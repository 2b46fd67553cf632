"""Opening the sockets that listeners listen on, before Trio runs or at a reload.

Nothing waits, if `find` does not: the addresses of a host's name are its business.
"""

import enum
import errno
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from relay.system.address import SocketAddress, look_up, split_host_port
from relay.system.datagram import SocketDatagramReceiver, pass_credentials
from relay.system.descriptors import Descriptors
from relay.system.inherited import inherited_sockets
from relay.system.ports import Endpoint, FamilyMissing
from relay.system.receive_buffer import grow_receive_buffer
from relay.system.stream import SocketAcceptor
from relay.system.unix_file import UnixFile, bind_unix

__all__ = [
    "FamilyMissing", "Found", "Opened", "inherited_sockets", "is_on_this_host", "open_endpoint",
]  # fmt: skip

Opened = SocketDatagramReceiver | SocketAcceptor
Found = Sequence[tuple[socket.AddressFamily, SocketAddress]]
Find = Callable[[str, int, socket.SocketKind], Found]

# ip(7); the socket module of Python 3.11 has no name for it. For IPv6 it is the same flag.
_IP_FREEBIND = 15
# bind(2) and connect(2); the second, of a link-local address
_NOT_HERE = (errno.EADDRNOTAVAIL, errno.ENODEV, errno.ENETUNREACH)
_ANY = ("0.0.0.0", "::")  # noqa: S104
_NO_IPV6 = Path("/proc/sys/net/ipv6/conf/lo/disable_ipv6")

# For a fleet that connects at the same moment; the kernel cuts it to net.core.somaxconn (4096).
_BACKLOG = 4096

_KINDS = {
    "udp": socket.SOCK_DGRAM,
    "tcp": socket.SOCK_STREAM,
    "unix-datagram": socket.SOCK_DGRAM,
    "unix-stream": socket.SOCK_STREAM,
}


def open_endpoint(
    endpoint: Endpoint,
    inherited: Mapping[str, list[socket.socket]],
    find: Find = look_up,
    descriptors: Descriptors | None = None,
) -> list[Opened]:
    """Open the socket or sockets of an endpoint; the caller closes them.

    `*:PORT` and a name with several addresses give a socket each, `fd:NAME` one for each inherited
    socket of that name. Inherited ones are duplicated: the mapping serves the next reload, too.
    An address that this host does not have yet is bound all the same: it receives from the moment
    in which the address comes.

    Raises:
        FamilyMissing: the kernel lacks every family that the address has.
        OSError: anything else; the text names the endpoint.
    """
    opened: list[Opened] = []
    try:
        for each in _open_each(endpoint, inherited, find, descriptors or Descriptors()):
            opened.append(each)  # noqa: PERF402 (those before an error must be closed)
    except OSError as exc:
        for each in opened:
            each.close()
        kind = FamilyMissing if isinstance(exc, FamilyMissing) else OSError
        text = f"{endpoint.kind} {endpoint.address}: {exc.strerror or exc}"
        raise kind(exc.errno, text) from exc
    return opened


def is_on_this_host(address: str) -> bool:
    """Whether `HOST:PORT`, where a socket is bound, is an address of this host now.

    Asked by binding another socket there, and by looking for the way: before `lo` is up, a network
    lets bind whatever IPv4 address. Where it cannot be asked the answer is yes.
    """
    host, port = split_host_port(address)
    [(family, sockaddr), *_] = look_up(host, 0, socket.SOCK_DGRAM, numeric=True)
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind(sockaddr)
            if host not in _ANY:
                probe.connect((sockaddr[0], port, *sockaddr[2:]))  # sends nothing
    except OSError as exc:
        return exc.errno not in _NOT_HERE
    return True


def _open_each(
    endpoint: Endpoint,
    inherited: Mapping[str, list[socket.socket]],
    find: Find,
    descriptors: Descriptors,
) -> Iterator[Opened]:
    if endpoint.address.startswith("fd:"):
        for sock in _inherit(endpoint, inherited):
            yield _finish(endpoint, sock, descriptors, shared=True)
    elif endpoint.kind in ("udp", "tcp"):
        for sock in _open_inet(endpoint, find):
            yield _finish(endpoint, sock, descriptors)
    else:
        sock, file = _open_unix(endpoint)
        yield _finish(endpoint, sock, descriptors, file=file)


def _inherit(
    endpoint: Endpoint, inherited: Mapping[str, list[socket.socket]]
) -> Iterator[socket.socket]:
    sockets = inherited.get(endpoint.address.removeprefix("fd:"), [])
    if not sockets:
        handed = ", ".join(sorted(inherited)) or "none"
        raise OSError(errno.ENOENT, f"no such inherited socket (there are: {handed})")
    for sock in sockets:
        _check_kind(endpoint, sock)
        pass_credentials(sock, endpoint)
        yield sock.dup()


def _open_inet(endpoint: Endpoint, find: Find) -> Iterator[socket.socket]:
    lacking: FamilyMissing | None = None
    found = False
    for family, sockaddr in _local_addresses(endpoint, find):
        try:
            sock = _bind_inet(endpoint, family, sockaddr)
        except FamilyMissing as exc:
            lacking = exc
        else:
            found = True
            yield sock
    if lacking and not found:
        raise lacking


def _open_unix(endpoint: Endpoint) -> tuple[socket.socket, UnixFile]:
    sock = socket.socket(socket.AF_UNIX, _KINDS[endpoint.kind])
    try:
        pass_credentials(sock, endpoint)  # before anybody can send
        return sock, bind_unix(sock, endpoint)
    except OSError:
        sock.close()
        raise


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
        _bind(sock, sockaddr)
    except OSError:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, sockaddr: SocketAddress) -> None:
    try:
        sock.bind(sockaddr)
    except OSError as exc:
        if exc.errno != errno.EADDRNOTAVAIL:
            raise
        # With net.ipv6.conf.all.disable_ipv6 there are IPv6 sockets, but no addresses for them.
        if sockaddr[0] in ("::", "::1") and _lacks_ipv6():
            raise FamilyMissing(exc.errno, exc.strerror) from exc
        # The network comes later than we do: listen now, so that nothing is missed when it does.
        sock.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        sock.bind(sockaddr)


def _lacks_ipv6() -> bool:
    try:
        return _NO_IPV6.read_bytes().strip() != b"0"
    except OSError:
        return True


def _finish(
    endpoint: Endpoint,
    sock: socket.socket,
    descriptors: Descriptors,
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
        return SocketAcceptor(sock, shared=shared, file=file, descriptors=descriptors)
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
