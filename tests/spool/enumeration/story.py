"""A spool's user: does what a history says, and notes what was promised meanwhile."""

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from relay.core.backlog import Segment
from relay.core.batch import Batch
from relay.core.queue import Entry
from relay.spool.group import commit_group
from relay.spool.recovery import Known
from relay.spool.store import Store
from tests.core.parts import make_batch
from tests.spool.enumeration.crash_states import CrashStates, State, Surface
from tests.spool.enumeration.outcome import NOTHING, Outcome, directory_of, open_store, read
from tests.spool.enumeration.promise import Promise
from tests.spool.parts import Change, FakeDirectory

OCTETS = 24  # of a message


class Killed(BaseException):
    """kill -9, in the middle of a call."""


@dataclass(eq=False)
class Story:
    """A store, and the promise to its user.

    `on_change` is called at every change to the directory, `on_step` when the promise may be
    another, `on_opening` with what a story's own crash has left.
    """

    surface: Surface
    segment_octets: int
    on_change: Callable[["Story"], None]
    on_step: Callable[["Story"], None]
    on_opening: Callable[["Story", Outcome, Known], None]
    states_max: int
    directory: FakeDirectory = field(default_factory=FakeDirectory)
    promise: Promise = field(default_factory=Promise)
    unwritten: list[Entry] = field(default_factory=list)  # of the spool's task: not committed
    head: int = 0  # of its channel
    suspect: bool = False
    life: int = 0
    store: Store = field(init=False)
    possible: CrashStates = field(init=False)

    def __post_init__(self) -> None:
        self._take(self.directory)
        self.store = open_store(self.directory, self.segment_octets)
        self.promise.has_cursor = True
        self.on_step(self)

    # -- what the spool's task does

    def put(self, *sizes: int) -> None:
        for size in sizes:
            self._append(self.store.next, size)

    def skip(self, numbers: int) -> None:
        """What lies between was delivered from memory; nobody will look for it."""
        first = self.store.next + numbers
        self.promise.skipped |= {*range(self.store.next, first)}
        self._append(first, 1)

    def commit(self) -> None:
        self.store.commit()
        self.promise.told |= {n for n in self.promise.written if n < self.store.committed}
        self.on_step(self)

    def settle(self, messages: int) -> None:
        self.promise.settled = max(self.promise.settled, self.store.settled + messages)
        self.store.settle(self.store.settled + messages)
        self.on_step(self)

    def save(self, *, sync: bool = False) -> None:
        self.store.save_cursor(sync=sync)
        if sync:
            self.promise.saved = self.store.settled
        self.on_step(self)

    def drop(self, place: int) -> None:
        first, end, _ = self.store.segments()[place]
        self.promise.dropping |= {*range(first, end)}
        self.store.drop(first, end)
        self.promise.dropped |= {*range(first, end)}
        self.promise.told -= self.promise.dropped
        self.on_step(self)

    def restart(self) -> None:
        self.store.restart_after(self.store.committed)
        self.on_step(self)

    def group(self, *sizes: int, delivered: int = 0, drop: Sequence[int] = ()) -> None:
        """One hop of the spool's task, in its own order; what fails is in the next one again."""
        for size in sizes:
            first = self.unwritten[-1].end if self.unwritten else self.store.next
            self.unwritten.append(Entry(first, self._batch(first, size)))
        self.head += delivered
        self.promise.settled = max(self.promise.settled, self.head)
        segments = [Segment(*self.store.segments()[place]) for place in drop]
        gone = {n for it in segments for n in range(it.first, it.end)}
        self.promise.dropping |= gone
        committed = self.store.committed if self.suspect else None
        try:
            written = commit_group(self.store, self.unwritten, self.head, segments, committed)
        except OSError:
            self.suspect = True
            self.unwritten = [it for it in self.unwritten if it.end > self.head]
        else:
            self.suspect = False
            self.unwritten = [it for it in self.unwritten if it.end > written.committed]
            self.promise.told |= {n for n in self.promise.written if n < written.committed}
            self.promise.dropped |= gone
            self.promise.told -= gone
        self.on_step(self)

    # -- what the world does

    @contextmanager
    def fault(
        self,
        kind: str,
        name: str,
        error: int = errno.EIO,
        *,
        after: int = 0,
        survives: Callable[[Change], bool] = lambda _: False,
    ) -> Iterator[None]:
        """The disk fails at calls of a kind, after so many that go well."""
        left = after

        def fault(what: str, where: str) -> None:
            nonlocal left
            if what == kind and where.endswith(name):
                if not left:
                    raise OSError(error, "fault")
                left -= 1

        self.directory.fault, self.directory.survives = fault, survives
        with suppress(OSError):
            yield
        self.directory.fault = lambda *_: None
        self.on_step(self)

    def power_cut(self, share: float) -> None:
        """One of the possible states: 0 has nothing of what was not synced, 1 everything."""
        states: Sequence[State] = [*self.possible.states]
        self._reopen(directory_of(states[int(share * (len(states) - 1))]), NOTHING)

    def kill(self, *, page: bool = True) -> None:
        """Kill -9; with `page` False the crash page is gone."""
        self._reopen(self.directory.kill(), self.promise.known if page else NOTHING)

    def kill_opening(self, changes: int) -> bool:
        """Kill -9, and once more when the opening has changed so much; False when it was over."""
        directory = self.directory.kill()
        left = changes

        def on_change() -> None:
            nonlocal left
            self.on_change(self)
            left -= 1
            if not left:
                raise Killed

        self._take(directory)
        directory.on_change = on_change
        with suppress(Killed):
            open_store(directory, self.segment_octets, self.promise.known)
        self.kill()
        return left <= 0

    # -- below

    def _append(self, first: int, size: int) -> None:
        batch = self._batch(first, size)
        self.store.append([(first, batch)])
        self.on_step(self)

    def _batch(self, first: int, size: int) -> Batch:
        texts = {n: (b"%d/%d" % (n, self.life)).ljust(OCTETS, b".")
                 for n in range(first, first + size)}  # fmt: skip
        self.promise.written |= texts
        return make_batch(*texts.values())

    def _take(self, directory: FakeDirectory) -> None:
        self.directory = directory
        directory.on_change = lambda: self.on_change(self)
        self.possible = CrashStates(directory, self.surface, self.states_max)

    def _reopen(self, directory: FakeDirectory, known: Known) -> None:
        self._take(directory)
        self.on_step(self)
        self.store = open_store(directory, self.segment_octets, known)
        outcome = read(self.store)
        self.on_opening(self, outcome, known)
        promise = self.promise
        promise.damaged |= promise.written.keys() - outcome.found.keys() - promise.told
        promise.written = dict(outcome.found)
        promise.told = {*outcome.found}
        promise.saved = outcome.settled
        self.head = self.store.settled
        self.unwritten.clear()
        self.suspect = False
        self.life += 1
        self.on_step(self)
