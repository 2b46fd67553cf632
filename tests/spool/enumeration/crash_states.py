"""What a power cut may leave of a directory: every combination of what no sync has made durable.

A write is cut into sectors, each of which has reached the disk or not; a write at the end of a file
is one thing more, its size: what is missing below that reads as zeros, or as what was in these
blocks before. Entries of the directory (made, removed) have reached the disk or not, each for
itself.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from tests.spool.parts import Change, FakeDirectory, apply

State = tuple[tuple[str, bytes], ...]  # names and contents, sorted by name

STATES_MAX = 4600  # of one moment: all up to here, a sample of a fixed seed above


@dataclass(frozen=True, slots=True)
class Surface:
    """How the disk tears what is written."""

    sector: int = 32
    cursor_sector: int = 256  # of a slot of 512: torn is torn
    grows: bool = False  # the size of a file may be there before its content
    before: bytes = b"\0"  # what is read then, again and again

    def pieces(self, change: Change) -> Iterator[Change]:
        """What of a change may reach the disk without the rest of it."""
        if change.kind != "write":
            yield change
            return
        end = change.offset + len(change.data)
        if self.grows and change.name != "cursor":
            yield Change("grow", change.name, end, self.before)
        sector = self.cursor_sector if change.name == "cursor" else self.sector
        at = change.offset
        while at < end:
            stop = min((at // sector + 1) * sector, end)
            data = change.data[at - change.offset : stop - change.offset]
            yield Change("write", change.name, at, data)
            at = stop


@dataclass(eq=False)
class CrashStates:
    """The states that a power cut may leave now, kept up as the directory changes.

    Invariant: `states` are those of `_pending` on top of what is durable: all of them, or a sample
    that has the two in which nothing and everything has reached the disk.
    """

    directory: FakeDirectory
    surface: Surface
    states_max: int = STATES_MAX
    thinned: int = 0  # how often these were: 0 are all of them
    states: dict[State, None] = field(default_factory=dict)
    _pending: list[Change] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begin()

    def news(self) -> Sequence[State]:
        """The states that were not possible at the last call."""
        pending = self.directory.pending
        before = self.states
        if not _is_prefix(self._pending, pending):
            self._begin()
        else:
            self.states = dict(before)
            self._add(pending[len(self._pending) :])
        return [state for state in self.states if state not in before]

    def _begin(self) -> None:
        self.thinned = 0
        self.states = {as_state(self.directory.durable): None}
        self._pending = []
        self._add(self.directory.pending)

    def _add(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for piece in self.surface.pieces(change):
                self.states.update(dict.fromkeys([after(it, piece) for it in self.states]))
                if len(self.states) > self.states_max:
                    self._thin()
        self._pending = [*self._pending, *changes]

    def _thin(self) -> None:
        """Keep a half: without a seed of its own every run would be another."""
        self.thinned += 1
        first, *others, last = self.states
        chosen = random.Random(self.thinned).sample(others, self.states_max // 2)
        self.states = dict.fromkeys([first, *chosen, last])


def as_state(files: Mapping[str, bytes | bytearray]) -> State:
    return tuple((name, bytes(content)) for name, content in sorted(files.items()))


def after(state: State, piece: Change) -> State:
    """The state with one piece more."""
    contents = dict(state)
    content = _after(contents.get(piece.name), piece)
    if content is None:
        contents.pop(piece.name, None)
    else:
        contents[piece.name] = content
    return tuple(sorted(contents.items()))


def without_cursor(state: State) -> State:
    """The same with both slots of the cursor damaged."""
    return tuple((name, b"\xff" * len(content) if name == "cursor" else content)
                 for name, content in state)  # fmt: skip


@lru_cache(1 << 16)
def _after(content: bytes | None, piece: Change) -> bytes | None:
    files = {} if content is None else {piece.name: bytearray(content)}
    if piece.kind != "grow":
        apply(files, piece)
    elif content is not None and len(content) < piece.offset:
        repeated = piece.data * (piece.offset // len(piece.data) + 1)
        files[piece.name] += repeated[len(content) : piece.offset]
    return bytes(files[piece.name]) if piece.name in files else None


def _is_prefix(shorter: Sequence[Change], longer: Sequence[Change]) -> bool:
    return len(shorter) <= len(longer) and all(
        one is other for one, other in zip(shorter, longer, strict=False)
    )
