"""A relay as its operator runs it: a process, a configuration file, signals, a service manager."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.scenarios.harness.books import LOOK_SECONDS, Books, Samples, Scraper, Watch
from tests.scenarios.harness.locked_in import LOCKED_IN, give_away, give_terminals, locked_in
from tests.scenarios.harness.ports import fill
from tests.scenarios.harness.waiting import SECONDS_MAX, until

ROOT = Path(__file__).parents[3]

ADMIN = """
[admin]
listen = "127.0.0.1:@admin@"
"""


class RelayProcess:
    """`relay run` in a directory of its own; the test is its service manager.

    In the configuration `@name@` stands for one of `values`, or for a free port, `port("name")`.
    It needs no table `[admin]`.
    """

    def __init__(
        self,
        directory: Path,
        config: str,
        values: Mapping[str, object] | None = None,
        *,
        launcher: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        descriptors: Sequence[int] = (),
    ) -> None:
        self.directory = directory
        self._values: dict[str, object] = {"directory": directory, **(values or {})}
        self._launcher = launcher
        self._environ = environ or {}
        self._descriptors = descriptors
        self._process: subprocess.Popen[bytes] | None = None
        self._notices = _bound(directory / "notify")
        self._scraper: Scraper | None = None
        self._config = directory / "relay.toml"
        self._log = directory / "relay.log"
        self.write(config if "[admin]" in config else ADMIN + config)

    def write(self, config: str) -> None:
        """Another configuration, with the ports that the names had before; read at a reload."""
        text, ports = fill(locked_in(config), self._values)
        give_terminals(text)
        self._values.update(ports)
        self._config.write_text(text)

    def port(self, name: str) -> int:
        port = self._values[name]
        assert isinstance(port, int)
        return port

    def value(self, name: str) -> object:
        return self._values[name]

    # -- its life

    def start(self) -> None:
        """Start, and return when it is ready: the service manager has heard so."""
        self.start_unready()
        self.hear("READY=1")

    def start_unready(self) -> None:
        if LOCKED_IN:
            give_away(self.directory)
        command = [sys.executable, "-m", "relay", "run", "--config", str(self._config)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._launcher, *command],
                cwd=self.directory,
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(self.directory / "notify"),
                    **self._environ,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._descriptors,
            )

    def reload(self) -> None:
        """SIGHUP; returns when it is done with it."""
        self.signal(signal.SIGHUP)
        self.hear("RELOADING=1")
        self.hear("READY=1")

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def wait(self, seconds_max: float = SECONDS_MAX) -> int:
        """Return the exit code as soon as it has ended."""
        assert self._process
        code = self._process.wait(seconds_max)
        self._forget_scraper()
        return code

    def kill(self) -> None:
        """What kill -9 does."""
        self.signal(signal.SIGKILL)
        self.wait()

    def pause(self) -> None:
        """SIGSTOP; returns when it stands still."""
        self.signal(signal.SIGSTOP)
        _, status = os.waitpid(self.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def hear(self, word: str, seconds_max: float = SECONDS_MAX) -> Sequence[str]:
        """The next message to the service manager with this word in it; earlier ones are gone."""
        deadline = time.monotonic() + seconds_max
        while True:
            self._notices.settimeout(max(0.001, min(1.0, deadline - time.monotonic())))
            try:
                lines = self._notices.recv(65536).decode().split("\n")
            except TimeoutError:
                assert self.running, f"ended before {word}\n{self.log}"
                assert time.monotonic() < deadline, f"no {word}\n{self.log}"
                continue
            if word in lines:
                return lines

    def close(self) -> None:
        """The end of the test, whatever has become of the process."""
        if self.running:
            self.kill()
        self.release()
        print(self.log[-5000:])  # shown when the test has failed

    def release(self) -> None:
        """Let go of what is held for a process that has ended."""
        self._forget_scraper()
        self._notices.close()

    # -- looking at it

    @property
    def log(self) -> str:
        """What it has written to standard error and output."""
        return self._log.read_text(errors="backslashreplace")

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all threads so far (proc(5))."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @property
    def resident_octets(self) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        raise AssertionError("a process has a resident set")

    def get(self, path: str) -> tuple[int, bytes]:
        return self._scrape().get(path)

    def ledger(self) -> Books:
        """All books, which balance."""
        return self._scrape().ledger()

    def metrics(self) -> Samples:
        return self._scrape().metrics()

    def until(
        self, look: Callable[[Books], object], what: str, seconds_max: float = SECONDS_MAX
    ) -> Books:
        """The first books of which `look` says yes; all those before balance as well."""

        def seen() -> Books | None:
            books = self.ledger()
            return books if look(books) else None

        found = until(seen, what, seconds_max)
        assert found
        return found

    def watched(self, look_seconds: float = LOOK_SECONDS) -> Watch:
        """While inside, it is scraped without end, and every scrape must balance."""
        return Watch(self.port("admin"), look_seconds)

    def _scrape(self) -> Scraper:
        if self._scraper is None:
            self._scraper = Scraper(self.port("admin"))
        return self._scraper

    def _forget_scraper(self) -> None:
        if self._scraper is not None:
            self._scraper.close()
            self._scraper = None


def _bound(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(path))
    return sock
