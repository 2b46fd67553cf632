"""A memory ring as lines of text: what is in it, or what comes, in pieces of bounded size."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import trio

from relay.core.ring import Ring, Rings

PIECE_OCTETS = 64 << 10  # one write; one longer line goes alone
GAP_OCTETS = 80  # of them, kept free for the line that tells what was missed
PIECE_LINES = 256  # looked at in one turn
FOLLOW_SECONDS = 0.2  # between two looks for new lines: what a reader's eye does not notice


class Wish(NamedTuple):
    """Which lines of a ring somebody wants, by number."""

    since: int | None  # None: the newest ones
    lines_max: int | None  # None: all
    follow: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Reading:
    """Gives the lines piece by piece, and tells in a line of its own what it has missed.

    Ends at `end`; a reading that follows has none and ends when the ring is gone.
    """

    rings: Rings
    name: str
    ring: Ring
    number: int  # of the next line
    end: int | None

    def __aiter__(self) -> "Reading":
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while not (piece := self.take()):
            if self.end is not None or self.rings.rings.get(self.name) is not self.ring:
                raise StopAsyncIteration
            await trio.sleep(FOLLOW_SECONDS)
        return piece

    def take(self) -> bytes:
        """The next piece; empty when there is nothing more at this moment."""
        missed, lines = self.advance()
        gap = (
            b"-- %d lines overwritten or cleared before they were read --\n" % missed
            if missed
            else b""
        )
        return gap + b"".join(line + b"\n" for line in lines)

    def advance(self) -> tuple[int, Sequence[bytes]]:
        """How many lines are gone that were not read, and the lines that come next."""
        first, lines_max = max(self.number, self.ring.first), PIECE_LINES
        if self.end is not None:
            first = min(first, self.end)
            lines_max = min(lines_max, self.end - first)
        missed = first - self.number
        _, lines = self.ring.since(first, lines_max) if lines_max else (first, [])
        lines = _within(lines, PIECE_OCTETS - GAP_OCTETS)
        self.number = first + len(lines)
        return missed, lines


def next_number(ring: Ring) -> int:
    """The number that the next line will get."""
    return ring.first + len(ring.lines)


def begin(rings: Rings, name: str, wish: Wish) -> Reading:
    """A reading of the ring `name`, which must exist.

    Lines that are wanted and no longer there are missed, and told; a number that is still to come
    is that of another ring, before a restart, and all lines are given.
    """
    ring = rings.rings[name]
    after = next_number(ring)
    number = wish.since if wish.since is not None and wish.since <= after else ring.first
    if wish.since is None and wish.lines_max is not None:
        number = max(ring.first, after - wish.lines_max)
    end = after
    if wish.since is not None and wish.lines_max is not None:
        end = min(after, max(number, ring.first) + wish.lines_max)
    return Reading(rings, name, ring, number, None if wish.follow else end)


def identity(ring: Ring) -> str:
    """What tells it from others of its name: the numbers of one mean nothing in another."""
    return f"{os.getpid()}-{id(ring)}"


def listing(rings: Rings) -> Mapping[str, Mapping[str, object]]:
    """What there is, by name."""
    return {
        name: {
            "ring": identity(ring),
            "lines": len(ring.lines),
            "bytes": ring.octets,
            "size": ring.octets_max,
            "overwritten": ring.overwritten,
            "overflowed": ring.overflowed,
        }
        for name, ring in sorted(rings.rings.items())
    }


def as_json(reading: Reading) -> bytes:
    """At most a piece of a reading, with the number to ask for next."""
    missed, lines = reading.advance()
    answer = {
        "name": reading.name,
        "ring": identity(reading.ring),
        "first": reading.number - len(lines),
        "next": reading.number,
        "end": next_number(reading.ring),
        "missed": missed,
        "overwritten": reading.ring.overwritten,
        "overflowed": reading.ring.overflowed,
        "lines": [line.decode(errors="backslashreplace") for line in lines],
    }
    return json.dumps(answer).encode() + b"\n"


def _within(lines: Sequence[bytes], octets_max: int) -> list[bytes]:
    """As many of the lines as fit, at least one."""
    taken: list[bytes] = []
    octets = 0
    for line in lines:
        octets += len(line) + 1
        if taken and octets > octets_max:
            break
        taken.append(line)
    return taken
