"""The memory that all channels share: half is split equally and guaranteed, half is lent."""

from dataclasses import dataclass, field
from typing import Protocol

MESSAGE_OVERHEAD = (
    64  # octets a message costs besides its own: bytes header 33, two list slots, rounding
)


def cost(messages: int, octets: int) -> int:
    """What so many messages of so many octets count against `memory` and `memory_max`."""
    return octets + MESSAGE_OVERHEAD * messages


class Member(Protocol):
    def freed(self) -> None:
        """There may be room: others have given memory back, or shares have changed."""


@dataclass(slots=True, eq=False, repr=False)
class Memory:
    """Who uses how much of `memory_max`.

    Invariant: `borrowed` is what the members use above their guarantee, added up; `guarantee` is an
    equal share of half.
    """

    octets_max: int
    used: dict[Member, int] = field(default_factory=dict)
    borrowed: int = 0
    guarantee: int = field(init=False)
    _lent_out: bool = False  # nothing is left to lend

    def __post_init__(self) -> None:
        self._recount()

    def join(self, member: Member) -> None:
        self.used.setdefault(member, 0)
        self._recount()

    def leave(self, member: Member) -> None:
        self.used.pop(member, None)
        self._recount()

    def resize(self, octets_max: int) -> None:
        self.octets_max = octets_max
        self._recount()

    def change(self, member: Member, octets: int) -> None:
        """The member uses so many octets more, or fewer."""
        guarantee = self.guarantee
        before = self.used[member]
        self.used[member] = after = before + octets
        if before > guarantee or after > guarantee:
            self._borrow(self.borrowed + max(0, after - guarantee) - max(0, before - guarantee))

    def exhausted(self, member: Member) -> bool:
        """True when this member uses its guarantee up and nothing is left to lend."""
        return self.used[member] >= self.guarantee and self._lent_out

    def _recount(self) -> None:
        self.guarantee = guarantee = self.octets_max // 2 // max(1, len(self.used))
        self._borrow(sum(max(0, used - guarantee) for used in self.used.values()))
        self._tell()  # the guarantee may be greater

    def _borrow(self, octets: int) -> None:
        lent_out = self._lent_out
        self.borrowed = octets
        self._lent_out = octets >= self.octets_max // 2
        if lent_out and not self._lent_out:
            self._tell()

    def _tell(self) -> None:
        for member in self.used:
            member.freed()
