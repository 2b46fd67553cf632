"""A collector as a process of its own, which can be killed, stopped and started again.

What it has read stands in its file before it is taken from its kernel, or answered: a message that
it has read and that is not there, there is none. Each line begins with the connection's name.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.scenarios.harness.messages import split
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.relp import OFFERS, encode, frames
from tests.scenarios.harness.waiting import SECONDS_MAX, until

RECEIVE_OCTETS = 64 << 10  # of a socket: its kernel holds twice this unread, or a little more

Kind = Literal["tcp", "relp"]


@dataclass(slots=True, eq=False)
class Collector:
    """Listens on a port of its own once it is started."""

    kind: Kind
    file: Path
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", __name__, self.kind, str(self.port), str(self.file)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        until(self._listens, "the collector listens")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(SECONDS_MAX)
            self._process = None

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def connections(self) -> Sequence[Sequence[bytes]]:
        """What was read over each connection, in order; the oldest connection first."""
        found: dict[bytes, list[bytes]] = {}
        for line in self.file.read_bytes().split(b"\n")[:-1] if self.file.exists() else ():
            name, _, message = line.partition(b" ")
            found.setdefault(name, []).append(message)
        return list(found.values())

    def _signal(self, number: int) -> None:
        if self._process:
            self._process.send_signal(number)

    def _listens(self) -> bool:
        with contextlib.suppress(ConnectionRefusedError):
            socket.create_connection((HOST, self.port), timeout=SECONDS_MAX).close()
            return True
        return False


def _serve(kind: str, port: int, file: str) -> None:
    out = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_OCTETS)
        listening.bind((HOST, port))
        listening.listen()
        count = 0
        while True:
            connection, _ = listening.accept()
            count += 1
            name = b"%d.%d " % (os.getpid(), count)
            read = _read_relp if kind == "relp" else _read_octet_counted
            threading.Thread(target=read, args=(connection, out, name), daemon=True).start()


def _read_octet_counted(connection: socket.socket, out: int, name: bytes) -> None:
    rest = b""
    with connection, contextlib.suppress(ConnectionResetError):
        while data := connection.recv(1 << 16, socket.MSG_PEEK):
            messages, rest = split(rest + data, "octet")
            os.write(out, b"".join([name + message + b"\n" for message in messages]))
            connection.recv(len(data))


def _read_relp(connection: socket.socket, out: int, name: bytes) -> None:
    with (
        connection,
        contextlib.suppress(ConnectionResetError, BrokenPipeError),
        connection.makefile("rb") as stream,
    ):
        for frame in frames(stream):
            said = b"200 OK"
            if frame.command == b"open":
                said += b"\n" + OFFERS
            elif frame.command == b"syslog":
                os.write(out, name + frame.data + b"\n")
            connection.sendall(encode(frame.number, b"rsp", said))
            if frame.command == b"close":
                return


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
