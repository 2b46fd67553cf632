"""The batch: the messages that travel together, and the unit of every hand-over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from relay.core.receipt import Receipt

TURN_OCTETS = 256 << 10  # one turn of one task handles no more, so that nobody else waits long


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Messages that travel together: never empty, never changed.

    Build it with `Batch.of`, which adds up the octets; whoever has them already may pass them.
    """

    messages: Sequence[bytes]  # without framing, normalised
    senders: Sequence[str]  # parallel to messages, as `wire.sender` names them
    listener: str
    received_ns: int  # wall clock
    octets: int  # of all messages together
    zone: str = "local"  # time zone of stamps that carry none: the listener's `timezone`
    notice: bool = False  # tells of losses; its own loss is counted, never told
    receipt: Receipt | None = None  # None where the sender cannot be told
    numbers: Sequence[int] = ()  # parallel too, in the channel that lends it; see `numbered`

    @classmethod
    def of(
        cls,
        messages: Sequence[bytes],
        senders: Sequence[str],
        listener: str,
        received_ns: int,
        *,
        zone: str = "local",
        notice: bool = False,
    ) -> "Batch":
        assert messages
        assert len(messages) == len(senders)
        octets = sum(map(len, messages))
        return cls(messages, senders, listener, received_ns, octets, zone, notice)

    def __len__(self) -> int:
        return len(self.messages)

    def with_messages(self, messages: Sequence[bytes]) -> "Batch":
        """Other messages in the places of these, all else the same."""
        assert len(messages) == len(self.messages)
        return replace(self, messages=messages, octets=sum(map(len, messages)))

    def numbered(self, first: int) -> "Batch":
        """The same messages, numbered from here on as in their channel."""
        return replace(self, numbers=range(first, first + len(self)))

    def part(self, start: int, stop: int | None = None) -> "Batch":
        """The messages from `start` to `stop` as a batch of their own; must not be empty."""
        messages = self.messages[start:stop]
        assert messages
        return Batch(
            messages,
            self.senders[start:stop],
            self.listener,
            self.received_ns,
            sum(map(len, messages)),
            self.zone,
            self.notice,
            self.receipt,
            self.numbers[start:stop],
        )

    def select(self, indexes: Sequence[int]) -> "Batch":
        """The messages at these places, in this order, as a batch of their own."""
        assert indexes
        messages = [self.messages[i] for i in indexes]
        return Batch(
            messages,
            [self.senders[i] for i in indexes],
            self.listener,
            self.received_ns,
            sum(map(len, messages)),
            self.zone,
            self.notice,
            self.receipt,
            [self.numbers[i] for i in indexes] if self.numbers else (),
        )
