"""How much a channel may hold, and what happens beyond."""

from dataclasses import dataclass
from typing import Literal

Overflow = Literal["drop-newest", "drop-oldest", "block"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """A pipe's `messages`, `memory` and `overflow`."""

    messages: int
    memory: int  # octets, each message's overhead included
    overflow: Overflow = "drop-newest"
