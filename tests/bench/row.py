"""What a row of the bench is, whatever it measures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Show = Callable[[str], None]  # told what is running now


@dataclass(frozen=True, slots=True)
class Told:
    """What a row has found."""

    lines: Sequence[str]  # for people
    runs: Sequence[Any]  # every single one, for JSON


class Row(Protocol):
    """Measures something so many times over."""

    @property
    def name(self) -> str: ...

    def steps(self, rounds: int) -> int:
        """How often `tell` calls `show`."""

    def part(self, divisor: int) -> "Row":
        """The same for a shorter time."""

    def tell(self, rounds: int, show: Show) -> Told:
        """Measure.

        Raises:
            Silent: some part of a run failed.
        """
