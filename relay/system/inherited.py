"""Sockets that the service manager opened for us (sd_listen_fds(3))."""

import errno
import os
import socket
from collections.abc import MutableMapping

_FIRST_DESCRIPTOR = 3  # SD_LISTEN_FDS_START

_VARIABLES = ("LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDS", "LISTEN_FDNAMES")


def inherited_sockets(environ: MutableMapping[str, str]) -> dict[str, list[socket.socket]]:
    """The sockets by FileDescriptorName; removes the variables, so that no child believes them.

    To be called once, at start. The sockets stay the caller's.

    Raises:
        OSError: one of the descriptors is no socket, or is not there.
    """
    process, _, count, names = [environ.pop(variable, "") for variable in _VARIABLES]
    if process != str(os.getpid()) or not count.isdigit():
        return {}
    listed = names.split(":") if names else []
    sockets: dict[str, list[socket.socket]] = {}
    for position in range(int(count)):
        # sd_listen_fds_with_names(3): "unknown" where the manager gives no name
        name = listed[position] if position < len(listed) else "unknown"
        sockets.setdefault(name, []).append(_take(_FIRST_DESCRIPTOR + position, name))
    return sockets


def _take(number: int, name: str) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        return socket.socket(fileno=number)
    except OSError as exc:
        reason = "is no socket" if exc.errno == errno.ENOTSOCK else exc.strerror
        raise OSError(exc.errno, f"inherited descriptor {number} ({name}): {reason}") from exc
