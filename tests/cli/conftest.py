"""Command lines, in this process or as one of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli.commands import cli

TEXT = """
[relay]
name = "edge01"
state_dir = "DIR/state"
drain_max = "1s"
[admin]
listen = ADMIN
[listeners.programs]
type = "unix"
path = "DIR/log.sock"
[listeners.internal]
type = "internal"
[destinations.recent]
type = "memory"
[pipes.look]
from = "programs"
to = "recent"
"""

Execute = Callable[..., Result]


@pytest.fixture
def execute() -> Execute:
    """Run a command line here."""

    def run(*arguments: str, stdin: bytes | None = None) -> Result:
        result = CliRunner().invoke(cli, arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


class Process:
    """`relay` as a process."""

    def __init__(
        self,
        *arguments: str,
        code: str = "",
        stdin: int | None = None,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
    ) -> None:
        program = ["-c", code] if code else ["-m", "relay", *arguments]
        self.process = subprocess.Popen(
            [sys.executable, *program], stdin=stdin, stdout=stdout, stderr=stderr
        )

    def status(self, key: str) -> str:
        """A line of /proc/PID/status."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{key}:"):
                return line.split(":", 1)[1].strip()
        raise AssertionError(f"no {key}")

    def wait_until_blocked(self, number: signal.Signals, *, blocked: bool = True) -> None:
        while bool(int(self.status("SigBlk"), 16) & (1 << (number - 1))) != blocked:
            assert self.process.poll() is None
            time.sleep(0.001)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, seconds_max: float = 20) -> tuple[int, str, str]:
        """Wait for the end; returns exit code, stdout and stderr."""
        try:
            out, err = self.process.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()
            raise
        return self.process.returncode, (out or b"").decode(), (err or b"").decode()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def write(directory: Path, admin: str = "off", text: str = TEXT) -> str:
    """A configuration file; returns its path."""
    path = directory / "relay.toml"
    listen = admin if admin.startswith('["') else f'"{admin}"'
    path.write_text(text.replace("DIR", str(directory)).replace("ADMIN", listen))
    return str(path)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A relay that runs; its directory, with `relay.toml` and `log.sock`."""
    directory = tmp_path_factory.mktemp("running")
    port = free_port()
    listen = f'["127.0.0.1:{port}", "unix:{directory}/admin/relay.sock"]'
    process = Process("run", "--config", write(directory, listen))
    try:
        for _ in range(2000):
            assert process.process.poll() is None, process.end()
            with socket.socket() as sock:
                listens = sock.connect_ex(("127.0.0.1", port)) == 0
            if listens and os.path.exists(directory / "admin" / "relay.sock"):
                break
            time.sleep(0.01)
        yield directory
    finally:
        process.signal(signal.SIGTERM)
        code, _, log = process.end()
    assert code == 0, log
    assert "exiting" in log
    assert not os.path.exists(directory / "log.sock")
