"""How a socket stops taking what arrives while what it holds stays readable.

Linux 6.18, measured with a sender at full speed on the other CPU:

- TCP takes a filter that drops every segment before it is looked at. What our kernel has
  acknowledged until then is readable, and nothing after it is acknowledged; the sender's kernel
  keeps it (8 runs of 170 MB, exact to the octet). On a listening socket it drops SYNs and the last
  ACK of a handshake, so the peer's kernel knows of no connection that we would have to reset.
- Recent kernels want CAP_NET_ADMIN for a filter on TCP (6.18 does, Debian 12's 6.1 does not).
  Without it a connection's receive buffer is made as small as can be, which shuts the window: what
  was underway still arrives, and then nothing more. Read until nothing had come for 50 ms and then
  closed, 12 runs of 12 were exact to the octet. A listening socket gets a backlog of 0, and is to
  be closed as soon as it is found empty.
- UDP does not take a filter where that can be helped: what a filter drops counts as a drop of the
  socket, and attaching takes long enough for 40 to 70 datagrams, of which nobody can say whether
  filter or full buffer dropped them. Connected to itself, a socket is no longer found for anybody
  else's datagrams: nothing is counted, the senders get an ICMP error as from a closed port, and
  `received + drops = sent` was exact in 24 runs of 24.
- unix sockets are shut down for reading. A filter has no effect on streams, and on datagrams it
  makes a liar of send(2), which says that all went well. After shutdown(2) both tell the sender
  EPIPE (ECONNREFUSED for connect(2)).

A softirq that was past the check when the seal came ends within microseconds, before the caller's
next system call unless a hypervisor stops that very CPU. A full barrier (membarrier(2),
MEMBARRIER_CMD_GLOBAL) costs 5 to 16 ms, too much for each of a thousand connections.
"""

import array
import contextlib
import errno
import socket
import struct

SO_ATTACH_FILTER = 26  # asm-generic/socket.h; the `socket` module does not name it

# struct sock_filter {u16 code; u8 jt, jf; u32 k}: BPF_RET | BPF_K with 0, "keep nothing" (bpf(4)).
_DROP_ALL = array.array("B", struct.pack("HBBI", 0x06, 0, 0, 0))

_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not bound)


def drop_all(sock: socket.socket) -> None:
    """Let the kernel drop every packet for this socket (socket(7), SO_ATTACH_FILTER)."""
    # struct sock_fprog {u16 len; struct sock_filter *filter}, copied by the kernel
    program = struct.pack("HP", 1, _DROP_ALL.buffer_info()[0])
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def seal_stream(sock: socket.socket) -> None:
    """Seal a connection or a listening socket; harmless on a broken connection."""
    if sock.family == socket.AF_UNIX:
        _stop_reading(sock)
        return
    try:
        drop_all(sock)
    except PermissionError:
        _shut_window(sock)


def seal_unix_datagram(sock: socket.socket) -> None:
    _stop_reading(sock)


def hide_udp(sock: socket.socket) -> bool:
    """Connect a bound UDP socket to itself, so that no datagram finds it any more.

    False: there is no way from its address to itself (a broadcast or multicast address).
    """
    ip, *rest = sock.getsockname()
    with contextlib.suppress(OSError):
        sock.connect((_ANY.get(ip, ip), *rest))
        return True
    return False


def _shut_window(sock: socket.socket) -> None:
    if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        sock.listen(0)
    else:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes it its minimum


def _stop_reading(sock: socket.socket) -> None:
    try:
        sock.shutdown(socket.SHUT_RD)
    except OSError as exc:
        if exc.errno != errno.ENOTCONN:
            raise
