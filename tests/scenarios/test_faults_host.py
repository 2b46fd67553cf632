"""Fault matrix: a host that is short of memory, whose clock jumps, or whose disk is slow."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.injection import Launcher, cannot_inject
from tests.scenarios.harness.messages import numbered, numbers, stream, told
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected, send_all
from tests.scenarios.harness.waiting import until
from tests.scenarios.test_troubles import CONFIG as HEALTHY
from tests.scenarios.test_troubles import exchange

DAY_SECONDS = 86_400
LIMIT = 160 << 20  # octets: twice what a relay with 32 MiB of messages needs
FLOOD = 500_000  # messages

HOARDING = """
[relay]
memory_max = "@memory@"

[listeners]
net = { type = "tcp", listen = ["127.0.0.1:@net@"] }
internal = { type = "internal" }

[destinations]
dead = { type = "tcp", address = "127.0.0.1:@dead@" }
live = { type = "tcp", address = "127.0.0.1:@live@", framing = "lf" }

[pipes]
to-dead = { from = "net", to = "dead", spool = "never", memory = "@memory@", messages = 100000000 }
to-live = { from = "internal", to = "live", spool = "never" }
"""
JUMPING = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.siem]
type = "tcp"
address = "127.0.0.1:@siem@"
framing = "lf"

[pipes.forward]
from = "net"
to = "siem"
spool = "always"
"""
SLOW = """
[destinations.away]
type = "tcp"
address = "127.0.0.1:@away@"

[pipes.kept]
from = "net"
to = "away"
spool = "always"
"""
# The wall clock of one process, ahead by as many seconds as a file says. The one that runs steadily
# is left alone, as a jump leaves it.
CLOCK = """
import os, time

real = time.time_ns

def ahead():
    with open(os.environ["CLOCK_AHEAD"]) as file:
        return int(file.read() or 0) * 10**9

time.time_ns = lambda: real() + ahead()
time.time = lambda: (real() + ahead()) / 1e9
"""


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """A control group whose processes may have so much memory together."""

    path: Path

    @property
    def launcher(self) -> Sequence[str]:
        return ("sh", "-c", f'echo $$ > {self.path}/cgroup.procs && exec "$@"', "sh")


@pytest.fixture
def limited() -> Iterator[MemoryGroup]:
    """160 MiB, and nothing from the swap."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    root = first if first.is_dir() else second
    group = MemoryGroup(root / f"relay-{os.getpid()}")
    try:
        group.path.mkdir()
    except OSError as refused:
        pytest.skip(f"control groups are not permitted here: {refused}")
    try:
        names = ("memory.limit_in_bytes",) if root == first else ("memory.max", "memory.swap.max")
        for name in names:
            if not (group.path / name).exists():
                pytest.skip("the memory controller is not available here")
            (group.path / name).write_text(str(LIMIT if "swap" not in name else 0))
        yield group
    finally:
        until(lambda: _removed(group.path), "the group is empty")


def _removed(path: Path) -> bool:
    with suppress(OSError):
        path.rmdir()
    return not path.exists()


def test_row_39_a_flood_within_a_memory_limit(prepare: Prepare, limited: MemoryGroup) -> None:
    """Half a million messages for a dead destination, with a limit of 160 MiB for the process.

    `memory_max` bounds what is held, the rest is counted as dropped, and nobody is killed.
    """
    with StreamReceiver() as live:
        values = {"memory": "32MiB", "live": live.port}
        relay = prepare(HOARDING, values, launcher=limited.launcher)
        relay.start()
        send_all(relay.port("net"), [stream(numbered(FLOOD), "lf")])
        books = relay.until(
            lambda it: it["pipes"]["to-dead"]["received"] == FLOOD, "the flood is over"
        )
        pipe = books["pipes"]["to-dead"]
        assert pipe["dropped"]["full"] == total(pipe["dropped"]) > 0
        assert total(pipe["held"]) + pipe["dropped"]["full"] == FLOOD
        assert relay.stop() == 0


def test_row_39_killed_for_want_of_memory(prepare: Prepare, limited: MemoryGroup) -> None:
    """It may hold more than the limit, and the kernel kills it.

    What it held is booked as lost to the message by the next one, and told.
    """
    with StreamReceiver() as live:
        values = {"memory": "1GiB", "live": live.port}
        relay = prepare(HOARDING, values, launcher=limited.launcher)
        relay.start()
        seen, sent = 0, 0
        with connected(relay.port("net")) as sender, suppress(ConnectionError):
            while relay.running:
                sender.sendall(stream(numbered(50_000, start=sent), "lf"))
                sent += 50_000
                seen = max(seen, _received(relay))
        assert relay.wait() == -signal.SIGKILL
        relay.write(f"[admin]\nlisten = '127.0.0.1:@admin@'\n{HOARDING}")
        relay.start()  # holds next to nothing now
        lost = relay.ledger()["pipes"]["to-dead"]["dropped"]["crash"]
        assert seen <= lost <= sent + 50_000
        live.wait_for(b"to destination dead: crash")
        assert told(live.messages)["dead", "crash"] == lost
        assert relay.stop() == 0


def _received(relay: RelayProcess) -> int:
    """Zero when it has died meanwhile, be it in the middle of its answer."""
    try:
        received: int = relay.ledger()["pipes"]["to-dead"]["received"]
    except (OSError, HTTPException, AssertionError):
        return 0
    return received


@pytest.mark.parametrize("days", [1, -1], ids=["forward", "back"])
def test_row_39_a_clock_that_jumps(days: int, prepare: Prepare, tmp_path: Path) -> None:
    """Somebody sets the clock by a day while messages wait for a receiver that is away.

    Nothing expires, hangs or repeats: what waits is delivered when the receiver is back, soon, and
    the age of what is held is no negative number.
    """
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    ahead = tmp_path / "ahead"
    ahead.write_text("0")
    environ = {"PYTHONPATH": _with_path(tmp_path), "CLOCK_AHEAD": str(ahead)}
    relay = prepare(JUMPING, environ=environ)
    relay.start()
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(numbered(1000), "lf"))
        relay.until(lambda it: it["pipes"]["forward"]["received"] == 1000, "they came")
        ahead.write_text(str(days * DAY_SECONDS))
        sender.sendall(stream(numbered(1000, start=1000), "lf"))
        books = relay.until(lambda it: it["pipes"]["forward"]["received"] == 2000, "these, too")
    assert books["pipes"]["forward"]["oldest_seconds"] >= 0
    with StreamReceiver(port=relay.port("siem")) as siem:
        siem.wait_for(b"seq=1999;", 10)
        ahead.write_text("0")
        relay.until(lambda it: not total(it["pipes"]["forward"]["held"]), "all is delivered")
        assert relay.stop() == 0
        siem.wait_ended()
        assert numbers(siem.messages)["a"] == list(range(2000))


def _with_path(directory: Path) -> str:
    return os.pathsep.join(filter(None, (str(directory), os.environ.get("PYTHONPATH"))))


@pytest.mark.skipif(bool(cannot_inject()), reason=cannot_inject())
def test_row_39_a_disk_that_takes_its_time(prepare: Prepare, tmp_path: Path) -> None:
    """Every sync takes 200 ms. The pipe with a spool waits for it; the other one does not."""
    launcher = Launcher(tmp_path)
    with StreamReceiver() as peer:
        launcher.inject("fdatasync:delay_enter=200ms")
        relay = prepare(HEALTHY + SLOW, {"peer": peer.port}, launcher=launcher.words)
        relay.start()
        with connected(relay.port("net")) as sender:
            sender.sendall(stream(numbered(20_000), "octet"))
        exchange(relay, peer)
        books = relay.until(lambda it: it["pipes"]["kept"]["at_risk"] == 0, "all is durable")
        kept = books["pipes"]["kept"]
        assert kept["received"] == total(kept["held"])
        assert relay.stop() == 0
