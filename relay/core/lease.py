"""The lease: a delivery's hold on its channel, and the other half of that class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from relay.core.account import Confirmation, Drop
from relay.core.batch import Batch

if TYPE_CHECKING:
    from relay.core.channel import Channel

WINDOW_MESSAGES = 4096  # at most this many are lent, DESIGN: 4 MiB or 4,096 messages
WINDOW_OCTETS = 4 << 20
# At once: a conversion to JSON takes 15 µs a message, and others are to have their turn.
LEND_MESSAGES = 1024


class Lease:
    """A delivery's hold on its channel. Used after it was left, it raises."""

    def __init__(self, channel: "Channel") -> None:
        self._channel: Channel | None = channel

    @property
    def lent(self) -> int:
        """Messages lent and not settled."""
        return self._held._lent_messages

    async def lend(self, messages_max: int = LEND_MESSAGES) -> Sequence[Batch]:
        """Batches, oldest first, as soon as there are any and the window has room.

        At most `messages_max` messages, a larger batch in parts; of octets at most 256 KiB, or one
        batch. Cancelled: nothing is taken.
        """
        channel = self._held
        await trio.lowlevel.checkpoint()
        while not (self._held._waiting and self._window_open(channel)):
            await channel._arrival.park()
        room = WINDOW_MESSAGES - channel._lent_messages
        return channel._lend(max(1, min(messages_max, room)))

    def settle(self, messages: int, level: Confirmation) -> None:
        """The oldest `messages` lent are delivered."""
        channel = self._held
        channel._shift(messages)
        channel.account.delivered[level] += messages

    def refuse(self, messages: int, reason: Drop) -> None:
        """The oldest `messages` lent can never be delivered."""
        channel = self._held
        channel._refuse(messages, reason)

    def close(self) -> None:
        self._channel = None

    @staticmethod
    def _window_open(channel: "Channel") -> bool:
        lent = channel._lent_messages
        if not lent or channel._careful:  # careful: one in hand, so that it is the one that fails
            return not lent
        octets = sum(batch.octets for batch in channel._lent)
        return lent < WINDOW_MESSAGES and octets < WINDOW_OCTETS

    @property
    def _held(self) -> "Channel":
        if self._channel is None:
            raise RuntimeError("this lease was left")
        return self._channel
