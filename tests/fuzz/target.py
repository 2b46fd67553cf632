"""What a target is, and how it reads its input."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A part of Relay that strangers' octets reach.

    `run` raises for a bug of Relay and for nothing else; its docstring says what must hold. `words`
    are what the fuzzer is told to try.
    """

    name: str
    run: Callable[[bytes], None]
    words: Sequence[bytes] = ()
    octets_max: int = 512


class Octets:
    """An input, read from its front: first what it chooses, then the octets that are tried.

    Where it has ended, everything is 0 or empty.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, octets: int) -> bytes:
        found = self._data[self._at : self._at + octets]
        self._at += len(found)
        return found

    def rest(self) -> bytes:
        return self.take(self.left)

    def number(self, octets: int = 1) -> int:
        return int.from_bytes(self.take(octets), "big")

    def choice(self, options: Sequence[T]) -> T:
        return options[self.number() % len(options)]


def pieces(data: bytes, sizes: bytes) -> Iterator[bytes]:
    """The data in pieces of 1 to 64 octets, their sizes over and over; all at once without any."""
    steps = [1 + size % 64 for size in sizes] or [len(data) or 1]
    at = turn = 0
    while at < len(data):
        step = steps[turn % len(steps)]
        yield data[at : at + step]
        at += step
        turn += 1
