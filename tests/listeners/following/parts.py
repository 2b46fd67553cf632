"""A follower on a real directory, driven by hand: no task, no thread, no clock."""

import os
import shutil
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from relay.core.position import Positions
from relay.core.receipt import Receipt
from relay.listeners.following.follower import Follower
from relay.listeners.following.rules import Rules
from relay.listeners.following.steps import Forget, Read, Step, Told
from relay.system.log_files import SystemLogFiles

LINGER = 5.0


class MemoryStore:
    """What a position store keeps, without a wait."""

    content: bytes | None = None

    async def load(self, name: str) -> bytes | None:
        return self.content

    async def save(self, name: str, content: bytes) -> None:
        self.content = content


def finish(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run what does not wait."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


@dataclass(slots=True, eq=False)
class Bench:
    """One process after the other follows the same files."""

    directory: Path
    rules: Rules
    store: MemoryStore = field(default_factory=MemoryStore)
    lines: list[bytes] = field(default_factory=list)  # put, in their order
    possible_repeats: int = 0
    told: Counter[str] = field(default_factory=Counter)
    texts: list[str] = field(default_factory=list)
    lost_octets: int = 0
    unfinished: int = 0
    now: float = 0.0
    keeping: bool = False  # receipts are paid by `settle` alone
    owed: list[Receipt] = field(default_factory=list)
    positions: Positions = field(init=False)
    follower: Follower = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @classmethod
    def at(cls, directory: Path, *patterns: str, **keys: Any) -> "Bench":  # noqa: ANN401
        directory.mkdir(parents=True, exist_ok=True)
        paths = tuple(str(directory / it) for it in patterns or ("app.log",))
        return cls(directory, Rules(paths, linger_seconds=LINGER, **keys))

    def start(self) -> None:
        self.positions = Positions("file-f", self.store)
        finish(self.positions.load())
        known = {
            key: (it.read, it.repeating)
            for key, it in self.positions.sources.items()
            if it.read is not None
        }
        files = SystemLogFiles(trio.CapacityLimiter(1))
        self.follower = Follower(files, self.rules, known)

    def stop(self) -> None:
        self.settle()
        finish(self.positions.save(ended=True))
        self.follower.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def crash(self) -> None:
        """What was not saved is forgotten."""
        self.owed.clear()
        self.follower.close()
        self.start()

    def save(self) -> None:
        finish(self.positions.save())

    def settle(self) -> None:
        for receipt in self.owed:
            receipt.pay()
        self.owed.clear()

    def look(self, seconds: float = 0.0) -> None:
        self.now += seconds
        self.take(self.follower.look(self.now))

    def read(self) -> bool:
        steps = self.follower.read()
        self.take(steps)
        return bool(steps)

    def turn(self, seconds: float = 1.0) -> None:
        self.look(seconds)
        while self.read():
            pass

    def run_dry(self) -> None:
        """Until nothing new can come."""
        for _ in range(6):
            self.turn(LINGER)

    def take(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, Read):
                self._put(step)
            elif isinstance(step, Forget):
                self.positions.forget(step.key)
            else:
                self._tell(step)

    def _put(self, step: Read) -> None:
        if step.place is None:
            assert not step.lines
            return
        progress = self.positions.source(step.key)
        progress.repeating = False  # from here on the place says it itself
        with progress.taking(step.place) as receipt:
            self.lines += step.lines
            if self.keeping and step.lines:
                receipt.owe()
                self.owed.append(receipt)
        self.unfinished += step.unfinished
        self.possible_repeats += len(step.lines) if step.repeats else 0

    def _tell(self, step: Told) -> None:
        self.told[step.reason or step.count] += 1
        self.lost_octets += step.octets
        if step.text:
            self.texts.append(step.text)

    # -- what happens to files

    def path(self, name: str = "app.log") -> Path:
        return self.directory / name

    def append(self, text: str | bytes, name: str = "app.log") -> None:
        with open(self.path(name), "ab") as file:
            file.write(text.encode() if isinstance(text, str) else text)

    def shift(self, name: str = "app.log") -> None:
        """Make room for `name.1`, as logrotate does."""
        there = sorted(
            (it for it in self.directory.iterdir() if it.name.startswith(f"{name}.")),
            key=lambda it: -int(it.name.removeprefix(f"{name}.").split(".")[0]),
        )
        for path in there:
            number, *rest = path.name.removeprefix(f"{name}.").split(".")
            path.rename(self.path(".".join([name, str(int(number) + 1), *rest])))

    def rename(self, name: str = "app.log") -> None:
        self.shift(name)
        os.rename(self.path(name), self.path(f"{name}.1"))

    def copytruncate(self, name: str = "app.log") -> None:
        self.shift(name)
        shutil.copyfile(self.path(name), self.path(f"{name}.1"))
        os.truncate(self.path(name), 0)

    def compress(self, name: str) -> None:
        import gzip

        data, stat = self.path(name).read_bytes(), self.path(name).stat()
        packed = self.path(f"{name}.gz")
        packed.write_bytes(gzip.compress(data))
        os.utime(packed, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        os.unlink(self.path(name))
