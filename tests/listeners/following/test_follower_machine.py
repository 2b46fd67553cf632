"""Any order of writing, rotating, reading, stopping and dying: each line once."""

import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.listeners.following.parts import Bench


class Following(RuleBasedStateMachine):
    """Writers write numbered lines; `down` says that no process follows for the moment.

    Oracle: what was written whole is read once; once more for each crash; and not at all only where
    a loss was told.
    """

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="following-"))
        self.number = 0
        self.written: set[bytes] = set()
        self.doomed: set[bytes] = set()  # may be lost: nobody had a look before they were gone
        self.crashes = 0
        self.down = False
        self.unfinished = b""
        self.renamed = False

    @initialize(pattern=st.sampled_from(["app.log", "app.log*", "*.log"]), keeping=st.booleans(),
                end=st.booleans(), octets=st.sampled_from([60, 300]),
                open_max=st.sampled_from([256]))  # fmt: skip
    def begin(self, pattern: str, keeping: bool, end: bool, octets: int, open_max: int) -> None:
        self.octets = octets
        self.bench = Bench.at(self.directory, pattern, from_end=end, open_max=open_max)
        self.bench.keeping = keeping
        self.bench.look()
        self.bench.save()

    def line(self) -> bytes:
        self.number += 1
        return b"%d %b" % (self.number, b"x" * self.octets)

    def write(self, lines: int, name: str = "app.log") -> None:
        written = [self.line() for _ in range(lines)]
        if self.unfinished and name == "app.log":
            self.bench.append(b"\n")
            self.written.add(self.unfinished)
            self.unfinished = b""
        self.bench.append(b"".join(it + b"\n" for it in written), name)
        self.written.update(written)

    @rule(lines=st.integers(1, 30))
    def append(self, lines: int) -> None:
        self.write(lines)

    @rule()
    def append_a_part(self) -> None:
        if not self.unfinished:
            self.unfinished = self.line()
            self.bench.append(self.unfinished[:-1])
            self.unfinished = self.unfinished[:-1]

    @rule(lines=st.integers(1, 5))
    def a_writer_that_has_not_reopened(self, lines: int) -> None:
        if self.renamed and self.bench.path("app.log.1").exists() and not self.unfinished:
            self.write(lines, "app.log.1")

    @precondition(lambda self: not self.unfinished)
    @rule()
    def rename(self) -> None:
        if self.bench.path().exists():
            self.bench.rename()
            self.renamed = True

    @precondition(lambda self: not self.unfinished)
    @rule()
    def copytruncate(self) -> None:
        if self.bench.path().exists() and self.bench.path().stat().st_size:
            self.bench.copytruncate()
            self.renamed = False

    @precondition(lambda self: not self.down and not self.unfinished)
    @rule()
    def delete(self) -> None:
        if self.bench.path().exists():
            if self.bench.rules.open_max < 256:
                self.bench.run_dry()  # it may not be open, and is lost if it was not read
            else:
                self.bench.look()
            os.unlink(self.bench.path())

    @rule()
    def compress(self) -> None:
        for name in ("app.log.2", "app.log.1"):
            if self.bench.path(name).exists():
                self.bench.compress(name)
                return

    @precondition(lambda self: not self.down)
    @rule(seconds=st.sampled_from([0.0, 1.0, 10.0]))
    def look(self, seconds: float) -> None:
        self.bench.look(seconds)

    @precondition(lambda self: not self.down)
    @rule()
    def read(self) -> None:
        self.bench.read()

    @precondition(lambda self: not self.down)
    @rule()
    def settle(self) -> None:
        self.bench.settle()

    @precondition(lambda self: not self.down)
    @rule()
    def save(self) -> None:
        self.bench.save()

    @precondition(lambda self: not self.down)
    @rule()
    def stop(self) -> None:
        self._lose_deleted()
        self.bench.stop()
        self.down = True

    @precondition(lambda self: not self.down)
    @rule()
    def kill(self) -> None:
        self._lose_deleted()
        self.crashes += 1
        self.bench.owed.clear()
        self.bench.follower.close()
        self.down = True

    @precondition(lambda self: self.down)
    @rule()
    def start(self) -> None:
        self.bench.start()
        self.bench.look(1.0)
        self.bench.save()
        self.down = False

    def _lose_deleted(self) -> None:
        """What is only in deleted files that are open goes with the process."""
        there = {line for content in self._contents() for line in content.split(b"\n")}
        gone = self.written - there
        if self.bench.keeping or self.crashes:
            self.doomed |= gone
        self.doomed |= gone - set(self.bench.lines)

    def _contents(self) -> list[bytes]:
        import gzip

        return [
            gzip.decompress(it.read_bytes()) if it.suffix == ".gz" else it.read_bytes()
            for it in self.directory.iterdir()
        ]

    @invariant()
    def nothing_is_read_more_often_than_it_may_be(self) -> None:
        if not hasattr(self, "bench"):
            return
        often = Counter(self.bench.lines)
        worst = max(often.values(), default=0)
        assert worst <= 1 + self.crashes, [it for it in often if often[it] == worst][:3]
        assert set(self.bench.lines) <= self.written

    def teardown(self) -> None:
        try:
            if hasattr(self, "bench"):
                self._finish()
        finally:
            shutil.rmtree(self.directory)

    def _finish(self) -> None:
        if self.down:
            self.start()
        if self.unfinished:
            self.write(1)
        self.bench.run_dry()
        missing = self.written - set(self.bench.lines) - self.doomed
        assert not missing, (sorted(missing)[:3], self.bench.texts)
        self.nothing_is_read_more_often_than_it_may_be()
        repeated = len(self.bench.lines) - len(set(self.bench.lines))
        assert repeated <= self.bench.possible_repeats
        if not self.doomed and not self.crashes:
            assert not self.bench.told["lost"], self.bench.texts
        self.bench.stop()


TestFollowing = Following.TestCase
TestFollowing.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
