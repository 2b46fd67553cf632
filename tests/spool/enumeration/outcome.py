"""What a process finds that opens the spool after a crash; and whether it can go on from there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from relay.spool.recovery import Known
from relay.spool.store import Damaged, Store
from tests.core.parts import make_batch
from tests.spool.enumeration.crash_states import CrashStates, State, Surface, as_state
from tests.spool.parts import FakeDirectory

Range = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is read after opening, and what was wrong already without knowing what to expect."""

    settled: int = 0
    next: int = 0
    messages: int = 0
    found: Mapping[int, bytes] = field(default_factory=dict)
    damaged: Sequence[Range] = ()
    torn: bool = False
    cursor_lost: bool = False
    what: Sequence[str] = ()  # the kinds of damage
    holes: bool = False
    removed: bool = False  # a file: a segment without a frame
    wrong: Sequence[str] = ()

    @property
    def essence(self) -> object:
        """What every opening of the same has to find."""
        return self.settled, self.next, self.found, self.damaged, self.messages


NOTHING = Known()  # of the crash page of the same boot; a power cut takes it


def open_store(directory: FakeDirectory, segment_octets: int, known: Known = NOTHING) -> Store:
    store = Store.open(directory, octets_max=1 << 20, known=known)
    store._segment_octets = segment_octets
    return store


def directory_of(state: State) -> FakeDirectory:
    """The state as the next boot finds it: all of it durable."""
    files, durable = ({name: bytearray(data) for name, data in state} for _ in range(2))
    return FakeDirectory(files, durable, identities=len(files))


def observe(
    state: State, segment_octets: int, known: Known = NOTHING, surface: Surface | None = None
) -> tuple[Outcome, Sequence[State]]:
    """Open, read everything, write more, lose what is not durable, and do it again.

    With a surface: also the states that a second power cut may leave while the first opening is
    under way.
    """
    directory = directory_of(state)
    between: dict[State, None] = {}
    if surface is not None:
        possible = CrashStates(directory, surface)
        directory.on_change = lambda: between.update(dict.fromkeys(possible.news()))
    try:
        store = open_store(directory, segment_octets, known)
        directory.on_change = lambda: None
        removed = any(name not in directory.files for name, _ in state)
        outcome = replace(read(store), removed=removed)
    except Exception as exc:
        return Outcome(wrong=[f"opening or reading raises {exc!r}"]), [*between]
    try:
        wrong = _go_on(store, directory, segment_octets, outcome)
    except Exception as exc:
        wrong = f"going on raises {exc!r}"
    if wrong:
        outcome = replace(outcome, wrong=[*outcome.wrong, wrong])
    return outcome, [*between]


def read(store: Store, first: int | None = None) -> Outcome:
    """Everything from this number on, or all there is."""
    found: dict[int, bytes] = {}
    damaged: list[Range] = []
    what: list[str] = []
    wrong: list[str] = []
    at = store.settled if first is None else first
    while items := store.read(at, 1 << 20):
        for item in items:
            if item.first < at or item.end <= item.first or item.end > store.next:
                wrong.append(f"{item.first}-{item.end} is read at {at}, below {store.next}")
                break
            if isinstance(item, Damaged):
                damaged.append((item.first, item.end))
                what.append(item.what)
            else:
                found.update(enumerate(item.batch.messages, item.first))
            at = item.end
        if wrong:
            break
    report = store.report
    return Outcome(store.settled, store.next, report.messages, found, damaged,
                   bool(report.torn_octets), report.cursor_lost, what, bool(store._holes),
                   wrong=wrong)  # fmt: skip


def _go_on(store: Store, directory: FakeDirectory, segment_octets: int, before: Outcome) -> str:
    """A message more, and a power cut that keeps nothing but what is durable."""
    first = store.next
    new = {first: b"new"}
    store.append([(first, make_batch(b"new"))])
    store.commit()
    here = read(store, first)
    if here.found != new or here.damaged or here.wrong:
        return f"going on reads {here}"
    store.close()
    again = read(open_store(directory.crash(), segment_octets))
    expected = (before.settled, first + 1, {**before.found, **new}, before.damaged,
                before.messages + 1)  # fmt: skip
    if again.essence != expected or again.torn or again.wrong:
        return f"the next opening finds {again}"
    return ""


def everything(directory: FakeDirectory) -> State:
    """What kill -9 leaves: the page cache."""
    return as_state(directory.files)
