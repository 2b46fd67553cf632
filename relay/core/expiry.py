"""`ttl`: what is too old when it would be lent is dropped, also what comes out of the spool."""

from typing import TYPE_CHECKING, NamedTuple

from relay.core.account import Drop
from relay.system.ports import Clock

if TYPE_CHECKING:
    from relay.core.channel import Channel

TURN_ENTRIES = 512  # 3 ms


class Expiry(NamedTuple):
    """How old a message may be, by the time of its receipt."""

    ttl_ns: int
    clock: Clock

    def due(self, channel: "Channel") -> bool:
        """Whether the next message to be lent is too old. Never one that a receipt is owed for."""
        entry = channel._queue.waiting[0]
        if entry.echo or self.clock.wall_ns() - entry.batch.received_ns <= self.ttl_ns:
            return False
        return not channel.debts.owes_below(entry.end)

    def drop(self, channel: "Channel") -> None:
        """Drop what is too old at the head, a turn's worth at most.

        Nothing may be lent: numbers leave in their order.
        """
        queue = channel._queue
        assert not queue.lent_messages
        for _ in range(TURN_ENTRIES):
            if not queue.waiting or not self.due(channel):
                break
            queue.lend(len(queue.waiting[0].batch), 0)
            (entry,) = queue.shift(queue.lent_messages)
            messages = len(entry.batch)
            channel._weigh(-messages, -entry.batch.octets)
            channel.account.drop(messages, Drop.EXPIRED, notice=entry.batch.notice)
            channel._careful = max(0, channel._careful - messages)
        channel._left()
