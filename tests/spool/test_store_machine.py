"""A store under anything, in any order: crashes, faults of the disk, dropped segments."""

import errno
import random
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from relay.spool.holes import past
from relay.spool.store import Store
from tests.core.parts import numbered
from tests.spool.parts import OCTETS, FakeDirectory, opened, put, read_all


@dataclass(eq=False)
class Model:
    """A store and what is known of its numbers.

    `durable` was committed; `written` was appended, and may be lost in a power cut; `dropped` is
    gone, and told to a durable cursor.
    """

    directory: FakeDirectory = field(default_factory=FakeDirectory)
    durable: set[int] = field(default_factory=set)
    written: set[int] = field(default_factory=set)
    dropped: set[int] = field(default_factory=set)
    cut: set[int] = field(default_factory=set)  # was written, and a power cut took it
    store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.store = opened(self.directory)

    def put(self, messages: int) -> None:
        first = self.store.next
        assert not self.written & {*range(first, first + messages)}, "a number is used twice"
        put(self.store, messages)
        self.written |= {*range(first, first + messages)}
        self.cut -= self.written

    def skip(self, numbers: int) -> None:
        first = past(self.store._holes, self.store.next + numbers)
        self.store.append([(first, numbered(first, first + 1, OCTETS))])
        self.written.add(first)
        self.cut.discard(first)

    def commit(self) -> None:
        self.store.commit()
        self.durable |= self.written
        self.cut -= self.durable

    def settle(self, messages: int) -> None:
        self.store.settle(self.store.settled + messages)

    def save(self, sync: bool) -> None:
        self.store.save_cursor(sync=sync)

    def read(self, offset: int) -> None:
        self.store.read(self.store.settled + offset, 100)

    def power_cut(self, seed: int) -> None:
        """Any subset of what was not synced survives."""
        choice = random.Random(seed)
        self.store.close()
        keep = [it for it in self.directory.pending if choice.random() < 0.5]
        self.directory = self.directory.crash(keep)
        self.store = opened(self.directory)
        found = {*read_all(self.store)[0]}
        assert found <= self.written | self.cut
        self.cut = (self.cut | self.written) - self.durable - found
        self.written = self.durable | found

    def kill(self) -> None:
        self.store.close()
        self.directory = self.directory.kill()
        self.store = opened(self.directory)
        self.durable |= self.written  # what is served was synced

    def drop(self, place: int) -> None:
        segments = self.store.segments()
        if place < len(segments) and segments[place][1] <= self.store.committed:
            first, end, _ = segments[place]
            self.store.drop(first, end)
            self.dropped |= {*range(first, end)}

    def full(self, writes: int) -> None:
        """The disk takes so many writes more, for a while."""
        left = writes

        def fault(kind: str, name: str) -> None:
            nonlocal left
            if kind in ("write", "allocate") and name.endswith(".seg"):
                if not left:
                    raise OSError(errno.ENOSPC, "full")
                left -= 1

        self.directory.fault = fault
        for _ in range(3):
            before = self.store.next
            try:
                self.put(4)
            except OSError:
                assert self.store.next == before
        self.directory.fault = lambda *_: None

    def sync_fails(self) -> None:
        def fault(kind: str, name: str) -> None:
            if kind == "sync" and name.endswith(".seg"):
                raise OSError(errno.EIO, "fault")

        self.directory.fault = fault
        try:
            self.commit()
        except OSError:
            self.directory.fault = lambda *_: None
            self.store.restart_after(self.store.committed)
            self.cut |= {n for n in self.written if n >= self.store.committed}
            self.written -= self.cut
        self.directory.fault = lambda *_: None

    def check(self) -> None:
        found, damaged = read_all(self.store)
        assert found == sorted(set(found)), "each once, in order"
        lost = {n for first, end in damaged for n in range(first, end)}
        assert not lost - self.cut, "only a power cut takes what was not committed"
        expected = {n for n in self.durable - self.dropped if n >= self.store.settled}
        assert expected <= set(found), "what was committed is there"
        assert set(found) <= self.written - self.dropped, "nothing is invented, or comes back"
        assert self.store.next > max(self.durable, default=-1)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 6)),
        st.tuples(st.just("put"), st.integers(1, 6)),
        st.tuples(st.just("put"), st.integers(1, 6)),
        st.tuples(st.just("commit")),
        st.tuples(st.just("commit")),
        st.tuples(st.just("settle"), st.integers(0, 8)),
        st.tuples(st.just("save"), st.booleans()),
        st.tuples(st.just("read"), st.integers(0, 30)),
        st.tuples(st.just("power_cut"), st.integers(0, 1 << 16)),
        st.tuples(st.just("kill")),
        st.tuples(st.just("drop"), st.integers(0, 3)),
        st.tuples(st.just("skip"), st.integers(1, 5)),
        st.tuples(st.just("full"), st.integers(0, 3)),
        st.tuples(st.just("sync_fails")),
    ),
    max_size=40,
)


@settings(max_examples=500)
@given(steps)
def test_what_was_committed_is_there_and_nothing_is_invented(
    steps: list[tuple[str, Any]],
) -> None:
    model = Model()
    for name, *arguments in steps:
        getattr(model, name)(*arguments)
        model.check()
