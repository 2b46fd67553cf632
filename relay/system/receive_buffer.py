"""The receive buffer of a socket: as large as wanted, or as allowed."""

import socket

_SO_RCVBUFFORCE = 33  # asm-generic/socket.h; the `socket` module does not name it


def grow_receive_buffer(sock: socket.socket, octets: int | None) -> int | None:
    """Ask for a receive buffer and say what there is (unix sockets use the sender's: None)."""
    if octets is None or sock.family == socket.AF_UNIX:
        return None
    present = _receive_buffer(sock)
    if present >= octets:
        return octets
    try:  # past net.core.rmem_max, with CAP_NET_ADMIN (socket(7))
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, octets)
    except PermissionError:
        if present < min(octets, _receive_buffer_max()):
            # Never less than there is: a service manager could give more than we can ask for.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
    return _receive_buffer(sock)


def _receive_buffer(sock: socket.socket) -> int:
    """What we would call its size; the kernel says the double, for its own overhead (socket(7))."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2


def _receive_buffer_max() -> int:
    """What may be asked for without privileges; 0 where the kernel does not say."""
    try:
        with open("/proc/sys/net/core/rmem_max", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0
