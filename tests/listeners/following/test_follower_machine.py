"""Any order of writing, rotating, reading, stopping and dying: each line once."""

import gzip
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
        self.copying: bytes | None = None  # what a copy in the making will be
        self.packing = False

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
        self._end_what_has_begun()
        self.write(lines)

    @rule()
    def append_a_part(self) -> None:
        self._end_what_has_begun()
        if not self.unfinished:
            self.unfinished = self.line()
            self.bench.append(self.unfinished[:-1])
            self.unfinished = self.unfinished[:-1]

    @rule(lines=st.integers(1, 5))
    def a_writer_that_has_not_reopened(self, lines: int) -> None:
        self._end_what_has_begun()
        if self.renamed and self.bench.path("app.log.1").exists() and not self.unfinished:
            self.write(lines, "app.log.1")

    @precondition(lambda self: not self.unfinished)
    @rule()
    def rename(self) -> None:
        self._end_what_has_begun()
        if self.bench.path().exists():
            self.bench.rename()
            self.renamed = True

    @precondition(lambda self: not self.unfinished)
    @rule()
    def copytruncate(self) -> None:
        self._end_what_has_begun()
        if self.bench.path().exists() and self.bench.path().stat().st_size:
            self.bench.copytruncate()
            self.renamed = False

    @precondition(lambda self: not self.down and not self.unfinished)
    @rule()
    def delete(self) -> None:
        self._end_what_has_begun()
        if self.bench.path().exists():
            if self.bench.rules.open_max < 256:
                self.bench.run_dry()  # it may not be open, and is lost if it was not read
            else:
                self.bench.look()
            os.unlink(self.bench.path())

    @rule()
    def compress(self) -> None:
        self._end_what_has_begun()
        for name in ("app.log.2", "app.log.1"):
            if self.bench.path(name).exists():
                self.bench.compress(name)
                return

    @precondition(lambda self: not self.unfinished and self.copying is None)
    @rule(part=st.floats(0.0, 1.0))
    def begin_a_copy(self, part: float) -> None:
        """As logrotate's copytruncate does it, with time for a look in between."""
        self._end_what_has_begun()
        if self.bench.path().exists() and self.bench.path().stat().st_size:
            self.bench.shift()
            self.copying = self.bench.path().read_bytes()
            cut = int(len(self.copying) * part)
            self.bench.path("app.log.1").write_bytes(self.copying[:cut])

    @precondition(lambda self: self.copying is not None)
    @rule()
    def end_a_copy(self) -> None:
        assert self.copying is not None
        self.bench.path("app.log.1").write_bytes(self.copying)
        os.truncate(self.bench.path(), 0)
        self.copying = None
        self.renamed = False

    @rule(part=st.floats(0.0, 1.0))
    def begin_to_compress(self, part: float) -> None:
        self._end_what_has_begun()
        path = self.bench.path("app.log.1")
        if path.exists():
            packed = gzip.compress(path.read_bytes())
            self.bench.path("app.log.1.gz").write_bytes(packed[: int(len(packed) * part)])
            self.packing = True

    @rule()
    def end_to_compress(self) -> None:
        if self.packing:
            self._end_to_compress()

    def _end_to_compress(self) -> None:
        self.packing = False
        self.bench.compress("app.log.1")

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

    def _end_what_has_begun(self) -> None:
        """Nobody rotates a log twice at a time, or writes between a copy and its truncation."""
        if self.copying is not None:
            self.end_a_copy()
        if self.packing:
            self._end_to_compress()

    def _lose_deleted(self) -> None:
        """What is only in deleted files that are open goes with the process."""
        there = {line for content in self._contents() for line in content.split(b"\n")}
        gone = self.written - there
        if self.bench.keeping or self.crashes:
            self.doomed |= gone
        self.doomed |= gone - set(self.bench.lines)

    def _contents(self) -> list[bytes]:
        if self.packing:
            self._end_to_compress()
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
        self._end_what_has_begun()
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
