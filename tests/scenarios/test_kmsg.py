"""The kernel's own log, from the real /dev/kmsg: overrun while nobody read it, and kill -9."""

import fcntl
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import numbers
from tests.scenarios.harness.process import ADMIN
from tests.scenarios.harness.receivers import StreamReceiver

KMSG = "/dev/kmsg"
RING_RECORDS_MAX = 100_000  # of 900 octets: no distribution's ring holds as many
KILLS = 5

CONFIG = """
[listeners.kernel]
type = "kmsg"
start = "@start@"

[listeners.internal]
type = "internal"

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
from = "*"
to = "peer"
spool = "always"
commit_every = "0s"
"""


def _cannot() -> str:
    try:
        os.close(os.open(KMSG, os.O_RDWR | os.O_NONBLOCK))
    except OSError as exc:
        return f"the kernel's log cannot be read and written here: {exc}"
    return ""


pytestmark = pytest.mark.skipif(bool(_cannot()), reason=_cannot())


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """There is one ring, and a test writes it over: no two at once, whoever runs them."""
    number = os.open(KMSG, os.O_RDONLY)
    fcntl.flock(number, fcntl.LOCK_EX)
    yield
    os.close(number)


def _write(texts: list[str]) -> None:
    """At debug, for no console; ten for each descriptor, since the kernel limits their rate."""
    for at in range(0, len(texts), 10):
        number = os.open(KMSG, os.O_WRONLY)
        for text in texts[at : at + 10]:
            os.write(number, f"<7>relay-test: {text}\n".encode())
        os.close(number)


def _sequences() -> Iterator[int]:
    """Of all records that the ring has, beginning with the oldest."""
    number = os.open(KMSG, os.O_RDONLY | os.O_NONBLOCK)
    try:
        while True:
            try:
                yield int(os.read(number, 16384).split(b",")[1])
            except BrokenPipeError:
                continue
            except BlockingIOError:
                return
    finally:
        os.close(number)


def _newest() -> int:
    return list(_sequences())[-1]


def test_overrun(prepare: Prepare) -> None:
    """The relay stands still while the kernel's ring is written over more than once.

    Once it runs again, what it received and what it says was dropped add up to the sequence
    numbers that the kernel has used meanwhile, and it says so downstream.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port, "start": "now"})
        relay.start()
        _write(["here it begins"])
        relay.until(lambda books: books["listeners"]["kernel"]["received"], "the first is read")
        before = relay.ledger()["listeners"]["kernel"]
        first = _newest()
        relay.pause()
        written = 0
        while next(_sequences()) <= first + 100:
            _write([f"from=k seq={written + n}; " + "x" * 850 for n in range(100)])
            written += 100
            assert written < RING_RECORDS_MAX
        relay.resume()

        def counted() -> int:
            listener = relay.ledger()["listeners"]["kernel"]
            return int(listener["received"] + listener["kernel_dropped"] - before["received"])

        relay.until(lambda _: counted() >= _newest() - first, "all records in the books")
        assert counted() == _newest() - first
        dropped = relay.ledger()["listeners"]["kernel"]["kernel_dropped"]
        assert dropped > 100
        peer.wait_for(b"kernel messages, buffer full")
        assert relay.stop() == 0
        peer.wait_ended()
        told = [re.search(rb"dropped (\d+) kernel messages?, buffer full", it)
                for it in peer.messages]  # fmt: skip
        assert sum(int(it[1]) for it in told if it) == dropped
        found = numbers(peer.messages)["k"]
        assert found == list(range(written - len(found), written))  # the newest, each once


def test_restart_and_reload(prepare: Prepare) -> None:
    """Programs write while it runs, while it reloads, and while it does not run.

    Each record is delivered once: the position is kept at the stop, and a reload goes on.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port, "start": "resume"})
        sender = f"r{os.getpid()}"
        texts = [f"from={sender} seq={number};" for number in range(80)]
        relay.start()
        _write(texts[:20])
        peer.wait_for(f"{sender} seq=19;".encode())
        relay.write(ADMIN + CONFIG.replace('type = "kmsg"', 'type = "kmsg"\nmessage_max = "32KiB"'))
        relay.signal(signal.SIGHUP)
        _write(texts[20:40])
        relay.hear("READY=1")
        peer.wait_for(f"{sender} seq=39;".encode())
        assert relay.stop() == 0
        _write(texts[40:60])
        relay.start()
        _write(texts[60:])
        peer.wait_for(f"{sender} seq=79;".encode())
        listener = relay.ledger()["listeners"]["kernel"]
        assert (listener["repeats_possible"], listener["kernel_dropped"]) == (0, 0)
        assert relay.stop() == 0
        peer.wait_ended()
        assert numbers(peer.messages)[sender] == list(range(80))


def test_kill(prepare: Prepare) -> None:
    """Kill -9 at any moment, five times, while programs write to the kernel's log.

    Whatever the kernel had when the next relay came is delivered; nothing is missing, and what
    came twice is not more than was counted as possible.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port, "start": "resume"})
        written = count()
        repeats = recovered = 0
        for life in range(KILLS + 1):
            relay.start()
            deadline = time.monotonic() + 0.3 * life
            while time.monotonic() < deadline:
                _write([f"from=k{os.getpid()} seq={next(written)};"])
                time.sleep(0.002)
            if life < KILLS:
                books = relay.ledger()
                repeats += books["listeners"]["kernel"]["repeats_possible"]
                recovered += books["pipes"]["forward"]["recovered"]
                relay.kill()
        last = next(written)
        _write([f"from=k{os.getpid()} seq={last};"])
        peer.wait_for(b"seq=%d;" % last)
        books = relay.ledger()
        repeats += books["listeners"]["kernel"]["repeats_possible"]
        recovered += books["pipes"]["forward"]["recovered"]  # the peer may have had them
        assert books["listeners"]["kernel"]["kernel_dropped"] == 0
        assert relay.stop() == 0
        peer.wait_ended()
        found = Counter(numbers(peer.messages)[f"k{os.getpid()}"])
        assert sorted(found) == list(range(last + 1))
        assert found.total() - len(found) <= repeats + recovered
        print(f"written {last + 1}, came twice {found.total() - len(found)}, "
              f"possible {repeats}, recovered {recovered}")  # fmt: skip
