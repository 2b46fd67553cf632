"""Where records end, in plaintext and in ciphertext: how far the plaintext has come."""

from collections import deque
from dataclasses import dataclass, field

# More ends than this, and neighbours are joined: acknowledgements are then noticed later, never
# earlier. Our kernel holds 256 full records, or many more small ones.
ENDS_MAX = 4096


@dataclass(slots=True, eq=False, repr=False)
class Offsets:
    """Maps how much ciphertext somebody has to how much plaintext that is, in whole records.

    What TLS says for itself (handshake, tickets, alerts) is ciphertext without an end here.

    Invariant: `acknowledged <= taken <= written`, and none of them ever falls; ends ascend.
    """

    written: int = 0  # plaintext octets that are encrypted
    taken: int = 0  # of these, in records that our kernel has
    acknowledged: int = 0  # and the peer's
    _leaving: deque[tuple[int, int]] = field(default_factory=deque)  # plain end, cipher end
    _under_way: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, octets: int, cipher_end: int) -> None:
        """A record of so much plaintext ends there in the ciphertext."""
        self.written += octets
        self._leaving.append((self.written, cipher_end))

    def take(self, cipher_octets: int) -> None:
        """Our kernel has the first so many octets of ciphertext."""
        leaving = self._leaving
        while leaving and leaving[0][1] <= cipher_octets:
            end = leaving.popleft()
            self.taken = end[0]
            self._under_way.append(end)
        if len(self._under_way) > ENDS_MAX:
            # Whoever never asks for acknowledgements needs none of this, and holds it all the same.
            self._under_way = deque(list(self._under_way)[1::2] + list(self._under_way)[-1:])

    def acknowledge(self, cipher_octets: int) -> None:
        """So has the peer's."""
        under_way = self._under_way
        while under_way and under_way[0][1] <= cipher_octets:
            self.acknowledged = under_way.popleft()[0]
