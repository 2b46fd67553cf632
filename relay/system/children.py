"""The processes of programs: children of our own, or of the helper where we may not have any."""

import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, Self

from relay.system import helper, launch

_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
_PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_START_SECONDS_MAX = 10.0  # of the helper; after it nothing has started yet


class Child(Protocol):
    """A process in a group of its own."""

    def watch(self) -> int:
        """A descriptor that is readable when it has ended; the caller closes it.

        Raises:
            OSError: there is none left.
        """

    def kill(self, *, hard: bool) -> None:
        """SIGTERM or SIGKILL to its group; not called any more once it was reaped."""

    def await_end(self) -> None:
        """Wait until it has ended, and take along what it has left in its group."""

    def reap(self) -> str:
        """How it has ended."""


# Of a command, its standard input, where launch.py says what is wrong, and its standard error.
Start = Callable[[Sequence[str], int, int, int], Child]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OwnChild:
    """A child of the thread that starts it, which must live as long."""

    process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, command: Sequence[str], given: int, status: int, said: int) -> Self:
        """As `Start`."""
        script = [sys.executable, "-I", "-S", launch.__file__]
        return cls(
            subprocess.Popen(  # noqa: S603 - the operator's own command
                [*script, str(os.getpid()), str(status), *command],
                stdin=given, stdout=subprocess.DEVNULL, stderr=said,
                pass_fds=[status], start_new_session=True, env=environment(),
            )
        )  # fmt: skip

    def watch(self) -> int:
        return os.pidfd_open(self.process.pid)

    def kill(self, *, hard: bool) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL if hard else signal.SIGTERM)

    def await_end(self) -> None:
        os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOWAIT)
        self.kill(hard=True)

    def reap(self) -> str:
        return ending(self.process.wait())


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class HelpersChild:
    """A child of the helper, spoken of on a socket of its own."""

    control: socket.socket

    def watch(self) -> int:
        return os.dup(self.control.fileno())

    def kill(self, *, hard: bool) -> None:
        with suppress(OSError):  # it has ended
            self.control.send(b"hard" if hard else b"soft")

    def await_end(self) -> None:
        poll = select.poll()  # its end is told when it was reaped
        poll.register(self.control, select.POLLIN)
        poll.poll()

    def reap(self) -> str:
        with self.control:
            try:
                word, _, code = self.control.recv(64).partition(b" ")
            except OSError:
                word, code = b"", b""
        return ending(int(code)) if word == b"ended" else GONE


GONE = "the helper that starts programs has ended; they need a restart of the relay"


class Helper:
    """A process that starts programs from a fixed list, and ends them when we end."""

    def __init__(self, commands: Iterable[Sequence[str]]) -> None:
        """Start it; to be called in the thread that lives longest, before the lock-down.

        Raises:
            OSError: it cannot be started.
        """
        self.commands = [tuple(it) for it in dict.fromkeys(tuple(it) for it in commands)]
        self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - our own
                [sys.executable, "-I", "-S", helper.__file__, str(theirs.fileno()),
                 str(os.getpid())],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()], start_new_session=True,
            )  # fmt: skip
        self._orders.settimeout(_START_SECONDS_MAX)
        self._orders.send(json.dumps([self.commands, environment()]).encode())
        if self._orders.recv(64) != b"ready":
            raise OSError(errno.ECHILD, "the helper that starts programs has not started")
        self._orders.settimeout(None)

    def start(self, command: Sequence[str], given: int, status: int, said: int) -> HelpersChild:
        """As `Start`.

        Raises:
            OSError: as fork(2); EPERM for a command that is not of the list; the helper has ended.
        """
        try:
            number = self.commands.index(tuple(command))
        except ValueError as exc:
            raise OSError(errno.EPERM, "not a command of the start: needs a restart") from exc
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs:
                fds = [given, status, said, theirs.fileno()]
                socket.send_fds(self._orders, [b"%d" % number], fds)
            word, _, code = control.recv(64).partition(b" ")
        except OSError as exc:
            control.close()
            raise OSError(exc.errno, GONE) from exc
        if word == b"started":
            return HelpersChild(control)
        control.close()
        if word == b"fault":
            raise OSError(int(code), os.strerror(int(code)))
        raise OSError(errno.ECHILD, GONE)

    def close(self) -> None:
        """End it, and with it all that it has started."""
        self._orders.close()
        self.process.wait()


def environment() -> dict[str, str]:
    """Little of ours: nothing that is meant for the service that we are."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"PATH": _PATH_DEFAULT, **passed}


def ending(code: int) -> str:
    """In words, as `subprocess.Popen.returncode` has it."""
    return f"ended with status {code}" if code >= 0 else f"killed by {_signal_name(-code)}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of the real-time ones only the ends have names
        return f"signal {number}"
