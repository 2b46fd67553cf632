"""Fault matrix: more than a socket, or a table of descriptors, can hold."""

import shutil
import socket
import threading
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import all_connected, connected
from tests.scenarios.harness.waiting import SECONDS_MAX, until

FLOOD = 5000  # messages of each of the programs that log
PROGRAMS = 4
DESCRIPTORS = 64
CLIENTS = 100

LOCAL = """
[listeners.programs]
type = "unix"
path = "log.sock"
mode = "0666"

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
from = "programs"
to = "peer"
messages = 100000
"""
CROWDED = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations]
log = { type = "file", path = "@directory@/logs/messages.log" }
dead = { type = "tcp", address = "127.0.0.1:@dead@" }

[pipes.store]
from = "net"
to = "log"

[pipes.keep]
from = "net"
to = "dead"
spool = "always"
spool_size = "8MiB"
"""


def test_row_20_programs_that_log_while_the_relay_stands_still(prepare: Prepare) -> None:
    """Four programs log as fast as they can to a relay that is stopped: they block.

    Once it runs again, everything they had to say arrives, each program's in order.
    """
    with StreamReceiver() as peer:
        relay = prepare(LOCAL, {"peer": peer.port})
        relay.start()
        relay.pause()
        sent = [0] * PROGRAMS
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(str(relay.directory / "log.sock"))

            def log(place: int) -> None:
                for message in numbered(FLOOD, f"p{place}"):
                    sock.send(message)
                    sent[place] += 1

            threads = [threading.Thread(target=log, args=(place,)) for place in range(PROGRAMS)]
            for thread in threads:
                thread.start()
            before = until(lambda: sum(sent), "the socket takes a few")
            assert before < PROGRAMS * FLOOD
            assert all(thread.is_alive() for thread in threads)
            relay.resume()
            for thread in threads:
                thread.join(SECONDS_MAX)
        relay.until(
            lambda books: books["pipes"]["forward"]["received"] == PROGRAMS * FLOOD, "all came"
        )
        assert relay.stop() == 0
        peer.wait_ended()
        assert numbers(peer.messages) == {
            f"p{place}": list(range(FLOOD)) for place in range(PROGRAMS)
        }


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit (util-linux) is not installed")
def test_row_31_files_and_spools_while_descriptors_are_short(prepare: Prepare) -> None:
    """Clients have taken every descriptor that they may have.

    A log file that is rotated away is opened again all the same, a spool begins its next segments,
    and nothing of what was accepted is lost.
    """
    launcher = ("prlimit", f"--nofile={DESCRIPTORS}:{DESCRIPTORS}")
    relay = prepare(CROWDED, launcher=launcher)
    relay.start()
    relay.ledger()  # somebody watches, and goes on to
    logs = relay.directory / "logs"
    current = logs / "messages.log"
    lines = 40_000  # some segments of a spool of 8 MiB
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(numbered(1), "lf"))
        until(current.exists, "the file is there")
        with all_connected(relay.port("net"), CLIENTS):
            until(lambda: "accept deferred" in relay.log, "no descriptor is left")
            limits = Path(f"/proc/{relay.pid}/limits").read_text()
            assert f"{DESCRIPTORS} " in limits.partition("Max open files")[2].partition("\n")[0]
            segments = len(_segments(relay.directory))
            current.rename(logs / "messages.1")
            relay.reload()
            sender.sendall(stream(numbered(lines, start=1), "lf"))
            relay.until(
                lambda books: books["pipes"]["store"]["delivered"]["stored"] == lines + 1,
                "all is in the files",
            )
            books = relay.until(lambda it: it["pipes"]["keep"]["at_risk"] == 0, "all is durable")
            assert len(_segments(relay.directory)) > segments
            assert total(books["pipes"]["keep"]["dropped"]) == 0
            assert total(books["pipes"]["keep"]["held"]) == lines + 1
    assert relay.stop() == 0
    found = numbers(
        line for path in (logs / "messages.1", current) for line in path.read_bytes().splitlines()
    )
    assert found == {"a": list(range(lines + 1))}
    assert current.stat().st_size


def _segments(directory: Path) -> list[Path]:
    return list((directory / "state" / "spool" / "keep").glob("*.seg"))
