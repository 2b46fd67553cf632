"""Those who send, each over every transport it has: who said it is right in what Relay forwards.

Each case is one message. Facility, severity, host, program and process id must be the sender's in
RFC 5424 and in JSON alike; where a sender names no host, that is its address, or our name for the
programs of this machine.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness import syslog_ng
from tests.scenarios.harness.dev_log import cannot_mount, dev_log
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.rsyslog import MISSING as NO_RSYSLOG
from tests.scenarios.harness.rsyslog import Rsyslog
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until

BUSYBOX = shutil.which("busybox")
US = "edge01"
HERE = socket.gethostname()
SHORT = HERE.partition(".")[0]

CONFIG = """
[relay]
name = "edge01"

[listeners]
udp = { type = "udp", listen = ["127.0.0.1:@net@"] }
tcp = { type = "tcp", listen = ["127.0.0.1:@net@"] }
relp = { type = "relp", listen = ["127.0.0.1:@relp@"] }
datagram = { type = "unix", path = "log.sock" }
stream = { type = "unix", kind = "stream", path = "stream.sock" }

[destinations]
rfc5424 = { type = "file", path = "rfc5424.log", format = "rfc5424" }
json = { type = "file", path = "json.log", format = "json" }

[pipes]
rfc5424 = { from = "*", to = "rfc5424" }
json = { from = "*", to = "json" }
"""


class Said(NamedTuple):
    """Who said it, as it must be after the hop."""

    host: str
    program: str | None
    procid: str | None
    facility: str = "local3"
    severity: str = "err"


class Case(NamedTuple):
    """One message, whose text is its name."""

    name: str
    said: Said


_PRIORITY = 19 * 8 + 3
_RFC5424 = re.compile(r"<(\d+)>1 (\S+) (\S+) (\S+) (\S+) (\S+) (?:-|(?:\[.*?\])+) (.*)")


def _check(relay: RelayProcess, cases: Iterable[Case]) -> None:
    """What Relay has written of each case, in both formats."""
    expected = {case.name: case.said for case in cases}

    def all_came() -> bool:
        return all(len(_lines(relay, name)) >= len(expected) for name in ("rfc5424", "json"))

    with suppress(AssertionError):  # the difference says more
        until(all_came, "all came", 10)
    assert dict(map(_from_json, _lines(relay, "json"))) == expected
    assert dict(map(_from_rfc5424, _lines(relay, "rfc5424"))) == expected
    assert relay.stop() == 0


def _lines(relay: RelayProcess, name: str) -> list[str]:
    path = relay.directory / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


def _from_json(line: str) -> tuple[str, Said]:
    it = json.loads(line)
    said = Said(it["host"], it["program"], it["procid"], it["facility"], it["severity"])
    return it["message"].strip(), said


def _from_rfc5424(line: str) -> tuple[str, Said]:
    found = _RFC5424.fullmatch(line)
    assert found, line
    _, _, host, program, procid, _, text = found.groups()
    assert int(found[1]) == _PRIORITY, line
    return text.strip(), Said(host, _value(program), _value(procid))


def _value(field: str) -> str | None:
    return None if field == "-" else field


@pytest.fixture
def relay(prepare: Prepare, tmp_path: Path) -> RelayProcess:
    directory = tmp_path / "relay"
    directory.mkdir()
    relay = prepare(CONFIG, directory=directory)
    relay.start()
    return relay


# -- programs of this machine


@pytest.mark.skipif(not shutil.which("logger"), reason="logger (bsdutils) is not installed")
def test_logger(relay: RelayProcess) -> None:
    """util-linux's logger: UDP, TCP in both framings, both unix sockets; old and new header."""
    net = ["--server", HOST, "--port", str(relay.port("net"))]
    ways = {
        "udp": [*net, "--udp"],
        "tcp": [*net, "--tcp"],
        "octet": [*net, "--tcp", "--octet-count"],
    }
    formats = {"new": ["--rfc5424"], "old": ["--rfc3164"]}
    cases = []
    for way, options in ways.items():
        for kind, header in formats.items():
            host = {"new": HERE, "old": SHORT}[kind]
            cases.append(Case(f"{way} {kind}", Said(host, "backup", "4711")))
            _logger(relay, [*options, *header], cases[-1].name)
    for way, path in ("datagram", "log.sock"), ("stream", "stream.sock"):
        cases.append(Case(way, Said(US, "backup", "4711")))
        _logger(relay, ["--socket", path], way)
        cases.append(Case(f"{way} new", Said(HERE, "backup", "4711")))
        _logger(relay, ["--socket", path, "--rfc5424"], f"{way} new")
    _check(relay, cases)


def _logger(relay: RelayProcess, options: Sequence[str], text: str) -> None:
    common = ["--tag", "backup", "--id=4711", "--priority", "local3.err"]
    subprocess.run(["logger", *options, *common, text], cwd=relay.directory, check=True)


GLIBC = """
import syslog, sys
syslog.openlog("backup", syslog.LOG_PID, syslog.LOG_LOCAL3)
syslog.syslog(syslog.LOG_ERR, sys.argv[1])
"""


@pytest.mark.skipif(bool(cannot_mount()), reason=cannot_mount())
@pytest.mark.parametrize("kind", ["datagram", "stream"])
def test_syslog_3(relay: RelayProcess, tmp_path: Path, kind: str) -> None:
    """The C library's syslog(3), which tries a datagram socket first, then a stream."""
    path = relay.directory / {"datagram": "log.sock", "stream": "stream.sock"}[kind]
    command = [*dev_log(tmp_path, path), sys.executable, "-c", GLIBC, kind]
    with subprocess.Popen(command) as program:
        pass
    assert program.returncode == 0
    _check(relay, [Case(kind, Said(US, "backup", str(program.pid)))])


PYTHON = """
import logging, logging.handlers, socket, sys
way, address, port = sys.argv[1:]
kind = socket.SOCK_STREAM if way in ("tcp", "stream") else socket.SOCK_DGRAM
handler = logging.handlers.SysLogHandler(
    (address, int(port)) if port != "0" else address, facility="local3", socktype=kind
)
handler.setFormatter(logging.Formatter("backup[%(process)d]: %(message)s"))
logging.basicConfig(handlers=[handler])
logging.error(way)
"""


def test_python_sys_log_handler(relay: RelayProcess) -> None:
    """Python's logging, whose messages are a priority and a text that ends in NUL."""
    places = {
        "udp": (HOST, relay.port("net")),
        "tcp": (HOST, relay.port("net")),
        "datagram": (str(relay.directory / "log.sock"), 0),
        "stream": (str(relay.directory / "stream.sock"), 0),
    }
    cases = []
    for way, (address, port) in places.items():
        command = (
            [sys.executable, "-c", PYTHON, way, os.path.relpath(address)]
            if not port
            else [sys.executable, "-c", PYTHON, way, address]
        )
        with subprocess.Popen([*command, str(port)]) as program:
            pass
        assert program.returncode == 0
        cases.append(Case(way, Said(HOST if port else US, "backup", str(program.pid))))
    _check(relay, cases)


@pytest.mark.skipif(not BUSYBOX, reason="busybox is not installed")
@pytest.mark.skipif(bool(cannot_mount()), reason=cannot_mount())
def test_busybox(relay: RelayProcess, tmp_path: Path) -> None:
    """Its logger at our socket; and at its own syslogd, which sends to us over UDP, hostless."""
    assert BUSYBOX
    logger = [BUSYBOX, "logger", "-t", "backup[4711]", "-p", "local3.err"]
    ours = dev_log(tmp_path, relay.directory / "log.sock")
    subprocess.run([*ours, *logger, "datagram"], check=True)
    theirs = tmp_path / "busybox.sock"
    syslogd = [BUSYBOX, "syslogd", "-n", "-R", f"{HOST}:{relay.port('net')}"]
    with subprocess.Popen([*dev_log(tmp_path, theirs), *syslogd]) as process:
        until(theirs.exists, "busybox listens")
        subprocess.run([*dev_log(tmp_path, theirs), *logger, "forwarded"], check=True)
        until(lambda: "forwarded" in str(_lines(relay, "json")), "it is forwarded")
        process.terminate()
    cases = [Case("datagram", Said(US, "backup", "4711"))]
    _check(relay, [*cases, Case("forwarded", Said(HOST, "backup", "4711"))])


# -- other relays: what they pass on for a host behind them

ORIGIN = Said("fw1.example.net", "backup", "4711")
RSYSLOG_WAYS = {
    "udp": 'type="omfwd" target="127.0.0.1" port="@net@" protocol="udp"',
    "tcp": 'type="omfwd" target="127.0.0.1" port="@net@" protocol="tcp"',
    "octet": 'type="omfwd" target="127.0.0.1" port="@net@" protocol="tcp"'
    ' TCP_Framing="octet-counted"',
    "relp": 'type="omrelp" target="127.0.0.1" port="@relp@"',
}
RSYSLOG_HEADERS = {
    "new": "RSYSLOG_SyslogProtocol23Format",
    "old": "RSYSLOG_TraditionalForwardFormat",
    "iso": "RSYSLOG_ForwardFormat",
}
RSYSLOG = """
global(workDirectory="{directory}")
module(load="imtcp")
module(load="omrelp")
module(load="omuxsock")
input(type="imtcp" port="{port}" address="127.0.0.1")
$OMUxSockSocket %(socket)s
:msg, contains, "unix-new" :omuxsock:;RSYSLOG_SyslogProtocol23Format
$OMUxSockSocket %(socket)s
:msg, contains, "unix-old" :omuxsock:;RSYSLOG_TraditionalForwardFormat
"""


@pytest.mark.skipif(bool(NO_RSYSLOG), reason=NO_RSYSLOG)
def test_rsyslog(relay: RelayProcess, tmp_path: Path) -> None:
    """UDP, TCP in both framings, RELP and a unix socket, with each of its headers."""
    config = RSYSLOG % {"socket": relay.directory / "log.sock"}
    for way, action in RSYSLOG_WAYS.items():
        for kind, template in RSYSLOG_HEADERS.items():
            config += f':msg, contains, "{way}-{kind}" action({action} template="{template}")\n'
    names = [f"{way}-{kind}" for way in RSYSLOG_WAYS for kind in RSYSLOG_HEADERS]
    names += ["unix-new", "unix-old"]
    with Rsyslog(tmp_path / "rsyslog", _aimed(config, relay)) as rsyslog:
        _pass_on(rsyslog.port, names)
        _check(relay, [Case(name, ORIGIN) for name in names])


SYSLOG_NG_WAYS = {
    "udp-old": 'network("127.0.0.1" port(@net@) persist-name("udp-old") transport("udp"))',
    "udp-new": 'syslog("127.0.0.1" port(@net@) persist-name("udp-new") transport("udp"))',
    "tcp-old": 'network("127.0.0.1" port(@net@) persist-name("tcp-old") transport("tcp"))',
    "tcp-new": 'network("127.0.0.1" port(@net@) persist-name("tcp-new") transport("tcp")'
    " flags(syslog-protocol))",
    "octet-new": 'syslog("127.0.0.1" port(@net@) persist-name("octet-new") transport("tcp"))',
    "datagram": 'unix-dgram("@relay@/log.sock")',
    "stream": 'unix-stream("@relay@/stream.sock")',
}
SYSLOG_NG = """@version: 3.38
options { keep-hostname(yes); use-dns(no); stats-freq(0); };
source behind { network(ip("127.0.0.1") port(@port@) flags(syslog-protocol)); };
"""
SYSLOG_NG_PATH = 'log { source(behind); filter { message("%s") }; destination { %s; }; };\n'


@pytest.mark.skipif(bool(syslog_ng.MISSING), reason=syslog_ng.MISSING)
def test_syslog_ng(relay: RelayProcess, tmp_path: Path) -> None:
    """UDP, TCP in both framings, both unix sockets; old and new header."""
    port = free_port()
    config = SYSLOG_NG + "".join(SYSLOG_NG_PATH % way for way in SYSLOG_NG_WAYS.items())
    config = _aimed(config, relay).replace("@port@", str(port))
    with syslog_ng.running(tmp_path, config, port):
        _pass_on(port, SYSLOG_NG_WAYS)
        _check(relay, [Case(name, ORIGIN) for name in SYSLOG_NG_WAYS])


def _aimed(config: str, relay: RelayProcess) -> str:
    config = config.replace("@net@", str(relay.port("net")))
    config = config.replace("@relp@", str(relay.port("relp")))
    return config.replace("@relay@", str(relay.directory))


def _pass_on(port: int, names: Iterable[str]) -> None:
    """What the host behind it sends."""
    head = f"<{_PRIORITY}>1 2026-11-23T07:28:45Z {ORIGIN.host} {ORIGIN.program} {ORIGIN.procid}"
    with connected(port) as sender:
        for name in names:
            sender.sendall(f"{head} ID1 - {name}\n".encode())
