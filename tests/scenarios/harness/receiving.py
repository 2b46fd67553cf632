"""Receivers that are processes: they can be stopped and killed, and live where a test puts them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from tests.bench.oracle import recorded
from tests.scenarios.harness.messages import numbers
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.process import ROOT
from tests.scenarios.harness.waiting import until


class ReceivingProcess:
    """Octet counted TCP. What it has read is on file, whatever becomes of it; it runs inside."""

    def __init__(self, directory: Path, host: str = HOST, launcher: Sequence[str] = ()) -> None:
        self.port = free_port()
        self._host = host
        self._launcher = launcher
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._directory.mkdir()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Return when it listens, on the port that it has had before."""
        module = ("-m", "tests.bench.receiver", str(self.port), str(self._directory), self._host)
        self._process = subprocess.Popen(
            [*self._launcher, sys.executable, *module], cwd=ROOT, stdout=subprocess.PIPE
        )
        assert self._process.stdout
        assert json.loads(self._process.stdout.readline()) == {"port": self.port}

    def pause(self) -> None:
        """SIGSTOP; returns when it stands still."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def resume(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Its kernel says FIN when it has read everything, and else resets."""
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    @property
    def messages(self) -> Sequence[bytes]:
        return recorded(self._directory)

    @property
    def connections(self) -> int:
        return len(list(self._directory.iterdir()))

    def numbers(self, sender: str = "a") -> list[int]:
        """Of this sender's messages, in order of arrival."""
        return numbers(self.messages).get(sender, [])

    def wait_for(self, count: int, seconds_max: float = 30.0) -> None:
        """Until it has read so many different messages."""
        until(lambda: len(set(self.numbers())) >= count, f"{count} messages come", seconds_max)
