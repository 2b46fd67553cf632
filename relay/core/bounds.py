"""How much a channel may hold, and what happens beyond."""

from typing import Literal, NamedTuple

Overflow = Literal["drop-newest", "drop-oldest", "block"]


class Bounds(NamedTuple):
    """A pipe's `messages`, `memory` and `overflow`."""

    messages: int
    memory: int  # octets, each message's overhead included
    overflow: Overflow = "drop-newest"
