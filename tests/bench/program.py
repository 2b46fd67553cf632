"""The programs that are compared: how each is configured, started, and known to be ready."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from tests.bench import outputs
from tests.bench.child import ROOT, Silent
from tests.bench.generator import HOST

HERE = Path(__file__).parent
# "many" is for many connections at once, on "dead" nobody listens, on "other" now and then.
PORTS = ("tcp", "many", "tls", "udp", "relp", "admin", "dead", "other")
READY_SECONDS_MAX = 20.0
STOP_SECONDS_MAX = 20.0
_LISTENING = "0A"  # the state of a listening socket in /proc/net/tcp: include/net/tcp_states.h


# The admin server as well: what it imports on its way up is no cost of a message.
_ADMIN = ("tcp", "admin")

# How messages are seen to have left: as octets at the sink, which are known; as lines there, where
# their sizes are not; in a file; or in the ledger, which only Relay has.
Ends = Literal["sink", "lines", "file", "ledger"]


@dataclass(frozen=True, slots=True)
class Program:
    name: str
    template: Path  # a configuration with @names@ to fill in
    command: tuple[str, ...]  # the same names
    bound: tuple[tuple[str, str], ...]  # when ready: kinds of socket, and the names of their ports
    # More names of its template, and what they stand for; which may hold names again.
    values: tuple[tuple[str, str], ...] = ()
    copies: int = 1  # of each message leave it
    ends: Ends = "sink"
    hup_seconds: float | None = None  # it gets a SIGHUP so often
    # What names stand for instead when it reads its configuration the first, third, fifth time
    # again; nothing: it never changes.
    turned: tuple[tuple[str, str], ...] = ()
    tree: Path = ROOT  # where it is started: from here Python takes the package `relay`
    ready_seconds_max: float = READY_SECONDS_MAX

    def missing(self) -> bool:
        return shutil.which(self.command[0]) is None

    def counts_reloads(self) -> bool:
        """Whether it says how often it has read its configuration: only Relay does."""
        return _ADMIN in self.bound


_RELAY_COMMAND = (sys.executable, "-m", "relay", "run", "--config", "@configuration@")
_RSYSLOG_COMMAND = ("rsyslogd", "-n", "-f", "@configuration@", "-i", "@directory@/pid")

RELAY = Program(
    "relay",
    HERE / "relay.toml",
    _RELAY_COMMAND,
    (("tcp", "tcp"), ("tcp", "many"), ("udp", "udp"), _ADMIN),
    (("outputs", outputs.relay("sink", outputs.TO_SINK)),),
)
RELAY_DURABLE = Program("relay", HERE / "durable.toml", _RELAY_COMMAND, (("tcp", "tcp"), _ADMIN))
RELAY_RELP = Program("relay", HERE / "relp.toml", _RELAY_COMMAND, (("tcp", "relp"), _ADMIN))
RELAY_TLS = Program("relay", HERE / "tls.toml", _RELAY_COMMAND, (("tcp", "tls"), _ADMIN))

RSYSLOG = Program(
    "rsyslog",
    HERE / "rsyslog.conf",
    _RSYSLOG_COMMAND,
    (("tcp", "tcp"), ("tcp", "many"), ("udp", "udp")),
    (("outputs", outputs.rsyslog()),),
)
RSYSLOG_DISK = Program(
    "rsyslog, disk queue",
    HERE / "durable-rsyslog.conf",
    _RSYSLOG_COMMAND,
    (("tcp", "tcp"),),
    (("sync", "off"), ("checkpoint", "0")),
)
RSYSLOG_SYNCED = replace(
    RSYSLOG_DISK, name="rsyslog, disk queue, synced", values=(("sync", "on"), ("checkpoint", "1"))
)
RSYSLOG_RELP = Program(
    "rsyslog, queue in memory",
    HERE / "relp-rsyslog.conf",
    _RSYSLOG_COMMAND,
    (("tcp", "relp"),),
    (("main", "FixedArray"), ("action", "Direct")),
)
RSYSLOG_RELP_DIRECT = replace(
    RSYSLOG_RELP, name="rsyslog, no queue", values=(("main", "Direct"), ("action", "Direct"))
)
RSYSLOG_RELP_DISK = replace(
    RSYSLOG_RELP, name="rsyslog, queue on disk", values=(("main", "FixedArray"), ("action", "Disk"))
)

RSYSLOG_OPENSSL = Program(
    "rsyslog, OpenSSL",
    HERE / "tls-rsyslog.conf",
    _RSYSLOG_COMMAND,
    (("tcp", "tls"),),
    (("library", "ossl"),),
)
RSYSLOG_GNUTLS = replace(RSYSLOG_OPENSSL, name="rsyslog, GnuTLS", values=(("library", "gtls"),))


@dataclass(frozen=True, slots=True)
class Running:
    pid: int
    ports: Mapping[str, int]  # by name
    directory: Path  # its own, gone with it
    values: Mapping[str, str] = field(
        default_factory=dict
    )  # what the names in its template stand for


@contextmanager
def running(program: Program, sink_port: int, **more: str) -> Iterator[Running]:
    """The program, forwarding to the sink; it is stopped at the end.

    More names than those of all programs may stand in its template, and are given here.

    Raises:
        Silent: it did not become ready.
    """
    with TemporaryDirectory(prefix="relay-bench-") as directory:
        ports = {name: _free_port() for name in PORTS}
        configuration = Path(directory, program.template.name)
        values = {
            **dict(program.values),
            "configuration": str(configuration),
            "directory": directory,
            "sink": str(sink_port),
            **{name: str(port) for name, port in ports.items()},
            **more,
        }
        configure(program, values)
        command = [filled(word, values) for word in program.command]
        with Path(directory, "log").open("w+") as log:
            process = subprocess.Popen(command, cwd=program.tree, stdout=log, stderr=log)
            try:
                bound = [(kind, ports[name]) for kind, name in program.bound]
                _wait_until_ready(process, bound, program.ready_seconds_max)
                yield Running(process.pid, ports, Path(directory), values)
            except Silent as silent:
                log.seek(0)
                raise Silent(f"{program.name}: {silent}\n{log.read()[-2000:]}") from silent
            finally:
                _stop(process)


def configure(program: Program, values: Mapping[str, str]) -> None:
    """Write its configuration in one go, as it may be about to read the one before."""
    path = Path(values["configuration"])
    new = path.with_suffix(".new")
    new.write_text(filled(program.template.read_text(), values))
    new.rename(path)


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with each `@name@` replaced."""
    for name, value in values.items():
        template = template.replace(f"@{name}@", value)
    return template


def _free_port() -> int:
    with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagram:
        stream.bind((HOST, 0))
        port: int = stream.getsockname()[1]
        datagram.bind((HOST, port))
        return port


def _wait_until_ready(
    process: subprocess.Popen[bytes], sockets: Sequence[tuple[str, int]], seconds_max: float
) -> None:
    """Until all are bound: without a connection or a message, which would be counted."""
    deadline = time.monotonic() + seconds_max
    while not all(_is_bound(transport, port) for transport, port in sockets):
        if process.poll() is not None:
            raise Silent(f"ended with {process.returncode}")
        if time.monotonic() > deadline:
            raise Silent(f"not ready after {seconds_max:g} s")
        time.sleep(0.02)


def _is_bound(transport: str, port: int) -> bool:
    rows = Path(f"/proc/net/{transport}").read_text().splitlines()[1:]
    return any(
        fields[1].endswith(f":{port:04X}") and (transport == "udp" or fields[3] == _LISTENING)
        for fields in map(str.split, rows)
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
