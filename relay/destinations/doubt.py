"""How many messages that a peer's kernel has its application may never have read."""

from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile

# What a peer's kernel may hold unread: the receive buffer that Linux grows to without being told
# otherwise (tcp_rmem[2], 6 MiB), and the one a unix socket has (wmem_default, 208 KiB).
TCP_UNREAD_OCTETS_MAX = 6 << 20
UNIX_UNREAD_OCTETS_MAX = 208 << 10

STEP_OCTETS = 64 << 10  # how finely is remembered what was delivered
KEPT_OCTETS = 32 << 20  # and how far back: a peer's unread and what our own kernel may hold


@dataclass(slots=True, eq=False, repr=False)
class Doubt:
    """What was delivered last over one connection, in steps of 64 KiB or one batch.

    Invariant: a step's first number is where it ends on a stream of what was delivered only.
    """

    _end: int = 0
    _steps: deque[tuple[int, int]] = field(default_factory=deque)  # end, messages

    def add(self, octets: int, messages: int) -> None:
        """So much more was delivered."""
        start = self._end // STEP_OCTETS
        self._end += octets
        if self._steps and self._end // STEP_OCTETS == start:
            messages += self._steps.pop()[1]
        self._steps.append((self._end, messages))
        while self._steps[0][0] <= self._end - KEPT_OCTETS:
            self._steps.popleft()

    def within(self, octets: int) -> int:
        """How many messages have an end in the last `octets`, or in a step that does."""
        begin = self._end - octets
        return sum(messages for _, messages in
                   takewhile(lambda step: step[0] > begin, reversed(self._steps)))  # fmt: skip
