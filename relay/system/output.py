"""Terminals and pipes that are written to without waiting for whoever reads them."""

import errno
import fcntl
import os
import select
import signal
import stat
import struct
import termios
import threading
from collections.abc import Sequence
from functools import partial

import trio

from relay.system.descriptors import check_output
from relay.system.hops import Hops

# O_NOCTTY: a terminal does not become our controlling one, whose hangup would be a signal to us.
_OUTPUT = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class DescriptorOutput:
    """An open descriptor, non-blocking.

    Written in threads all the same: the console of a virtual terminal waits in write(2) for the
    kernel's own messages on a serial one. The lock orders hops: an abandoned one may still be
    writing when it is closed, and the number must not be another file's by then.
    """

    def __init__(self, number: int, hops: Hops) -> None:
        self._number = number
        self._hops = hops
        self._lock = threading.Lock()

    async def write(self, pieces: Sequence[bytes | memoryview]) -> int:
        return await self._hops.run(self._write, pieces)

    async def writable(self) -> None:
        await trio.lowlevel.wait_writable(self._number)

    def unread(self) -> int:
        # pipe(7): also of the end that is written to, and after the last reader has gone.
        answer = fcntl.ioctl(self._number, termios.FIONREAD, b"\0\0\0\0")
        return int(struct.unpack("i", answer)[0])

    def hung_up(self) -> bool:
        poll = select.poll()
        poll.register(self._number, 0)  # POLLHUP and POLLERR are always told
        return bool(poll.poll(0))

    async def close(self) -> None:
        number, self._number = self._number, -1
        if number >= 0:
            trio.lowlevel.notify_closing(number)
            await self._hops.finish(partial(self._close, number))

    def close_now(self) -> None:
        """As `close`, where nothing was written and nobody waits."""
        self._close(self._number)
        self._number = -1

    def _write(self, pieces: Sequence[bytes | memoryview]) -> int:
        # In the background of a terminal with `stty tostop`, writing to it would stop the relay;
        # with the signal blocked it is just written (tty_ioctl(4), TOSTOP).
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            with self._lock:
                return _write(self._number, pieces)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _close(self, number: int) -> None:
        with self._lock:
            os.close(number)


def open_terminal(path: str) -> int:
    """The descriptor of a terminal.

    Raises:
        OSError: as open(2); ENOTTY for anything else; EMFILE for one of the last descriptors.
    """
    number = os.open(path, _OUTPUT)
    try:
        if not os.isatty(number):
            raise OSError(errno.ENOTTY, "not a terminal", path)
        check_output(number)
    except OSError:
        os.close(number)
        raise
    return number


def open_fifo(path: str, mode: int | None) -> int:
    """The descriptor of a named pipe that somebody reads; with `mode`, a missing one is made.

    Raises:
        OSError: as open(2); ENXIO while nobody reads it, EEXIST for anything else, EMFILE for one
            of the last descriptors.
    """
    try:
        kind = os.stat(path).st_mode
    except FileNotFoundError:
        if mode is None:
            raise
        _make_fifo(path, mode)
        kind = os.stat(path).st_mode
    if not stat.S_ISFIFO(kind):  # looked at before: to open a device may do something
        raise OSError(errno.EEXIST, "not a named pipe", path)
    number = os.open(path, _OUTPUT)
    try:
        if not stat.S_ISFIFO(os.fstat(number).st_mode):  # replaced in this moment
            raise OSError(errno.EEXIST, "not a named pipe", path)
        check_output(number)
    except OSError:
        os.close(number)
        raise
    return number


def _make_fifo(path: str, mode: int) -> None:
    os.mkfifo(path, 0o600)
    os.chmod(path, mode)  # whatever the umask is


def _write(number: int, pieces: Sequence[bytes | memoryview]) -> int:
    taken = 0
    for piece in pieces:
        try:
            written = os.write(number, piece)
        except BlockingIOError:
            break
        except OSError:
            if taken:
                break  # what was taken is told first; the next call finds the fault again
            raise
        taken += written
        if written < len(piece):
            break
    return taken
