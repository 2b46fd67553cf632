"""Where a listener listens."""

from typing import Literal, NamedTuple


class FamilyMissing(OSError):
    """This kernel has no IPv6, or no IPv4: an endpoint to be skipped with one warning."""


class Endpoint(NamedTuple):
    """Where a listener listens; the identity under which a socket outlives a reload.

    `address` is `HOST:PORT` as configured (`[::1]:514`, `*:514` for both families), an absolute or
    relative path for unix sockets, the kernel's log and the journal, or `fd:NAME` for a socket that
    the service manager hands over.
    """

    kind: Literal["udp", "tcp", "unix-datagram", "unix-stream", "kmsg", "journal"]
    address: str
    receive_buffer: int | None = None  # octets; None leaves the kernel's default
    mode: int | None = None  # permissions of a unix socket's file
    owner: str | None = None  # USER, USER:GROUP or :GROUP of a unix socket's file
    units: tuple[str, ...] = ()  # of which the journal is read; none: all of it
    credentials: bool = False  # have the kernel say which process sends on a unix datagram socket
