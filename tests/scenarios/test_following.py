"""Following files: rotations of every kind under load, while the relay is restarted and killed.

RELAY_ROTATIONS says how many; 1000 are before a release.
"""

import os
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.logs import KINDS, Rotation, Writer
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.waiting import until

ROTATIONS = int(os.environ.get("RELAY_ROTATIONS", "42"))
RESTARTS = 20 if ROTATIONS >= 200 else 4
DOWN = 3  # rotations while no relay runs
BEHIND_LINES = 20_000  # more would wait for the relay than logrotate keeps files

CONFIG = """
[listeners.logs]
type = "file"
path = "logs/*.log"
exclude = "*.[0-9]*.log"
linger = "1s"

[destinations.all]
type = "file"
path = "all"

[pipes.all]
from = "logs"
to = "all"
overflow = "block"
"""


def read(directory: Path) -> Counter[bytes]:
    """How often each line is there, as `LOG NUMBER`."""
    path = directory / "all"
    data = path.read_bytes() if path.exists() else b""
    return Counter(b" ".join(line.split(b" ")[4:6]) for line in data.splitlines())


class Story:
    """A log for each kind of rotation, all written to, rotated in any order; relays come and go."""

    def __init__(self, relay: RelayProcess, seed: int) -> None:
        self.relay = relay
        self.random = random.Random(seed)
        self.repeats_possible = 0
        logs = relay.directory / "logs"
        logs.mkdir()
        self.rotation = Rotation(relay.directory)
        self.kinds = {
            Writer(logs / f"log{place}.log", behind=self.behind): kind
            for place, kind in enumerate(KINDS)
        }
        for writer in self.kinds:
            writer.path.touch()

    def behind(self) -> bool:
        path = self.relay.directory / "all"
        size = path.stat().st_size if path.exists() else 0
        written = sum(it.written for it in self.kinds)
        return self.relay.running and written - size // 150 > BEHIND_LINES

    def rotate(self, times: int) -> None:
        for _ in range(times):
            writer, kind = self.random.choice(list(self.kinds.items()))
            self.rotation.rotate(writer, kind)

    def run(self, *, kill: bool) -> None:
        each = max(1, ROTATIONS // (RESTARTS + 1) - DOWN)
        self._start()
        with ExitStack() as stack:
            for writer in self.kinds:
                stack.enter_context(writer)
            for _ in range(RESTARTS):
                self.rotate(each)
                self._end(kill=kill)
                self.rotate(DOWN)
                self._start()
            self.rotate(max(0, ROTATIONS - self.rotation.done))
        until(self._complete, "every line", seconds_max=120)
        self._end(kill=False)

    def _start(self) -> None:
        self.relay.start()

    def _end(self, *, kill: bool) -> None:
        self.repeats_possible += self._listener()["repeats_possible"]
        if kill:
            self.relay.kill()
        else:
            assert self.relay.stop() == 0

    def _listener(self) -> dict[str, int]:
        listeners = self.relay.ledger()["listeners"]
        found: dict[str, int] = listeners["logs"]
        return found

    def _complete(self) -> bool:
        return len(read(self.relay.directory)) >= sum(it.written for it in self.kinds)

    def missing(self) -> list[bytes]:
        there = read(self.relay.directory)
        written = {
            b"%s %d" % (it.path.stem.encode(), number)
            for it in self.kinds
            for number in range(it.written)
        }
        assert set(there) <= written
        return sorted(written - set(there))


def test_each_line_comes_once_through_rotations_and_restarts(prepare: Prepare) -> None:
    """Seven kinds of rotation, in any order, by a real logrotate, while seven programs write."""
    relay = prepare(CONFIG)
    story = Story(relay, seed=1)
    story.run(kill=False)
    assert story.missing() == []
    assert [it for it, times in read(relay.directory).items() if times > 1] == []
    assert story.repeats_possible == 0
    assert "never read" not in relay.log


def test_a_killed_relay_reads_a_line_once_more_for_each_kill_at_most(prepare: Prepare) -> None:
    """As above with kill -9. What comes again is counted as possible by the next process."""
    relay = prepare(CONFIG)
    story = Story(relay, seed=2)
    story.run(kill=True)
    assert story.missing() == []
    often = read(relay.directory)
    assert max(often.values()) <= 1 + RESTARTS
    assert sum(often.values()) - len(often) <= story.repeats_possible
