"""The file of a listening unix socket: made with the right permissions, removed only if ours."""

import contextlib
import errno
import grp
import os
import pwd
import socket
import stat
from typing import NamedTuple, Self

from relay.system.make import make_directory
from relay.system.ports import Endpoint

# Any local program may log, as with /dev/log. Sending takes write permission (unix(7)).
MODE_DEFAULT = 0o666


class UnixFile(NamedTuple):
    path: str  # absolute: the working directory may change before the end
    device: int
    inode: int

    @classmethod
    def of(cls, path: str) -> Self:
        status = os.lstat(path)
        return cls(os.path.abspath(path), status.st_dev, status.st_ino)

    def adjust(self, endpoint: Endpoint) -> None:
        """Give the file the owner and the mode that the endpoint says.

        Raises:
            OSError: not permitted, or an unknown owner.
        """
        user, group = _owner(endpoint.owner)
        if (user, group) != (-1, -1):
            os.chown(self.path, user, group, follow_symlinks=False)
        os.chmod(self.path, MODE_DEFAULT if endpoint.mode is None else endpoint.mode)

    def unlink(self) -> None:
        """Remove it unless somebody has put another in its place.

        Call it before the socket is closed: until then the inode number cannot be used again.
        Where privileges were dropped it may stay; the next start replaces it.
        """
        with contextlib.suppress(OSError):
            if UnixFile.of(self.path) == self:
                os.unlink(self.path)


def bind_unix(sock: socket.socket, endpoint: Endpoint) -> UnixFile:
    """Bind to the endpoint's path, making its directory if that alone is missing.

    A file that nobody listens on any more is replaced.

    Raises:
        OSError: the path is in use, is no socket, or cannot be made; an unknown owner.
    """
    path = endpoint.address
    _owner(endpoint.owner)  # an unknown one is an error before anything is made
    make_directory(os.path.dirname(path) or ".")
    _remove_stale(path, sock.type)
    # bind(2) makes the file with the mode of the socket's own inode, less the umask. Starting with
    # the owner alone and widening last leaves no moment in which too many may send, and the umask,
    # which other threads share, is left alone.
    os.fchmod(sock.fileno(), 0o600)
    _bind(sock, path)
    file = UnixFile.of(path)
    try:
        file.adjust(endpoint)
    except OSError:
        file.unlink()
        raise
    return file


def _bind(sock: socket.socket, path: str) -> None:
    try:
        sock.bind(path)
    except OSError as exc:
        if exc.errno is None:  # Python's own "AF_UNIX path too long"
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)) from exc
        raise


def _remove_stale(path: str, kind: int) -> None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise OSError(errno.EEXIST, "the path exists and is no socket")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        # connect(2): refused means that no socket is bound to the file any more. EAGAIN (backlog
        # full) and EPROTOTYPE (a socket of the other kind) come from a live one.
        answer = probe.connect_ex(path)
    if answer == errno.EACCES:
        raise OSError(answer, os.strerror(answer))
    if answer != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, "in use by another process")
    os.unlink(path)


def _owner(owner: str | None) -> tuple[int, int]:
    """Numbers for chown(2) from `USER`, `USER:GROUP` or `:GROUP`; -1 leaves it."""
    user, _, group = (owner or "").partition(":")
    try:
        uid = -1 if not user else int(user) if user.isdigit() else pwd.getpwnam(user).pw_uid
        gid = -1 if not group else int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise OSError(errno.EINVAL, f"owner {owner!r} is unknown here") from exc
    return uid, gid
