"""The receipt: what a listener that can acknowledge holds until the pipes have taken over."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False, repr=False)
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


@dataclass(slots=True, eq=False, repr=False)
class Debts:
    """The receipts that one channel owes, in the order of its numbers.

    Invariant: `messages` is how many messages they are for.
    """

    messages: int = 0
    _owed: deque[tuple[int, int, Receipt]] = field(default_factory=deque)  # first number, and end

    def __bool__(self) -> bool:
        return bool(self._owed)

    @property
    def oldest(self) -> Receipt | None:
        return self._owed[0][2] if self._owed else None

    def owe(self, first: int, end: int, receipt: Receipt) -> None:
        """Until everything below `end` is secured; the batch has the numbers from `first` on."""
        receipt.owe()
        self._owed.append((first, end, receipt))
        self.messages += end - first

    def secured(self, number: int) -> None:
        """Everything below this number is delivered or on disk."""
        while self._owed and self._owed[0][1] <= number:
            self._take().pay()

    def owes_below(self, number: int) -> bool:
        """Whether an answer is owed for a message below this number."""
        return bool(self._owed) and self._owed[0][0] < number

    def above(self, number: int) -> int:
        """For how many messages of this number or a higher one an answer is owed."""
        first = self._owed[0][0] if self._owed else number
        return self.messages - max(0, number - first)

    def renumber(self, delta: int) -> None:
        self._owed = deque((it[0] + delta, it[1] + delta, it[2]) for it in self._owed)

    def abandon(self) -> None:
        while self._owed:
            self._take().abandon()

    def _take(self) -> Receipt:
        first, end, receipt = self._owed.popleft()
        self.messages -= end - first
        return receipt
