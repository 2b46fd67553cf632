"""The first call to the disk fails, then the second, and so on, until a run has met no fault."""

import errno
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import pytest

from relay.core.backlog import Segment
from relay.core.queue import Entry
from relay.spool.group import commit_group
from relay.spool.recovery import Known
from relay.spool.store import Damaged, Store
from tests.core.parts import make_batch
from tests.spool.enumeration.crash_states import as_state
from tests.spool.enumeration.outcome import observe, open_store
from tests.spool.enumeration.promise import Promise, breaches
from tests.spool.parts import FakeDirectory

Lasting = Literal["once", "this call", "every call"]

SEGMENT_OCTETS = 300


@dataclass(eq=False)
class Failing:
    """The disk's answer to each call: the n-th fails, and for ever after the same, or all."""

    n: int
    error: int
    lasting: Lasting
    calls: int = 0
    kind: str = ""
    healed: bool = False

    def __call__(self, kind: str, _: str) -> None:
        if self.healed:
            return
        self.calls += 1
        if self.calls == self.n:
            self.kind = kind
        hit = self.calls == self.n
        if self.kind and self.lasting != "once":
            hit = self.lasting == "every call" or kind == self.kind
        if hit:
            raise OSError(self.error, "fault")

    @property
    def was_hit(self) -> bool:
        return bool(self.kind)


@dataclass(eq=False)
class User:
    """What a spool's task does, hop by hop; a hop that fails is tried again with the next."""

    directory: FakeDirectory
    promise: Promise = field(default_factory=Promise)
    store: Store | None = None
    unwritten: list[Entry] = field(default_factory=list)
    next: int = 0
    head: int = 0
    suspect: bool = False

    def hop(self, *sizes: int, delivered: int = 0, drop: bool = False) -> None:
        """Messages are put, so many are delivered, and all of it goes to the disk."""
        for size in sizes:
            self._put(size)
        self.head += delivered
        self.promise.settled = self.head
        with suppress(OSError):
            if self.store is None:
                self._open()
            assert self.store is not None
            self._commit(self.store, drop=drop)
            self._read(self.store)

    def end(self) -> None:
        """Save the cursor and close, as at a stop."""
        store, self.store = self.store, None
        if store is None:
            return
        try:
            store.settle(self.head)
            store.save_cursor(sync=True)
            self.promise.saved = store.settled
        except OSError:
            pass
        finally:
            store.close()

    def _open(self) -> None:
        committed = max(self.promise.told, default=-1) + 1
        self.store = open_store(self.directory, SEGMENT_OCTETS, Known(committed, self.head))
        self.suspect = False

    def _put(self, size: int) -> None:
        texts = {n: b"%d" % n + b"." * 20 for n in range(self.next, self.next + size)}
        self.unwritten.append(Entry(self.next, make_batch(*texts.values())))
        self.promise.written |= texts
        self.next += size

    def _commit(self, store: Store, *, drop: bool) -> None:
        dropped: Sequence[Segment] = []
        if drop and len(store.segments()) > 1:
            dropped = [Segment(*store.segments()[1])]
            self.promise.dropping |= {*range(dropped[0].first, dropped[0].end)}
        committed = store.committed if self.suspect else None
        self.suspect = True
        written = commit_group(store, self.unwritten, self.head, dropped, committed)
        self.suspect = False
        self.unwritten = [it for it in self.unwritten if it.end > written.committed]
        self.promise.told |= {n for n in self.promise.written if n < written.committed}
        for segment in dropped:
            self.promise.dropped |= {*range(segment.first, segment.end)}
            self.promise.told -= self.promise.dropped

    def _read(self, store: Store) -> None:
        at = store.settled
        found: dict[int, bytes] = {}
        while items := store.read(at, 100):
            for item in items:
                assert not isinstance(item, Damaged), item
                found.update(enumerate(item.batch.messages, item.first))
                at = item.end
        held = self.promise.told - self.promise.dropping
        assert {n for n in held if n >= store.settled} <= found.keys()
        assert found.items() <= self.promise.written.items()


def story(user: User) -> None:
    user.hop(1, 1)
    user.hop(1, 1, delivered=1)
    user.hop(1, 1, 1)
    user.hop(drop=True)
    user.hop(2, delivered=1)
    user.hop(1, 1, delivered=4)
    user.end()
    user.hop(1, 1)
    user.hop(1, 1, delivered=2)


def keeps_its_word(user: User) -> None:
    """Whatever crash is next."""
    promise = user.promise
    for files, known in ((user.directory.durable, Known()), (user.directory.files, promise.known)):
        outcome, _ = observe(as_state(files), SEGMENT_OCTETS, known)
        assert not [*breaches(promise, outcome, known)]


@pytest.mark.parametrize("lasting", ["once", "this call", "every call"])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_whichever_call_fails_nothing_told_is_missing_and_it_works_again(
    error: int, lasting: Lasting
) -> None:
    """A write that fails leaves half of it. Nothing but `OSError` comes out of the store."""
    n = 0
    hit = True
    while hit:
        n += 1
        failing = Failing(n, error, lasting)
        user = User(FakeDirectory(fault=failing))
        story(user)
        failing.healed = True
        hit = failing.was_hit
        keeps_its_word(user)
        for _ in range(3):
            user.hop()
        assert not user.unwritten
        user.hop(1, delivered=1)
        assert user.promise.told >= {user.next - 1}
        keeps_its_word(user)
    assert n > 100
