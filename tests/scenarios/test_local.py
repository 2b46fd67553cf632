"""What programs on this machine log: each way that they have, and what happens when nobody reads.

A unix socket drops nothing. Its sender is the one who notices that the queue is full: it waits, or
is told EAGAIN when it must not.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.dev_log import cannot_mount, dev_log
from tests.scenarios.harness.messages import in_order, numbered, numbers
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.waiting import SECONDS_MAX, until

CONFIG = """
[listeners.local]
type = "unix"
path = @path@

[destinations.peer]
type = "tcp"
confirm = "sent"
address = "127.0.0.1:@peer@"
framing = "lf"

[destinations.file]
type = "file"
path = "all.log"

[pipes.forward]
spool = "never"
from = "*"
to = "peer"

[pipes.file]
from = "*"
to = "file"
"""
FLOOD = 5000


def _launched(prepare: Prepare, peer: StreamReceiver, path: str, **keys: object) -> RelayProcess:
    relay = prepare(CONFIG, {"peer": peer.port, "path": path}, **keys)  # type: ignore[arg-type]
    relay.start()
    return relay


def _socket(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.settimeout(SECONDS_MAX)
    try:
        sock.connect(os.path.relpath(path))
    except OSError:
        sock.close()
        raise
    return sock


# -- as /dev/log

SYSLOG3 = """
import syslog
syslog.openlog("regress", syslog.LOG_PID, syslog.LOG_MAIL)
for text in ("one", "two\\n", "", "\\n", "three " + "x" * 6000):
    syslog.syslog(syslog.LOG_ERR, text)
"""


@pytest.mark.skipif(bool(cannot_mount()), reason=cannot_mount())
def test_glibc_syslog3_on_dev_log(prepare: Prepare) -> None:
    """Program and process id are those of the caller, no blank line and no end of line remains."""
    with StreamReceiver() as peer:
        relay = _launched(prepare, peer, '"log.sock"')
        start = dev_log(relay.directory, relay.directory / "log.sock")
        subprocess.run([*start, sys.executable, "-c", SYSLOG3], check=True, timeout=SECONDS_MAX)
        peer.wait_for(b"three")
        assert relay.stop() == 0
        peer.wait_ended()
        head = re.compile(rb"<19>[A-Z][a-z]{2} [ \d]\d [\d:]{8} regress\[\d+\]: ?(.*)")
        found = [head.fullmatch(it) for it in peer.messages]
        assert [it[1] for it in found if it] == [b"one", b"two", b"", b"", b"three " + b"x" * 6000]
        lines = (relay.directory / "all.log").read_bytes().split(b"\n")
        assert lines == [*peer.messages, b""]


def test_only_the_configured_sockets_are_listened_on(prepare: Prepare) -> None:
    """Twenty-one sockets, and a twenty-second path on which nobody listens."""
    with StreamReceiver() as peer:
        names = [f"log{n}.sock" for n in range(21)]
        relay = _launched(prepare, peer, str(names).replace("'", '"'))
        for number, name in enumerate(names):
            with _socket(relay.directory / name) as sock:
                sock.send(numbered(1, start=number)[0])
        with pytest.raises(FileNotFoundError):
            _socket(relay.directory / "log21.sock")
        peer.wait_for(b"seq=20;")
        assert relay.stop() == 0
        peer.wait_ended()
        assert sorted(numbers(peer.messages)["a"]) == list(range(21))
        assert "descriptors" not in relay.log


# -- before the start, and while the relay stands still


def _filled(sock: socket.socket) -> int:
    """Send without waiting until the queue is full; how many it took."""
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sock.send(numbered(1, start=sent)[0])
            sent += 1
    except BlockingIOError:
        return sent


ACTIVATED = [sys.executable, "-c",
             "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update("
             "LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='syslog-local'); "
             "os.execv(sys.argv[2], sys.argv[2:])"]  # fmt: skip


def test_nothing_is_lost_before_the_start(prepare: Prepare, tmp_path: Path) -> None:
    """The service manager has the socket; programs log before the relay runs, and between two.

    The queue takes `net.unix.max_dgram_qlen` and one more. Whoever must not wait hears of it, so
    that what was sent is all delivered, twice: by the relay that is started, and by the next one.
    """
    with StreamReceiver() as peer, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as managed:
        managed.bind(os.path.relpath(tmp_path / "managed.sock"))
        relay = prepare(
            CONFIG,
            {"peer": peer.port, "path": '"fd:syslog-local"'},
            launcher=[*ACTIVATED, str(managed.fileno())],
            descriptors=[managed.fileno()],
        )
        sent = []
        for _ in range(2):
            with _socket(tmp_path / "managed.sock") as sock:
                sent.append(_filled(sock))
            relay.start()
            relay.until(
                lambda books: books["pipes"]["forward"]["delivered"]["sent"] == sent[-1],
                "what waited in the socket is delivered",
            )
            assert relay.stop() == 0
        queue = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
        assert sent == [queue + 1, queue + 1]
        assert numbers(peer.messages)["a"] == [*range(sent[0]), *range(sent[1])]


def test_senders_wait_while_the_relay_stands_still(prepare: Prepare) -> None:
    """5,000 messages by a program that waits, while the relay is stopped and goes on.

    It is blocked when the queue is full; nothing is lost, nothing comes twice.
    """
    with StreamReceiver() as peer:
        relay = _launched(prepare, peer, '"log.sock"')
        relay.pause()
        done = threading.Event()

        def flood() -> None:
            with _socket(relay.directory / "log.sock") as sock:
                for message in numbered(FLOOD):
                    sock.send(message)
            done.set()

        thread = threading.Thread(target=flood)
        thread.start()
        assert not done.wait(0.5)
        relay.resume()
        assert done.wait(SECONDS_MAX)
        thread.join()
        relay.until(
            lambda books: books["pipes"]["forward"]["delivered"]["sent"] == FLOOD, "all delivered"
        )
        assert relay.ledger()["listeners"]["local"]["kernel_dropped"] == 0
        assert relay.stop() == 0
        peer.wait_ended()
        found = numbers(peer.messages)["a"]
        assert len(found) == FLOOD
        assert in_order(found)


def test_large_messages_while_the_relay_stands_still(prepare: Prepare) -> None:
    """Eight of 8192 octets fit into the queue: their number counts there, and not their octets."""
    with StreamReceiver() as peer:
        relay = _launched(prepare, peer, '"log.sock"')
        relay.pause()
        with _socket(relay.directory / "log.sock") as sock:
            sock.setblocking(False)
            for number in range(8):
                head = b"<13>1 - h app - - - from=a seq=%d;" % number
                sock.send(head + b"x" * (8192 - len(head)))
        relay.resume()
        peer.wait_for(b"seq=7;")
        assert relay.stop() == 0
        peer.wait_ended()
        assert [len(it) for it in peer.messages] == [8192] * 8


def test_a_reader_that_was_stopped_for_good_is_seen_by_its_senders(prepare: Prepare) -> None:
    """Kill -9: what the queue held is gone with the socket, and whoever sends now is refused."""
    with StreamReceiver() as peer:
        relay = _launched(prepare, peer, '"log.sock"')
        with _socket(relay.directory / "log.sock") as sock:
            sock.send(numbered(1)[0])
            peer.wait_for(b"seq=0;")
            relay.signal(signal.SIGKILL)
            relay.wait()
            with pytest.raises(ConnectionRefusedError):
                sock.send(numbered(1)[0])
        until(lambda: not relay.running, "it has ended")
