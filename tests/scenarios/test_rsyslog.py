"""rsyslog, the peer that is everywhere, on either side of Relay."""

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import in_order, numbered, numbers, stream
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until

RSYSLOGD = shutil.which("rsyslogd") or "/usr/sbin/rsyslogd"
MESSAGES = 10_000
PIECE = 500  # messages sent at once over UDP, before the receiver has to have them

pytestmark = pytest.mark.skipif(not Path(RSYSLOGD).exists(), reason="rsyslogd is not installed")

INPUTS = """
global(workDirectory="{directory}")
module(load="imtcp")
module(load="imudp")
input(type="imtcp" port="{port}" address="127.0.0.1")
input(type="imudp" port="{port}" address="127.0.0.1" rcvbufSize="16m")
template(name="raw" type="string" string="%rawmsg%\\n")
"""
TO_FILE = 'action(type="omfile" file="{directory}/out.log" template="raw")\n'
TO_RELAY = (
    'action(type="omfwd" target="127.0.0.1" port="{target}" protocol="{protocol}"'
    ' template="RSYSLOG_SyslogProtocol23Format" {more})\n'
)

INTO_RSYSLOG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.rsyslog]
type = "@type@"
address = "127.0.0.1:@rsyslog@"
@more@

[pipes.forward]
from = "net"
to = "rsyslog"
"""
OUT_OF_RSYSLOG = """
[listeners]
tcp = { type = "tcp", listen = ["127.0.0.1:@net@"] }
udp = { type = "udp", listen = ["127.0.0.1:@net@"] }

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "octet"

[pipes.forward]
from = "*"
to = "peer"
"""


@contextmanager
def rsyslog(directory: Path, port: int, action: str) -> Iterator[Path]:
    """An rsyslogd that receives on this port; gives the file that `TO_FILE` writes."""
    config = directory / "rsyslog.conf"
    config.write_text(INPUTS.format(directory=directory, port=port) + action)
    command = [RSYSLOGD, "-n", "-f", str(config), "-i", str(directory / "rsyslog.pid")]
    log = (directory / "rsyslog.out").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            until(lambda: _listens(port), "rsyslogd listens")
            yield directory / "out.log"
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _has_lines(path: Path, count: int) -> bool:
    return len(_lines(path)) >= count


@pytest.mark.parametrize(
    ("kind", "more"),
    [("tcp", 'framing = "octet"'), ("tcp", 'framing = "lf"'), ("udp", "")],
    ids=["octet", "lf", "udp"],
)
def test_relay_to_rsyslog(prepare: Prepare, tmp_path: Path, kind: str, more: str) -> None:
    """Relay forwards 10,000 messages to rsyslog, which writes them into a file, each once."""
    port = free_port()
    with rsyslog(tmp_path, port, TO_FILE.format(directory=tmp_path)) as written:
        relay = prepare(INTO_RSYSLOG, {"rsyslog": port, "type": kind, "more": more})
        relay.start()
        messages = numbered(MESSAGES)
        with connected(relay.port("net")) as sender:
            for start in range(0, MESSAGES, PIECE):
                sender.sendall(stream(messages[start : start + PIECE], "octet"))
                until(partial(_has_lines, written, start + PIECE), "rsyslog has it")
        found = numbers(_lines(written))["a"]
        assert relay.stop() == 0
        assert len(found) == MESSAGES
        assert in_order(found) or kind == "udp"  # its workers may overtake each other
        assert sorted(found) == list(range(MESSAGES))


@pytest.mark.parametrize(
    ("protocol", "more"),
    [("tcp", 'TCP_Framing="octet-counted"'), ("tcp", 'TCP_Framing="traditional"'), ("udp", "")],
    ids=["octet", "lf", "udp"],
)
def test_rsyslog_to_relay(prepare: Prepare, tmp_path: Path, protocol: str, more: str) -> None:
    """Relay is what rsyslog forwards 10,000 messages to, and the next peer gets each once."""
    port = free_port()
    with StreamReceiver("octet") as peer:
        relay = prepare(OUT_OF_RSYSLOG, {"peer": peer.port})
        relay.start()
        forward = TO_RELAY.format(target=relay.port("net"), protocol=protocol, more=more)
        with rsyslog(tmp_path, port, forward):
            with connected(port) as sender:
                sender.sendall(stream(numbered(MESSAGES), "octet"))
            books = relay.until(
                lambda books: books["listeners"][protocol]["received"] >= MESSAGES, "all came"
            )
            listener = books["listeners"][protocol]
            assert listener["kernel_dropped"] == 0
            assert listener["invalid_headers"] == 0
            assert listener["frames"]["octet" if "octet" in more else "line"] == (
                0 if protocol == "udp" else listener["received"]
            )
            assert relay.stop() == 0
        peer.wait_ended()
        _check_forwarded(peer.messages)


def _check_forwarded(messages: Sequence[bytes]) -> None:
    ours = [message for message in messages if b" app - - " in message]
    found = numbers(ours)["a"]
    assert sorted(found) == list(range(MESSAGES))
    assert all(b" h app - - " in message for message in ours)
