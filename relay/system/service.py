"""What we tell the service manager (sd_notify(3)) and how often it wants to hear of us."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from typing import Self


class ServiceManager:
    """The manager that started us, or none. No method raises or waits; news may get lost.

    But not for want of a descriptor: the socket is made at the start, before outputs take all.
    """

    def __init__(self, address: str | None = None) -> None:
        self.address = address
        self._socket: socket.socket | None = None
        if address is not None:
            with contextlib.suppress(OSError):
                self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def __del__(self) -> None:
        if self._socket is not None:
            self._socket.close()

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self, status: str = "running") -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        # Type=notify-reload wants the time, to tell reloads apart; `ready` ends one.
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}", "STATUS=reloading")

    def stopping(self, status: str = "stopping") -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def status(self, text: str) -> None:
        self._tell(f"STATUS={text}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def _tell(self, *assignments: str) -> None:
        if self.address is None or self._socket is None:
            return
        lines = (each.replace("\n", " ") for each in assignments)  # a newline ends an assignment
        message = "\n".join(lines).encode("utf-8", "backslashreplace")
        # An "@" stands for the NUL of an abstract address; vsock addresses are not for us.
        address = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError, ValueError):  # nobody hears it
            self._socket.sendto(message, socket.MSG_DONTWAIT, address)


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """After how long without `alive` the manager kills us (sd_watchdog_enabled(3)), or `None`.

    Half of it is the interval to keep.
    """
    microseconds = environ.get("WATCHDOG_USEC", "")
    process = environ.get("WATCHDOG_PID", "")
    if process and process != str(os.getpid()):
        return None
    if not (microseconds.isascii() and microseconds.isdigit() and int(microseconds)):
        return None
    return int(microseconds) / 1e6
