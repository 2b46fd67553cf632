"""rsyslog as a process that speaks RELP, and can be stopped, killed and started again."""

import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.scenarios.harness.messages import numbers
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.waiting import SECONDS_MAX, until

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
MODULES = list(Path("/usr/lib").glob("*/rsyslog/imrelp.so")) + list(
    Path("/usr/lib/rsyslog").glob("imrelp.so")
)
MISSING = "" if Path(RSYSLOGD).exists() and MODULES else "rsyslogd and its RELP are not installed"
WINDOW = 128  # of its senders
TAIL_OCTETS = 4096  # of a file, in which the last line is

# The file is written before imrelp answers, so that what it has confirmed outlives a kill.
RECEIVER = """
global(workDirectory="{directory}" parser.escapeControlCharactersOnReceive="off")
main_queue(queue.type="Direct")
module(load="imrelp")
input(type="imrelp" port="{port}" address="127.0.0.1")
template(name="raw" type="string" string="%rawmsg%\\n")
action(type="omfile" file="{directory}/out.log" template="raw" flushOnTXEnd="on")
"""


@dataclass(slots=True, eq=False)
class Rsyslog:
    """An rsyslogd that listens on `port`, or on none when that is 0."""

    directory: Path
    config: str
    target: int = 0
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.directory.mkdir()
        text = self.config.format(directory=self.directory, port=self.port, target=self.target)
        (self.directory / "rsyslog.conf").write_text(text)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        print((self.directory / "rsyslog.out").read_text(errors="replace")[-3000:])

    def start(self) -> None:
        config, pid = self.directory / "rsyslog.conf", self.directory / "rsyslog.pid"
        pid.unlink(missing_ok=True)
        with (self.directory / "rsyslog.out").open("ab") as log:
            self._process = subprocess.Popen(
                [RSYSLOGD, "-n", "-f", str(config), "-i", str(pid)], stdout=log, stderr=log
            )
        if self.port:
            until(self._listens, "rsyslogd listens")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self._process
        self._process.terminate()
        return self._process.wait(SECONDS_MAX)

    def kill(self) -> None:
        assert self._process
        self._process.kill()
        self._process.wait()
        self._cut_unfinished_line()

    @property
    def written(self) -> Path:
        return self.directory / "out.log"

    def lines(self) -> list[bytes]:
        """Of its file, in order."""
        return self.written.read_bytes().split(b"\n")[:-1] if self.written.exists() else []

    def numbers(self) -> list[int]:
        """Of the messages in its file, in order."""
        return numbers(self.lines()).get("a", [])

    def last(self) -> int:
        """Number of the last message in its file; -1 without one."""
        if not self.written.exists():
            return -1
        with self.written.open("rb") as file:
            file.seek(max(0, self.written.stat().st_size - TAIL_OCTETS))
            return (numbers(file.read().split(b"\n")[:-1]).get("a") or [-1])[-1]

    def _cut_unfinished_line(self) -> None:
        """What it was killed in the middle of writing, and has told nobody that it has."""
        if self.written.exists():
            with self.written.open("rb+") as file:
                file.truncate(file.read().rfind(b"\n") + 1)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0
