"""A terminal whose other side is the test."""

import os
import pty
import select
import termios
import time
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

    def stop(self) -> None:
        """Somebody types ^S; returns when the terminal has understood it."""
        os.write(self.master, b"\x13")
        while select.select([], [self.slave], [], 0)[1]:
            time.sleep(0.001)

    def go(self) -> None:
        """Somebody types ^Q."""
        os.write(self.master, b"\x11")
        self.wait_for_room()

    def wait_for_room(self) -> None:
        """Return when the terminal takes something."""
        while not select.select([], [self.slave], [], 1)[1]:
            pass

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
