"""Fault matrix: kill -9 at any moment, and what is left of every promise after it.

RELAY_KILL_CYCLES says how many random moments are tried; 300 are before a release.
"""

import os
import random
import socket
import threading
import time
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.injection import Launcher, cannot_inject
from tests.scenarios.harness.messages import numbered
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.relp import WINDOW, RelpReceiver, RelpSender
from tests.scenarios.harness.senders import connected, unacknowledged
from tests.scenarios.harness.waiting import until

CYCLES = int(os.environ.get("RELAY_KILL_CYCLES", "5"))
LIFE_SECONDS_MAX = 0.4  # of a relay that is ready
MESSAGES = 20_000  # of a sender in that time: more than it can get rid of
OCTETS = 256  # a line
IN_HAND = 1100  # messages: one batch of 256 KiB, and a few of the relay's own
QUIET_SECONDS = 0.1  # more than an acknowledgement is delayed (40 ms)
REPEATED = 2048  # a relay may have sent so many that no book says were confirmed

RELP = """
[listeners.net]
type = "relp"
listen = ["127.0.0.1:@net@"]

[destinations.next]
type = "relp"
address = "127.0.0.1:@next@"

[pipes.forward]
from = "net"
to = "next"
spool = "always"
spool_size = "8MiB"
"""
MEMORY = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.next]
type = "tcp"
address = "127.0.0.1:@next@"
framing = "lf"
confirm = "sent"

[pipes.forward]
from = "net"
to = "next"
spool = "never"
memory = "200MiB"
messages = 2000000
"""
# Where a relay dies in the middle of its work on disk: the call, and which one of them.
POINTS = [
    ("pwrite64", 25),
    ("fallocate", 1),
    ("fsync", 1),
    ("fdatasync", 4),
    ("unlinkat", 1),
]


def forward(books: Books) -> Books:
    pipe: Books = books["pipes"]["forward"]
    return pipe


def finish(
    relay: RelayProcess, sender: RelpSender, receiver: RelpReceiver, sent: set[bytes]
) -> None:
    """Whatever was answered has arrived, and nothing that nobody sent; the crash cost nothing.

    What the process before had taken and not answered is still the sender's, and no loss.
    """
    last = numbered(1, "last")
    until(lambda: sender.send(last), "the relay takes and answers another one")
    books = relay.until(lambda it: not total(forward(it)["held"]), "all is delivered")
    assert not total(forward(books)["dropped"])
    assert relay.stop() == 0
    arrived = set(receiver.messages)
    assert set(sender.answered) <= arrived
    assert arrived <= {*sent, *last}


def test_row_22_killed_at_random_moments(prepare: Prepare) -> None:
    """RELP in, a spool, RELP out, and kill -9 again and again under load.

    No message that was answered is missing, none is invented or damaged, the crash cost this pipe
    nothing, and what came twice is bounded by what was on its way.
    """
    moments = random.Random(22)
    sent: set[bytes] = set()
    with RelpReceiver() as receiver:
        relay = prepare(RELP, {"next": receiver.port})
        sender = RelpSender(relay.port("net"))
        for cycle in range(CYCLES):
            relay.start()
            assert not total(forward(relay.ledger())["dropped"])
            messages = numbered(MESSAGES, f"c{cycle}")
            sent.update(messages)
            thread = threading.Thread(target=sender.send, args=(messages,))
            thread.start()
            time.sleep(moments.random() * LIFE_SECONDS_MAX)
            relay.kill()
            thread.join()
        relay.start()
        finish(relay, sender, receiver, sent)
        assert len(sender.answered) > CYCLES * WINDOW
        repeated = len(receiver.messages) - len(set(receiver.messages))
        print(f"{len(sender.answered)} answered, {repeated} came again")
        assert repeated <= CYCLES * REPEATED


@pytest.mark.skipif(bool(cannot_inject()), reason=cannot_inject())
@pytest.mark.parametrize(("call", "which"), POINTS, ids=lambda it: str(it))
def test_row_22_killed_at_a_point_of_its_work_on_disk(
    call: str, which: int, prepare: Prepare, tmp_path: Path
) -> None:
    """The relay dies in one of its writes, syncs or removals; the next one has what was answered.

    So has the one after that, which dies at the same point of its start or of its work.
    """
    launcher = Launcher(tmp_path)
    messages = numbered(MESSAGES)
    with RelpReceiver() as receiver:
        relay = prepare(RELP, {"next": receiver.port}, launcher=launcher.words)
        sender = RelpSender(relay.port("net"))
        launcher.inject(f"{call}:signal=KILL:when={which}")
        for _ in range(2):
            relay.start_unready()
            until(lambda: not relay.running or sender.send(messages), "it is killed, or all is out")
            assert not relay.running, f"{call} number {which} was never reached"
            relay.wait()
        launcher.inject()
        relay.start()
        finish(relay, sender, receiver, set(messages))


def test_row_22_what_memory_held_is_counted_to_the_batch_in_hand(prepare: Prepare) -> None:
    """TCP in, memory, TCP out. The relay is held in mid-air, looked at from outside, and killed.

    What it had read less what has arrived is what the next process books as lost, but for the
    batch it had in hand. Every second time the receiver does not read before that, so that memory
    holds much more than a batch.
    """
    moments = random.Random(7)
    line = numbered(1)[0].ljust(OCTETS - 1, b".") + b"\n"
    relay = prepare(MEMORY)
    missing, most = 0, 0
    for cycle in range(CYCLES):
        with StreamReceiver(port=relay.port("next"), deaf=cycle % 2 == 0) as receiver:
            relay.start()
            _check_lost(relay, missing)
            relay.until(lambda it: forward(it)["state"] == "up", "the receiver is reached")
            with connected(relay.port("net")) as sender:
                sent = _flood(sender, line, moments.random() * LIFE_SECONDS_MAX)
                relay.pause()
                read = sent - _on_its_way(sender)
                relay.kill()
            receiver.listen_now()
            receiver.wait_ended()
            missing = read // OCTETS - len(receiver.messages)
            most = max(most, missing)
    relay.start()
    _check_lost(relay, missing)
    assert relay.stop() == 0
    assert most > 10 * IN_HAND


def _check_lost(relay: RelayProcess, missing: int) -> None:
    lost = forward(relay.ledger())["dropped"]["crash"]
    assert abs(lost - missing) <= IN_HAND, (lost, missing)


def _flood(sender: socket.socket, line: bytes, seconds: float) -> int:
    """Send lines for so long, as fast as they are taken; returns the octets our kernel took."""
    sent, lines = 0, line * 64
    sender.settimeout(seconds)
    began = time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 0:
        sender.settimeout(left)
        try:
            sent += sender.send(lines[sent % len(line) :])
        except TimeoutError:
            break
    return sent


def _on_its_way(sender: socket.socket) -> int:
    """Octets that a peer who stands still has not read, when nothing moves any more."""
    octets, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_SECONDS:
        if (now := unacknowledged(sender) + _unread(sender)) != octets:
            octets, since = now, time.monotonic()
        time.sleep(0.005)
    return octets


def _unread(sender: socket.socket) -> int:
    """Octets that the peer's kernel has and the peer has not read: rx_queue in /proc/net/tcp."""
    here, there = (f"{each[1]:04X}" for each in (sender.getsockname(), sender.getpeername()))
    for row in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = row.split()
        if fields[1].endswith(f":{there}") and fields[2].endswith(f":{here}"):
            return int(fields[4].partition(":")[2], 16)
    raise AssertionError("the peer's end of the connection is in the table")
