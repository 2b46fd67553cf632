"""Programs that write log files, and a real logrotate that rotates them."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest

from tests.scenarios.harness.waiting import until

KEPT = 60  # rotated files of each log

# By `create` a program goes on writing to the file it has open until it is told; what is compressed
# at once must not be written to any more.
KINDS = {
    "create": "create",
    "delaycompress": "create\n  compress\n  delaycompress",
    "compress": "create\n  compress",
    "dateext": "create\n  dateext\n  dateformat -%s",
    "extension": "create\n  extension .log",
    "copytruncate": "copytruncate",
    "copytruncate, compress": "copytruncate\n  compress",
}


@dataclass(slots=True, eq=False)
class Writer:
    """Writes numbered lines without a pause, and reopens its file when it is told to."""

    path: Path
    written: int = 0
    behind: Callable[[], bool] = lambda: False  # the reader is: wait
    lock: threading.Lock = field(default_factory=threading.Lock)  # held while a line is written
    _reopen: threading.Event = field(default_factory=threading.Event)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread = field(init=False)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=f"writer {self.path.name}")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def reopen(self) -> None:
        """Returns when it writes to the file that has the name now."""
        self._reopen.set()
        until(lambda: not self._reopen.is_set() or self._stop.is_set(), "the writer reopens")

    def _run(self) -> None:
        file = self.path.open("ab", buffering=0)
        while not self._stop.is_set():
            if self._reopen.is_set():
                file.close()
                file = self.path.open("ab", buffering=0)
                self._reopen.clear()
            with self.lock:
                lines = [self._line(self.written + each) for each in range(20)]
                if self.written % 100:
                    file.write(b"".join(lines))
                else:  # in two parts
                    data = b"".join(lines)
                    file.write(data[:-30])
                    file.write(data[-30:])
                self.written += 20
            time.sleep(0.05 if self.behind() else 0.01)
        file.close()

    def _line(self, number: int) -> bytes:
        stamp = time.strftime("%H:%M:%S")
        return b"%s %s %d %s\n" % (stamp.encode(), self.path.stem.encode(), number, b"." * 100)


@dataclass(slots=True, eq=False)
class Rotation:
    """A real logrotate with one configuration for each kind."""

    directory: Path
    done: int = 0

    def rotate(self, writer: Writer, kind: str) -> None:
        program = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            pytest.skip("needs logrotate")
        flag = self.directory / "reopen"
        configuration = self.directory / "logrotate.conf"
        configuration.write_text(
            f"{writer.path} {{\n  rotate {KEPT}\n  missingok\n  {KINDS[kind]}\n"
            f"  postrotate\n    touch {flag}; while [ -e {flag} ]; do sleep 0.005; done\n"
            "  endscript\n}\n"
        )
        configuration.chmod(0o600)
        copying = kind.startswith("copytruncate")
        if copying:
            writer.lock.acquire()  # between its copy and its truncation logrotate loses lines
        try:
            self._run(program, configuration, flag, writer, reopening=not copying)
        finally:
            if copying:
                writer.lock.release()
        self.done += 1

    def _run(
        self, program: str, configuration: Path, flag: Path, writer: Writer, *, reopening: bool
    ) -> None:
        state = self.directory / "logrotate.state"
        command: Sequence[object] = [program, "--force", "--state", state, configuration]
        with subprocess.Popen(command, stderr=subprocess.PIPE) as process:  # type: ignore[arg-type]
            while process.poll() is None:
                if flag.exists():
                    if reopening:
                        writer.reopen()
                    flag.unlink()
                time.sleep(0.002)
            assert process.stderr
            error = process.stderr.read().decode()
        assert not error or "already exists" in error, error  # `dateext` twice in one second
