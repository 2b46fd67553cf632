"""The receipt: what a listener that can acknowledge holds until the pipes have taken over.

No listener of this version can acknowledge, so nobody makes one yet; channels already keep the
count that a receipt needs, so that an acknowledging listener is one file.
"""

from dataclasses import dataclass, field
from typing import Protocol


class Receipt(Protocol):
    """Counts what pipes that keep still owe for the batch that carries it."""

    def owe(self, messages: int) -> None:
        """A pipe that keeps has taken this many messages and has not secured them yet."""

    def pay(self, messages: int) -> None:
        """This many of the messages owed are delivered or on disk."""


@dataclass(slots=True)
class CountingReceipt:
    """The plain receipt. Invariant: `owed >= 0`, and the sender may be answered when it is 0."""

    owed: int = field(default=0)

    def owe(self, messages: int) -> None:
        self.owed += messages

    def pay(self, messages: int) -> None:
        assert messages <= self.owed
        self.owed -= messages
