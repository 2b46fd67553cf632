"""The receipt: what a listener that can acknowledge holds until the pipes have taken over."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class Receipt:
    """Of what was put at once. The listener itself owes until its `put` has returned.

    `paid` is called once, when nobody owes any more: the sender may be told yes. `broken` is called
    once instead, when somebody who owes will never pay: the sender must not be answered. Both run
    inside a settle or a commit and must neither wait nor raise.
    """

    paid: Callable[[], None]
    broken: Callable[[], None]
    owed: int = 1
    _over: bool = False

    def owe(self) -> None:
        """A pipe that keeps has taken the batch, and has not secured it yet."""
        assert self.owed, "nobody owes again who has paid"
        self.owed += 1

    def pay(self) -> None:
        """What one of them owed is delivered or on disk; or `put` has returned."""
        assert self.owed, "more is paid than was owed"
        self.owed -= 1
        if not self.owed and not self._over:
            self._over = True
            self.paid()

    def abandon(self) -> None:
        """What one of them owed will not be secured here: its pipe ends."""
        if not self._over:
            self._over = True
            self.broken()


@dataclass(slots=True, eq=False)
class Debts:
    """The receipts that one channel owes, in the order of its numbers."""

    _owed: deque[tuple[int, Receipt]] = field(default_factory=deque)

    def __bool__(self) -> bool:
        return bool(self._owed)

    def owe(self, end: int, receipt: Receipt) -> None:
        """Until everything below `end` is secured."""
        receipt.owe()
        self._owed.append((end, receipt))

    def secured(self, number: int) -> None:
        """Everything below this number is delivered or on disk."""
        while self._owed and self._owed[0][0] <= number:
            self._owed.popleft()[1].pay()

    def renumber(self, delta: int) -> None:
        self._owed = deque((end + delta, receipt) for end, receipt in self._owed)

    def abandon(self) -> None:
        while self._owed:
            self._owed.popleft()[1].abandon()
