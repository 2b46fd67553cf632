"""What has been promised at a moment, and what breaks it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from relay.spool.recovery import Known
from tests.spool.enumeration.outcome import NOTHING, Outcome


@dataclass(slots=True, eq=False)
class Promise:
    """What the spool's user may rely on, whatever happens now.

    Invariant: `told` is part of `written`.
    """

    written: dict[int, bytes] = field(default_factory=dict)  # nothing else under these numbers
    told: set[int] = field(default_factory=set)  # durable, as a commit has said
    dropping: set[int] = field(default_factory=set)  # may be gone already
    dropped: set[int] = field(default_factory=set)  # and must stay so
    damaged: set[int] = field(default_factory=set)  # found to be so, after an earlier crash
    skipped: set[int] = field(default_factory=set)  # nobody has written them
    settled: int = 0  # everything below has left
    saved: int = 0  # and this much of it was said to be on disk
    has_cursor: bool = False  # one was said to be on disk

    @property
    def next(self) -> int:
        """No number below may be used again."""
        used = self.told | self.dropped
        return max(max(used, default=-1) + 1, self.saved)

    @property
    def without_cursor(self) -> "Promise":
        """What is left of it when both slots are damaged: everything on disk comes again.

        What was dropped may be told as damaged, or come again; numbers of which no segment tells
        may be passed, or used again, if nobody was told that they are durable.
        """
        held = [n for n in self.told - self.dropping if n >= self.settled]
        return Promise(self.written, self.told - self.dropping,
                       damaged=self.damaged | self.dropped | self.dropping | self.skipped,
                       settled=min(held, default=1 << 64))  # fmt: skip

    @property
    def known(self) -> Known:
        """What the crash page says in the same boot."""
        used = self.written.keys() | self.dropped
        return Known(max(max(used, default=-1) + 1, self.settled), self.settled)


def breaches(promise: Promise, outcome: Outcome, known: Known = NOTHING) -> Iterator[str]:
    """What is not as it was promised."""
    yield from outcome.wrong
    yield from _invented(promise, outcome.found)
    missing = [n for n in promise.told - promise.dropping
               if n >= outcome.settled and n not in outcome.found]  # fmt: skip
    if missing:
        yield f"{sorted(missing)} were told durable and are missing"
    if outcome.cursor_lost and promise.has_cursor:
        yield "no cursor is whole"
    lost = [n for first, end in outcome.damaged for n in range(first, end)]
    may_be = (promise.written.keys() | promise.damaged) - promise.told - promise.dropping
    wrong = [n for n in lost if n not in may_be]
    if wrong:
        yield f"{wrong} are told as damaged"
    if not max(promise.saved, known.settled) <= outcome.settled <= _settled_max(promise, outcome):
        yield f"settled is {outcome.settled}, not {promise.saved} to {promise.settled}"
    if outcome.next < max(promise.next, known.next):
        yield f"next is {outcome.next}, {max(promise.next, known.next) - 1} was used"
    if outcome.messages != len(outcome.found) + len(lost):
        yield f"{outcome.messages} messages are reported, {len(outcome.found)} + {len(lost)} read"


def _settled_max(promise: Promise, outcome: Outcome) -> int:
    """Nothing is passed that has not left; where nothing is, nothing can be passed."""
    is_empty = not outcome.found and not any(n >= promise.settled for n in promise.told)
    return outcome.next if is_empty else promise.settled


def _invented(promise: Promise, found: Mapping[int, bytes]) -> Iterator[str]:
    for number, text in found.items():
        if promise.written.get(number) != text:
            yield f"{number} is invented: {text!r}, not {promise.written.get(number)!r}"
        elif number in promise.dropped:
            yield f"{number} was dropped and is there again"
