"""A terminal whose other side is the test."""

import os
import pty
import termios
from contextlib import suppress
from dataclasses import dataclass, field

import trio


@dataclass(slots=True, eq=False)
class Pty:
    """A terminal as a person has it: what is on the screen, and what is typed."""

    master: int = -1
    slave: int = -1
    path: str = ""
    shown: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.path = os.ttyname(self.slave)
        os.set_blocking(self.master, False)
        # Without output processing what is shown is what was written.
        attributes = termios.tcgetattr(self.slave)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(self.slave, termios.TCSANOW, attributes)

    def type(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def read(self) -> bytes:
        """All that has been shown so far."""
        with suppress(BlockingIOError):
            while True:
                self.shown += os.read(self.master, 65536)
        return bytes(self.shown)

    async def shows(self, wanted: bytes) -> None:
        with trio.fail_after(10):
            while self.read() != wanted:
                await trio.sleep(0.001)

    def log_out(self) -> None:
        """The shell ends; the terminal itself goes when its other side does."""
        os.close(self.slave)
        self.slave = -1

    def ended(self) -> bool:
        """Whether nobody has the terminal open any more."""
        try:
            self.shown += os.read(self.master, 65536)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        for number in (self.master, self.slave):
            if number >= 0:
                os.close(number)
        self.master = self.slave = -1
