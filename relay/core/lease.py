"""The lease: a delivery's hold on what it is to deliver, mostly all of a channel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import trio

from relay.core.account import Confirmation, Drop
from relay.core.batch import TURN_OCTETS, Batch

if TYPE_CHECKING:
    from relay.core.channel import Channel

WINDOW_MESSAGES = 4096  # at most this many are lent, DESIGN: 4 MiB or 4,096 messages
WINDOW_OCTETS = 4 << 20
# At once: a conversion to JSON takes 15 µs a message, and others are to have their turn.
LEND_MESSAGES = 1024


class Lease(Protocol):
    """A delivery's hold on what it is to deliver. Used after it was left, it raises."""

    @property
    def lent(self) -> int:
        """Messages lent and not settled, replayed ones included."""

    @property
    def full(self) -> bool:
        """True while the window is: something lent has to leave before more is lent."""

    @property
    def waiting(self) -> bool:
        """True while there are messages to be had at once, but for the window."""

    @property
    def given_up(self) -> bool:
        """True when the delivery is ended because its peer does not read: others are to."""

    @property
    def owes(self) -> bool:
        """True while a sender waits to be told that a message held here is secured."""

    async def lend(
        self, messages_max: int = LEND_MESSAGES, octets_max: int = TURN_OCTETS
    ) -> Sequence[Batch]:
        """Batches, oldest first, as soon as there are any and the window has room.

        At most `messages_max` messages, a larger batch in parts; of octets at most `octets_max`, or
        one batch. Cancelled: nothing is taken.
        """

    def settle(self, messages: int, level: Confirmation) -> None:
        """The oldest `messages` lent are delivered. Replayed ones are not counted again."""

    def refuse(self, messages: int, reason: Drop, why: str = "") -> None:
        """The oldest `messages` lent can never be delivered; `why`: in words, for people."""

    def keep(self, octets: int) -> None:
        """From now on so many octets of what is settled last as `acked` are kept."""

    def replay(self) -> int:
        """The connection broke uncleanly: the tail comes again, before what is recalled.

        Returns how many messages that are.
        """

    def forget(self) -> None:
        """The peer has read everything that was settled: nothing of it has to come again."""


class ChannelLease:
    """The lease on a whole channel, and the other half of that class."""

    given_up = False

    def __init__(self, channel: "Channel") -> None:
        self._channel: Channel | None = channel
        self.replays = False  # the tail is to be sent again

    @property
    def lent(self) -> int:
        return self._held._queue.lent_messages

    @property
    def full(self) -> bool:
        return not _window_open(self._held)

    @property
    def owes(self) -> bool:
        return bool(self._held.debts)

    @property
    def waiting(self) -> bool:
        return self._held._queue.waiting_messages > self._held._queue.waiting_echoes

    async def lend(
        self, messages_max: int = LEND_MESSAGES, octets_max: int = TURN_OCTETS
    ) -> Sequence[Batch]:
        channel = self._held
        if self._can_lend(channel):  # whoever has to wait passes a checkpoint there
            await trio.lowlevel.checkpoint()
        while not self._can_lend(self._held) or _too_old(channel):
            if self._can_lend(channel) and not channel._queue.lent_messages:
                assert channel.expiry is not None
                channel.expiry.drop(channel)
                await trio.lowlevel.checkpoint()
            elif not channel._queue.waiting and channel.spooling.behind and _window_open(channel):
                await channel.spooling.refill()
                await trio.lowlevel.checkpoint()  # what is in memory already comes without one
            else:
                await channel._arrival.park()
        if channel._careful:
            messages_max = 1
        room = WINDOW_MESSAGES - channel._queue.lent_messages
        messages_max = max(1, min(messages_max, room))
        return channel._queue.lend(messages_max, octets_max, numbered=channel.lends_numbers)

    def settle(self, messages: int, level: Confirmation) -> None:
        self._held._settle(messages, level)

    def refuse(self, messages: int, reason: Drop, why: str = "", by: str = "") -> None:
        """`by`: the one of several destinations that has refused them."""
        refuse_lent(self._held, messages, reason, why, by)

    def keep(self, octets: int) -> None:
        self._held.tail.resize(octets)

    def replay(self) -> int:
        self.replays = True
        return sum(len(entry.batch) for entry in self._held.tail)

    def forget(self) -> None:
        if not self._held._queue.lent_echoes + self._held._queue.waiting_echoes:
            self._held.tail.forget()

    def close(self) -> None:
        self._channel = None

    @staticmethod
    def _can_lend(channel: "Channel") -> bool:
        waits = bool(channel._queue.waiting) and not channel.spooling.holds_back
        return waits and _window_open(channel)

    @property
    def _held(self) -> "Channel":
        if self._channel is None:
            raise RuntimeError("this lease was left")
        return self._channel


def _too_old(channel: "Channel") -> bool:
    """Whether what would be lent next is to be dropped instead, once nothing is lent before it."""
    return channel.expiry is not None and channel.expiry.due(channel)


def _window_open(channel: "Channel") -> bool:
    queue = channel._queue
    if not queue.lent_messages or channel._careful:
        return not queue.lent_messages  # careful: one in hand, so that it is the one that fails
    return queue.lent_messages < WINDOW_MESSAGES and queue.lent_octets < WINDOW_OCTETS


def refuse_lent(channel: "Channel", messages: int, reason: Drop, why: str, by: str = "") -> None:
    """The oldest messages lent leave as dead letters, or are dropped."""
    for entry in channel._queue.shift(messages):
        if entry.echo:
            continue
        batch = entry.batch
        channel._weigh(-len(batch), -batch.octets)
        if channel.dead_letters is not None:
            channel.dead_letters.take(batch, channel.account, reason, why, by)
        else:
            channel.account.drop(len(batch), reason, notice=batch.notice)
    channel._careful = max(0, channel._careful - messages)
    channel._left()
