"""Outgoing connections over the host's network."""

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import trio

from relay.system.address import SocketAddress, host_port, ip_and_port, look_up, split_host_port
from relay.system.datagram import SocketDatagramReceiver, SocketDatagramSender
from relay.system.descriptors import check_output
from relay.system.ports import Service, Unreachable
from relay.system.readyset import EpollReadySet
from relay.system.services import look_up_services
from relay.system.stream import SocketAcceptor, SocketConnection, close_socket, keep_alive

__all__ = [
    "EpollReadySet",
    "SocketAcceptor",
    "SocketConnection",
    "SocketDatagramReceiver",
    "SocketDatagramSender",
    "SystemNetwork",
]

_SOCKET_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SystemNetwork:
    """The limiter bounds the look-ups that run or hang; give it several tokens and one pipe."""

    limiter: trio.CapacityLimiter
    connect_seconds_max: float = 10.0  # two SYN retransmissions (1 s, 3 s) have long been answered

    async def resolve(
        self, address: str, *, kind: Literal["tcp", "udp"]
    ) -> Sequence[tuple[str, int]]:
        try:
            host, port = split_host_port(address)
        except ValueError as exc:
            raise Unreachable(str(exc)) from exc
        socket_kind = _SOCKET_KINDS[kind]
        await trio.lowlevel.checkpoint()
        try:
            found = look_up(host, port, socket_kind, numeric=True)
        except OSError:  # a name: the resolver may take its time
            try:
                found = await trio.to_thread.run_sync(
                    partial(look_up, host, port, socket_kind),
                    abandon_on_cancel=True,
                    limiter=self.limiter,
                )
            except OSError as exc:
                raise _unreachable(host, exc) from exc
        return [ip_and_port(sockaddr) for _, sockaddr in found]

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        return await trio.to_thread.run_sync(
            look_up_services, name, abandon_on_cancel=True, limiter=self.limiter
        )

    async def connect(self, address: tuple[str, int]) -> SocketConnection:
        target = host_port(address)
        try:
            sock, sockaddr = _open(address, socket.SOCK_STREAM)
        except OSError as exc:
            raise _unreachable(target, exc) from exc
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            keep_alive(sock)
            with trio.fail_after(self.connect_seconds_max):
                await _connect(sock, sockaddr)
        except BaseException as exc:  # cancelled, too: the descriptor is ours until it is handed on
            close_socket(sock)
            if isinstance(exc, OSError):
                raise _unreachable(target, exc) from exc
            if isinstance(exc, trio.TooSlowError):
                seconds = self.connect_seconds_max
                raise Unreachable(f"{target}: no answer within {seconds:g} s") from exc
            raise
        return SocketConnection(sock, peer=address[0])

    async def connect_datagram(self, address: tuple[str, int]) -> SocketDatagramSender:
        await trio.lowlevel.checkpoint()
        try:
            sock, sockaddr = _open(address, socket.SOCK_DGRAM)
        except OSError as exc:
            raise _unreachable(host_port(address), exc) from exc
        return SocketDatagramSender(_connect_now(sock, sockaddr, host_port(address)))

    async def connect_unix(self, path: str) -> SocketConnection:
        await trio.lowlevel.checkpoint()
        return SocketConnection(_connect_unix(path, socket.SOCK_STREAM), peer="local")

    async def connect_unix_datagram(self, path: str) -> SocketDatagramSender:
        await trio.lowlevel.checkpoint()
        return SocketDatagramSender(_connect_unix(path, socket.SOCK_DGRAM))

    def ready_set(self) -> EpollReadySet:
        return EpollReadySet()


def _open(address: tuple[str, int], kind: socket.SocketKind) -> tuple[socket.socket, SocketAddress]:
    [(family, sockaddr), *_] = look_up(*address, kind, numeric=True)
    return _socket(family, kind), sockaddr


def _socket(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        check_output(sock.fileno())
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


async def _connect(sock: socket.socket, sockaddr: SocketAddress) -> None:
    answer = sock.connect_ex(sockaddr)
    if answer == errno.EINPROGRESS:
        await trio.lowlevel.wait_writable(sock)
        answer = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    else:
        await trio.lowlevel.checkpoint()
    # Whoever keeps trying a port of this host in the ephemeral range that nobody listens on is one
    # day connected to himself (simultaneous open, RFC 9293 §3.5), and feeds his own messages back.
    if not answer and sock.getsockname() == sock.getpeername():
        answer = errno.ECONNREFUSED
    if answer:
        raise OSError(answer, os.strerror(answer))


def _connect_unix(path: str, kind: socket.SocketKind) -> socket.socket:
    # EAGAIN, the peer's backlog is full, is "try again later" as any other (unix(7)).
    try:
        sock = _socket(socket.AF_UNIX, kind)
    except OSError as exc:
        raise _unreachable(path, exc) from exc
    return _connect_now(sock, path, path)


def _connect_now(sock: socket.socket, sockaddr: SocketAddress | str, target: str) -> socket.socket:
    try:
        sock.connect(sockaddr)
    except OSError as exc:
        sock.close()
        raise _unreachable(target, exc) from exc
    return sock


def _unreachable(target: str, exc: OSError) -> Unreachable:
    return Unreachable(f"{target}: {exc.strerror or exc}")
