"""Connections and listening sockets: TCP and unix stream."""

import errno
import fcntl
import os
import select
import socket
import struct
import termios
from collections.abc import Sequence

import trio

from relay.system.address import bound_address, without_mapping
from relay.system.descriptors import Descriptors
from relay.system.ports import ConnectionBroken, Endpoint
from relay.system.seal import seal_stream
from relay.system.unix_file import UnixFile

# struct tcp_info of <linux/tcp.h>, as far as we read it: tcpi_state, tcpi_retransmits (timeouts in
# a row without an acknowledgement), tcpi_probes (window probes and keepalives without an answer)
# and, behind twelve other numbers, tcpi_last_ack_recv in milliseconds.
_TCP_INFO = struct.Struct("=BxBB52xI")
_CLOSED = 7  # TCP_CLOSE: after a reset or a time-out, and after a FIN from both sides

_BUFFERS_MAX = os.sysconf("SC_IOV_MAX")  # 1024; writev(2): more are refused with EINVAL

# accept(2), "Error handling": pending errors of the new connection; the next one may be fine.
_CONNECTION_GONE = frozenset({
    errno.ECONNABORTED, errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT,
    errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH,
})  # fmt: skip

# So many of them in a row, and whoever accepts shall do something else before it goes on.
_GONE_MAX = 64

# How many connections a sealed socket of the service manager still yields. Its backlog cannot be
# read for unix sockets; this is what we ask of listen(2) ourselves.
_SHARED_BACKLOG_MAX = 4096


class SocketConnection:
    # Nothing is in the cache of a connection that says little: 0.3 µs a message less.
    __slots__ = ("_descriptors", "_peer", "_socket")

    def __init__(
        self, sock: socket.socket, *, peer: str, descriptors: Descriptors | None = None
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._peer = peer
        self._descriptors = descriptors  # that count it while it is open
        if descriptors is not None:
            descriptors.connections += 1

    @property
    def peer(self) -> str:
        return self._peer

    def receive(self, octets_max: int) -> bytes | None:
        try:
            return self._socket.recv(octets_max)
        except BlockingIOError:
            return None
        except OSError as exc:
            raise self._broken(exc) from exc

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        if len(buffers) > _BUFFERS_MAX:
            buffers = buffers[:_BUFFERS_MAX]
        try:
            return self._socket.sendmsg(buffers)
        except BlockingIOError:
            return 0
        except OSError as exc:
            raise self._broken(exc) from exc

    async def readable(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    async def writable(self) -> None:
        await trio.lowlevel.wait_writable(self._socket)

    def unacknowledged(self) -> int:
        if self._socket.family == socket.AF_UNIX:
            return 0
        # tcp(7), SIOCOUTQ, the same number as TIOCOUTQ; still answered after a reset.
        answer = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0\0\0\0")
        return int(struct.unpack("i", answer)[0])

    def silent_seconds(self) -> float:
        if self._socket.family == socket.AF_UNIX:
            return 0.0
        answer = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        state, retransmits, probes, last_ack_ms = _TCP_INFO.unpack(answer)
        if state == _CLOSED:
            # Not from `recv`, which goes on saying that the peer has ended once it has (tcp(7)).
            if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise self._broken(OSError(error, os.strerror(error)))
            return 0.0
        return last_ack_ms / 1000 if retransmits or probes else 0.0

    def hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)  # POLLHUP and POLLERR are always told
        return bool(poll.poll(0))

    def half_close(self) -> bool:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as exc:
            if exc.errno == errno.EBADF:
                raise
            return False
        return True

    def seal(self) -> None:
        """As the port says.

        A sealed TCP connection drops acknowledgements as well: `unacknowledged` falls no more. A
        sealed unix connection reads as ended after what it holds. Wait for neither.
        """
        seal_stream(self._socket)

    def close(self) -> None:
        descriptors, self._descriptors = self._descriptors, None
        if descriptors is not None:
            descriptors.connections -= 1
        close_socket(self._socket)

    def fileno(self) -> int:
        return self._socket.fileno()

    def _broken(self, exc: OSError) -> Exception:
        # EBADF is a bug of ours, used after close, and no news about the peer.
        if exc.errno == errno.EBADF:
            return exc
        # A reset is called so also where the peer had ended before (EPIPE, RFC 9293 section 3.10).
        reset = exc.errno == errno.EPIPE and self._socket.family != socket.AF_UNIX
        return ConnectionBroken(os.strerror(errno.ECONNRESET) if reset else exc.strerror)


class SocketAcceptor:
    """A listening socket of our own, or with `shared` one that the service manager holds, too.

    Sealing must leave a shared one as it is, for whoever gets it next: `accept` then goes on until
    it first finds nothing, and what comes later stays in the kernel.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        shared: bool = False,
        file: UnixFile | None = None,
        descriptors: Descriptors | None = None,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._descriptors = descriptors or Descriptors()
        self._shared = shared
        self._file = file
        self._left: int | None = None  # how many connections may still be taken; None: any number
        self._address = bound_address(sock)
        if sock.family != socket.AF_UNIX:
            # Both are inherited by what is accepted, at no system call a connection. Answers are
            # short and somebody waits for them: with Nagle's algorithm 40 ms, for a delayed ACK.
            keep_alive(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def address(self) -> str:
        return self._address

    @property
    def shared(self) -> bool:
        return self._shared

    def adjust(self, endpoint: Endpoint) -> None:
        if self._file is not None:
            self._file.adjust(endpoint)

    def accept(self) -> SocketConnection | None:
        gone = 0
        while self._left != 0:
            try:
                self._descriptors.check_connection(self._socket.fileno())
                sock, peer = self._socket.accept()
            except BlockingIOError:
                self._left = None if self._left is None else 0
                return None
            except OSError as exc:
                # A descriptor is asked for before the backlog is looked at.
                if not self._is_waited_for():
                    return None
                gone += 1
                if exc.errno not in _CONNECTION_GONE or gone == _GONE_MAX:
                    raise
                continue
            if self._left is not None:
                self._left -= 1
            is_unix = sock.family == socket.AF_UNIX
            peer = "local" if is_unix else without_mapping(peer[0])
            return SocketConnection(sock, peer=peer, descriptors=self._descriptors)
        return None

    def _is_waited_for(self) -> bool:
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))

    def seal(self) -> None:
        """As the port says. A sealed acceptor may look ready for ever: wait for it no more."""
        if not self._shared:
            seal_stream(self._socket)
        elif self._left is None:
            self._left = _SHARED_BACKLOG_MAX

    def close(self) -> None:
        if self._file is not None:
            self._file.unlink()  # before the close, see there
            self._file = None
        close_socket(self._socket)

    def fileno(self) -> int:
        return self._socket.fileno()


def keep_alive(sock: socket.socket) -> None:
    """Find a dead peer within 60 + 30 s of silence, and keep firewalls' memory fresh."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)


def close_socket(sock: socket.socket) -> None:
    """Close, waking whoever waits for it with `trio.ClosedResourceError`."""
    if sock.fileno() != -1 and trio.lowlevel.in_trio_run():
        trio.lowlevel.notify_closing(sock)
    sock.close()
