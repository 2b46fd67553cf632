"""What following files comes to: the listener takes these in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from relay.core.position import Place

Count = Literal["rotations", "truncations", "lost", "failures"]


class Read(NamedTuple):
    """Lines of one file, and the place behind them."""

    key: str
    path: str
    place: Place | None  # None: no line has ended, so the one before stays
    lines: Sequence[bytes] = ()
    octets: int = 0
    truncated: int = 0
    truncated_octets: int = 0
    unfinished: int = 0  # of the lines: those that never got an end
    repeats: bool = False  # an earlier process may have put them already


class Forget(NamedTuple):
    """This file will not be read again."""

    key: str


@dataclass(frozen=True, slots=True)
class Told:
    """What the operator should know; counted, and in the log unless the text is empty."""

    count: Count
    text: str = ""
    reason: str = ""  # of a failure
    octets: int = 0  # of a loss, as far as they are known
    error: bool = False  # something is lost


Step = Read | Forget | Told
