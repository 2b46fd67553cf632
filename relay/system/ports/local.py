"""What is on this machine beside files: terminals, named pipes, programs, and who is logged in."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Login(NamedTuple):
    """Somebody who is logged in."""

    user: str
    terminal: str  # the path of the device
    closed: bool = False  # its user wants no messages there (mesg(1))


class Output(Protocol):
    """A terminal, a named pipe or a program's standard input."""

    async def write(self, pieces: Sequence[bytes | memoryview]) -> int:
        """Give it the pieces in order until one is not taken as a whole; octets taken, maybe 0.

        Never waits for whoever reads. A cancelled call still runs to its end and returns its
        result, unless the stop's deadline has abandoned it.

        Raises:
            OSError: it has hung up, or nobody reads it any more; nothing was taken by this call.
        """

    async def writable(self) -> None:
        """Wait until `write` takes more, or raises."""

    def unread(self) -> int:
        """Octets of a pipe that were taken and not read; still answered when nobody reads."""

    def hung_up(self) -> bool:
        """Whether nobody reads it any more."""

    async def close(self) -> None: ...


class Program(Protocol):
    """A program that runs, in a session and a process group of its own."""

    @property
    def stdin(self) -> Output: ...

    async def ended(self) -> str:
        """Wait until it has ended; how, and the last that it said on standard error."""

    def kill(self, *, hard: bool) -> None:
        """SIGTERM or SIGKILL to it and what it has started; harmless when it has ended."""


class Local(Protocol):
    """Opens what is on this machine, in threads of the pipe's own limiter.

    As with `Disk`, a cancelled call of `open_…` runs to its end.
    """

    async def open_terminal(self, path: str) -> Output:
        """Open a terminal, which does not become our controlling one.

        Raises:
            OSError: as open(2); ENOTTY for what is no terminal.
        """

    async def open_fifo(self, path: str, *, mode: int | None) -> Output:
        """Open a named pipe that somebody reads; with `mode`, make one that is missing.

        Raises:
            OSError: as open(2); ENXIO while nobody reads it, EEXIST for what is no named pipe.
        """

    async def start(self, command: Sequence[str]) -> Program:
        """Start a program; no shell is between. Cancelled: it is killed.

        Raises:
            OSError: it cannot be executed.
        """

    async def logins(self) -> Sequence[Login]:
        """Who is logged in on a terminal, each terminal once.

        Raises:
            OSError: that cannot be known here.
        """
