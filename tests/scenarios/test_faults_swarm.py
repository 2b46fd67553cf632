"""Fault matrix: everything at once, drawn from a seed; then all is well, and nothing is missing.

RELAY_SWARM_SEEDS says how many seeds are tried. The simulation does the same in virtual time.
"""

import os
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, numbers
from tests.scenarios.harness.process import ADMIN, RelayProcess
from tests.scenarios.harness.receiving import ReceivingProcess
from tests.scenarios.harness.relp import RelpReceiver, RelpSender
from tests.scenarios.harness.waiting import until

SEEDS = int(os.environ.get("RELAY_SWARM_SEEDS", "1"))
FAULTS = 10  # of one seed
PAUSE_SECONDS_MAX = 0.3  # between two of them
BURST = 256  # messages

CONFIG = """
[listeners.net]
type = "relp"
listen = ["127.0.0.1:@net@"]

[destinations]
relp = { type = "relp", address = "127.0.0.1:@relp@" }
log = { type = "file", path = "@directory@/logs/messages.log" }

[destinations.tcp]
type = "tcp"
address = "127.0.0.1:@tcp@"
confirm = "epoch"
epoch_max = "300ms"

[pipes]
to-relp = { from = "net", to = "relp", spool = "always", spool_size = "64MiB" }
to-tcp = { from = "net", to = "tcp", spool = "overflow", memory = "1MiB" }
to-log = { from = "net", to = "log", spool = "always", spool_size = "64MiB" }
"""


@dataclass(slots=True)
class Swarm:
    """The parts of a run, each of them with ways to go wrong."""

    relay: RelayProcess
    relp: RelpReceiver
    tcp: ReceivingProcess
    seed: int
    done: list[str] = field(default_factory=list)

    def hurt(self) -> None:
        """Faults in an order that the seed gives; some of them go by, others are left to `heal`."""
        draw = random.Random(self.seed)
        for _ in range(FAULTS):
            fault = draw.choice(self._faults)
            self.done.append(fault.__name__)
            fault()
            time.sleep(draw.random() * PAUSE_SECONDS_MAX)

    def heal(self) -> None:
        self.relp.mood = "well"
        self.relp.cut()  # what it was silent about comes again
        self.tcp.resume()

    def kill_relay(self) -> None:
        self.relay.kill()
        self.relay.start()

    def restart_relay(self) -> None:
        assert self.relay.stop() == 0
        self.relay.start()

    def reload(self) -> None:
        drain = '[relay]\ndrain_max = "1s"\n' if len(self.done) % 2 else ""
        self.relay.write(ADMIN + drain + CONFIG)
        self.relay.reload()

    def hold_relay(self) -> None:
        self.relay.pause()
        time.sleep(0.1)
        self.relay.resume()

    def cut_relp(self) -> None:
        self.relp.cut()

    def silence_relp(self) -> None:
        self.relp.mood = "silent"

    def refuse_relp(self) -> None:
        self.relp.mood = "refusing"

    def hold_tcp(self) -> None:
        self.tcp.pause()

    def kill_tcp(self) -> None:
        self.tcp.kill()
        self.tcp.start()

    def rotate(self) -> None:
        current = self.relay.directory / "logs" / "messages.log"
        if current.exists():
            current.rename(current.with_suffix(f".{len(self.done):02}"))

    @property
    def _faults(self) -> Sequence[Callable[[], None]]:
        return [
            self.kill_relay, self.restart_relay, self.reload, self.hold_relay, self.cut_relp,
            self.silence_relp, self.refuse_relp, self.hold_tcp, self.kill_tcp, self.rotate,
        ]  # fmt: skip


@dataclass(slots=True)
class Sent:
    count: int = 0  # messages, answered or not


@contextmanager
def sending(sender: RelpSender) -> Iterator[Sent]:
    """Burst after burst while inside; what was not answered is sent again."""
    over = threading.Event()
    sent = Sent()

    def run() -> None:
        start = 0
        while not over.wait(0.01):
            sent.count = start + BURST
            if sender.send(numbered(BURST, start=start)):
                start += BURST

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("seed", range(40, 40 + SEEDS))
def test_row_40_everything_at_once(seed: int, prepare: Prepare, tmp_path: Path) -> None:
    """A relay, its sender and its three destinations, and one fault after the other.

    In the end nothing is held, another message passes, and what was answered has arrived
    everywhere, with nothing that nobody sent. The books balanced whenever they were looked at.
    """
    with RelpReceiver() as relp, ReceivingProcess(tmp_path / "received") as tcp:
        relay = prepare(CONFIG, {"relp": relp.port, "tcp": tcp.port})
        relay.start()
        sender = RelpSender(relay.port("net"))
        swarm = Swarm(relay, relp, tcp, seed)
        print(f"seed {seed}")
        with sending(sender) as sent:
            swarm.hurt()
            swarm.heal()
        last = numbered(1, "last")
        until(lambda: sender.send(last), "another one passes")
        books = relay.until(lambda it: not it["totals"]["held"], "nothing is held")
        _check_drops(books)
        assert relay.stop() == 0
        answered = set(sender.answered)
        assert len(answered) > BURST
        assert answered <= set(relp.messages)
        assert answered <= set(tcp.messages)
        logs = sorted((tmp_path / "logs").iterdir())
        lines = [line for path in logs for line in path.read_bytes().splitlines()]
        assert _numbers(answered) <= _numbers(lines)
        assert set(relp.messages) | set(tcp.messages) <= {*numbered(sent.count), *last}


def _numbers(messages: Iterable[bytes]) -> set[int]:
    return set(numbers(messages)["a"])


def _check_drops(books: Books) -> None:
    """Nothing is: what crashes took nobody had been answered, and was sent again."""
    for pipe in books["pipes"].values():
        assert not total(pipe["dropped"]), pipe
