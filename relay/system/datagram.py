"""Datagram sockets: UDP and unix."""

import errno
import fcntl
import socket
import struct
import termios

import trio

from relay.system.address import bound_address, without_mapping
from relay.system.ports import Endpoint
from relay.system.receive_buffer import grow_receive_buffer
from relay.system.recvmmsg import SLOTS, DatagramSlots
from relay.system.seal import drop_all, hide_udp, seal_unix_datagram
from relay.system.stream import close_socket
from relay.system.unix_file import UnixFile

_UDP_OCTETS_MAX = 65536  # more than any UDP datagram (65507 over IPv4, 65527 over IPv6)

_UCRED = struct.Struct("iII")  # struct ucred {pid; uid; gid} of unix(7)
_ANCILLARY_OCTETS = socket.CMSG_SPACE(_UCRED.size)  # and no room for descriptors: they are closed

_SO_MEMINFO = 55  # asm-generic/socket.h; nine u32, linux/sock_diag.h says which
_RMEM_ALLOC, _DROPS = 0, 8
_SO_COOKIE = 57

# Least kernel memory of a queued datagram: sk_buff and skb_shared_info alone take 576 octets.
_TRUESIZE_MIN = 512
# net.unix.max_dgram_qlen bounds a unix socket's queue; 512 is the largest default of any systemd.
_UNIX_QUEUE_MAX = 4096

# ICMP errors that answered something sent, reported once by the next call (ip(7)).
_PENDING = frozenset({
    errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN,
    errno.ENONET, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EMSGSIZE, errno.EACCES,
})  # fmt: skip


_SLOTS = DatagramSlots()  # shared: what a call fills, it empties
_SLOTS_FIRST = 4  # then as many as fit, were they all as long as the longest just received


class SocketDatagramReceiver:
    """A bound socket of our own, or with `shared` one that the service manager holds, too.

    Sealing must leave a shared one as it is, for whoever gets it next: `receive` then yields at
    least what was held, and what comes later stays in the kernel.

    A new socket has dropped nothing, so every drop since bind(2) counts. A shared one may have a
    past: its drops count from now on, or from the number given to `count_drops_from`.

    Invariant: `kernel_drops` never falls.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        shared: bool = False,
        file: UnixFile | None = None,
        receive_buffer_granted: int | None = None,
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._shared = shared
        self._file = file
        self._granted = receive_buffer_granted
        self._address = bound_address(sock)
        self._family = sock.family
        self._is_unix = sock.family == socket.AF_UNIX
        self._both_families = sock.family == socket.AF_INET6 and not sock.getsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
        )
        self._left: int | None = None  # how many datagrams may still be taken; None: any number
        self._drops = 0
        self._drops_read = self.drops_raw() if shared else 0
        self._drops_frozen = False
        self._drops_booked = 0  # of them, those that `new_kernel_drops` has returned

    @property
    def address(self) -> str:
        return self._address

    @property
    def shared(self) -> bool:
        return self._shared

    def adjust(self, endpoint: Endpoint) -> None:
        if self._file is not None:
            self._file.adjust(endpoint)
        pass_credentials(self._socket, endpoint)
        self._granted = grow_receive_buffer(self._socket, endpoint.receive_buffer)

    @property
    def receive_buffer_granted(self) -> int | None:
        """Octets of buffer that the kernel gave; `None` when no size was asked for."""
        return self._granted

    @property
    def cookie(self) -> int:
        """The kernel's number for this socket, unique for as long as it runs (SO_COOKIE)."""
        answer = self._socket.getsockopt(socket.SOL_SOCKET, _SO_COOKIE, 8)
        return int(struct.unpack("Q", answer)[0])

    def receive(self, messages_max: int, octets_max: int) -> tuple[list[bytes], list[str]]:
        if self._left is not None:
            messages_max = min(messages_max, self._left)
        if self._is_unix:
            messages = self._receive_unix(messages_max, octets_max, None)
            senders = ["local"] * len(messages)
        else:
            messages, senders = self._receive_udp(messages_max, octets_max)
        if self._left is not None:
            self._left = self._left - len(messages) if messages else 0
        return messages, senders

    def receive_credentials(
        self, messages_max: int, octets_max: int
    ) -> tuple[list[bytes], list[int]]:
        if self._left is not None:
            messages_max = min(messages_max, self._left)
        pids: list[int] = []
        messages = self._receive_unix(messages_max, octets_max, pids)
        if self._left is not None:
            self._left = self._left - len(messages) if messages else 0
        return messages, pids

    def program(self, pid: int) -> bytes:
        try:  # in memory, and without the lock that `cmdline` may wait for
            with open(f"/proc/{pid}/comm", "rb") as file:
                return file.read().rstrip(b"\n")
        except OSError:
            return b""

    async def readable(self) -> None:
        await trio.lowlevel.wait_readable(self._socket)

    def kernel_drops(self) -> int:
        if not self._drops_frozen:
            raw = self.drops_raw()
            self._drops += (raw - self._drops_read) % 2**32
            self._drops_read = raw
        return self._drops

    def new_kernel_drops(self) -> int:
        before, self._drops_booked = self._drops_booked, self.kernel_drops()
        return self._drops_booked - before

    def drops_raw(self) -> int:
        """The kernel's own count, which wraps at 2**32; 0 for unix."""
        return 0 if self._is_unix else self._meminfo()[_DROPS]

    @property
    def kind(self) -> str:
        return "unix-datagram" if self._is_unix else "udp"

    @property
    def drops_read(self) -> int:
        """The kernel's own count when it was read last."""
        return self._drops_read

    def count_drops_from(self, drops_raw: int) -> None:
        """Count what a shared socket dropped since `drops_raw` was read from it elsewhere."""
        assert self._shared
        self._drops_read = drops_raw

    def stop_counting(self) -> int:
        """Leave what was not read yet to another receiver of a shared socket: where it goes on."""
        assert self._shared
        self._drops_frozen = True
        return self._drops_read

    def seal(self) -> None:
        """As the port says. A sealed receiver may look ready for ever: wait for it no more."""
        if self._shared:
            if self._left is None:
                held = _UNIX_QUEUE_MAX if self._is_unix else self._meminfo()[_RMEM_ALLOC]
                self._left = held if self._is_unix else held // _TRUESIZE_MIN
        elif self._is_unix:
            seal_unix_datagram(self._socket)
        elif not self._drops_frozen and not hide_udp(self._socket):
            # Second best: some of what the buffer dropped while the filter came stays uncounted.
            self.kernel_drops()
            drop_all(self._socket)
            self._drops_frozen = True

    def close(self) -> None:
        if self._file is not None:
            self._file.unlink()  # before the close, see there
            self._file = None
        close_socket(self._socket)

    def fileno(self) -> int:
        return self._socket.fileno()

    def _receive_udp(self, messages_max: int, octets_max: int) -> tuple[list[bytes], list[str]]:
        messages: list[bytes] = []
        senders: list[str] = []
        descriptor = self._socket.fileno()
        octets = 0
        longest = octets_max // _SLOTS_FIRST
        try:
            while octets < octets_max and len(messages) < messages_max:
                room = max(1, (octets_max - octets) // longest)
                slots = min(SLOTS, messages_max - len(messages), room)
                some, their_senders, lengths = _SLOTS.receive(descriptor, slots, self._family)
                messages += some
                senders += their_senders
                octets += sum(lengths)
                if len(some) < slots:
                    break  # the kernel had no more; if that has changed, we are woken again
                longest = 1 + max(lengths)
        except OSError as exc:
            self._swallow(exc, messages)
        if self._both_families:
            senders = [without_mapping(sender) for sender in senders]
        return messages, senders

    def _receive_unix(
        self, messages_max: int, octets_max: int, pids: list[int] | None
    ) -> list[bytes]:
        messages: list[bytes] = []
        octets = 0
        try:
            while len(messages) < messages_max and octets < octets_max:
                # As long as the sender's SO_SNDBUF allows, so only the kernel knows (unix(7),
                # SIOCINQ, the same number as FIONREAD; no other reader takes the datagram).
                size = fcntl.ioctl(self._socket, termios.FIONREAD, b"\0\0\0\0")
                size_max = max(_UDP_OCTETS_MAX, struct.unpack("i", size)[0])
                if pids is None:
                    message = self._socket.recv(size_max)
                else:
                    message, ancillary, _, _ = self._socket.recvmsg(size_max, _ANCILLARY_OCTETS)
                    pids.append(_pid(ancillary))
                messages.append(message)
                octets += len(message)
        except BlockingIOError:
            pass
        except OSError as exc:
            self._swallow(exc, messages)
        return messages

    def _swallow(self, exc: OSError, messages: list[bytes]) -> None:
        # What is taken already must reach its book; a lasting error shows at the next call.
        if not messages and exc.errno not in _PENDING:
            raise exc

    def _meminfo(self) -> tuple[int, ...]:
        answer = self._socket.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 9 * 4)
        return struct.unpack("9I", answer)


def pass_credentials(sock: socket.socket, endpoint: Endpoint) -> None:
    """Have the kernel say who sends, or not (SO_PASSCRED of unix(7))."""
    if endpoint.kind == "unix-datagram":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, endpoint.credentials)


def _pid(ancillary: list[tuple[int, int, bytes]]) -> int:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return int(_UCRED.unpack(data)[0])
    return 0


class SocketDatagramSender:
    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock

    def send(self, message: bytes) -> bool:
        try:
            self._socket.send(message)
        except BlockingIOError:
            return False
        return True

    async def writable(self) -> None:
        await trio.lowlevel.wait_writable(self._socket)

    def close(self) -> None:
        close_socket(self._socket)

    def fileno(self) -> int:
        return self._socket.fileno()
