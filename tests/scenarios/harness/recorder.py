"""A receiver that is a process, to be stopped and killed; what it has read is on disk."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Self

from tests.scenarios.harness.messages import split
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.waiting import SECONDS_MAX, until

READ_OCTETS = 64 << 10


class Recorder:
    """Accepts octet-counted streams and appends each to a file of its own, read by read."""

    def __init__(self, directory: Path, *, host: str = HOST, launcher: Sequence[str] = ()) -> None:
        directory.mkdir()
        self.directory = directory
        self.host = host
        self.port = free_port()
        self._launcher = launcher
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process:
            self.kill()

    def start(self) -> None:
        """Returns when it listens."""
        assert not self._process
        command = [sys.executable, "-m", __name__, self.host, str(self.port), str(self.directory)]
        self._process = subprocess.Popen([*self._launcher, *command], stdout=subprocess.PIPE)
        assert self._process.stdout
        assert self._process.stdout.readline() == b"listening\n"

    def pause(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self._signal(signal.SIGSTOP)
        _, status = os.waitpid(self._pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, also while it stands still: what it has not read is reset away."""
        self._signal(signal.SIGKILL)
        assert self._process
        assert self._process.stdout
        self._process.wait(SECONDS_MAX)
        self._process.stdout.close()
        self._process = None

    @property
    def connections(self) -> list[bytes]:
        paths = sorted(self.directory.iterdir(), key=lambda path: int(path.name))
        return [path.read_bytes() for path in paths]

    @property
    def messages(self) -> list[bytes]:
        """The whole messages of all connections, one after the other."""
        return [message for data in self.connections for message in split(data, "octet")[0]]

    def wait_messages(self, number: int) -> None:
        until(lambda: len(self.messages) >= number, f"{number} messages at the receiver")

    @property
    def _pid(self) -> int:
        assert self._process
        return self._process.pid

    def _signal(self, number: int) -> None:
        os.kill(self._pid, number)


def record(host: str, port: int, directory: Path) -> None:
    numbers = count(len(list(directory.iterdir())))
    with socket.create_server((host, port), backlog=64) as listening:
        print("listening", flush=True)
        while True:
            connection, _ = listening.accept()
            path = directory / str(next(numbers))
            path.touch()
            threading.Thread(target=_record, args=(connection, path), daemon=True).start()


def _record(connection: socket.socket, path: Path) -> None:
    with connection, path.open("ab", buffering=0) as file:
        while data := connection.recv(READ_OCTETS):
            file.write(data)


if __name__ == "__main__":
    record(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
