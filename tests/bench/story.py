"""The story of loss: a receiver is stopped, killed, and started again while messages come."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.child import Child, Silent
from tests.bench.claims import Claims
from tests.bench.generator import HOST
from tests.bench.messages import OCTETS, message
from tests.bench.oracle import Verdict, judge, recorded
from tests.bench.program import Running, running
from tests.bench.subject import Subject
from tests.scenarios.harness.ports import free_port
from tests.scenarios.harness.waiting import until

SECONDS_MAX = 60.0
BURST = 100  # messages sent at once
BURST_SECONDS = 0.02  # between two of them: 5,000 messages a second


@dataclass(frozen=True, slots=True)
class Story:
    """Times and numbers of messages."""

    before: int = 2000  # read by the receiver before anything happens to it
    stopped: int = 500  # while it is stopped: what fits into the buffers of two kernels
    away: int = 1500  # while it is dead
    stopped_seconds: float = 1.0  # after the last of those: time to send them
    away_seconds: float = 1.0
    quiet_seconds: float = 3.0  # without anything new, when all should have come

    @property
    def messages(self) -> int:
        return self.before + self.stopped + self.away


@dataclass(frozen=True, slots=True)
class Outcome:
    subject: Subject
    verdict: Verdict
    claims: Claims


def tell(story: Story, subject: Subject) -> Outcome:
    """Run the story once.

    Raises:
        Silent: some part of it failed.
    """
    with TemporaryDirectory(prefix="relay-loss-") as name:
        directory = Path(name)
        port = free_port()
        with (
            running(subject.program, port, **subject.values) as it,
            socket.create_connection((HOST, it.ports["tcp"])) as sender,
        ):
            _kill_in_the_middle(story, sender, port, directory)
            with _receiver(port, directory):
                claims = _settle(story, subject, it, directory)
        return Outcome(subject, judge(story.messages, recorded(directory)), claims)


def _kill_in_the_middle(story: Story, sender: socket.socket, port: int, directory: Path) -> None:
    """Until all is sent, and nobody is there to receive it."""
    with _receiver(port, directory) as receiver:
        _send(sender, range(story.before))
        least = story.before * OCTETS
        until(lambda: _octets(directory) >= least, "all is read before the stop", SECONDS_MAX)
        receiver.signal(signal.SIGSTOP)
        _send(sender, range(story.before, story.before + story.stopped))
        time.sleep(story.stopped_seconds)
        receiver.signal(signal.SIGKILL)
    _send(sender, range(story.before + story.stopped, story.messages))
    time.sleep(story.away_seconds)


def _settle(story: Story, subject: Subject, it: Running, directory: Path) -> Claims:
    """Until nothing more comes, and the program says that it has nothing more to deliver."""
    last = message(story.messages - 1)[-180:]
    until(
        partial(_has_come, directory, last), f"{subject.name}: the last message comes", SECONDS_MAX
    )
    deadline = time.monotonic() + SECONDS_MAX
    octets, since = 0, time.monotonic()
    while True:
        claims = subject.claims(it)
        now = time.monotonic()
        if _octets(directory) != octets:
            octets, since = _octets(directory), now
        elif now - since >= story.quiet_seconds and not claims[subject.waiting]:
            return claims
        if now > deadline:
            raise Silent(f"{subject.name}: not settled after {SECONDS_MAX:g} s: {dict(claims)}")
        time.sleep(0.1)


@contextmanager
def _receiver(port: int, directory: Path) -> Iterator[Child]:
    with Child("receiver", str(port), str(directory)) as receiver:
        receiver.hear(SECONDS_MAX)
        yield receiver


def _send(sender: socket.socket, numbers: range) -> None:
    for start in range(numbers.start, numbers.stop, BURST):
        burst = range(start, min(start + BURST, numbers.stop))
        sender.sendall(b"".join([b"%d %b" % (OCTETS, message(number)) for number in burst]))
        time.sleep(BURST_SECONDS)


def _octets(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def _has_come(directory: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in directory.iterdir())
