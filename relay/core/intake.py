"""A listener's way in: wait for room, then hand over what was read, normalised and booked."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from relay.core.account import ListenerAccount, Refusal
from relay.core.batch import Batch
from relay.core.own import OwnMessages
from relay.core.position import Positions
from relay.core.receipt import Receipt
from relay.core.router import Router
from relay.core.streams import Streams
from relay.core.upstreams import Upstreams
from relay.system.ports import Host
from relay.wire.clip import clip
from relay.wire.normalise import normalise
from relay.wire.timestamp import zone


@dataclass(slots=True, eq=False, repr=False)
class Intake:
    """Handed to `Listener.run`. `put` is plain: from the read to its return nothing awaits."""

    listener: str
    host: Host
    router: Router  # another one once the listener is removed: it goes on feeding what it fed
    account: ListenerAccount
    message_max: int
    timezone: str = "local"
    restamp: bool = False  # the time of receipt takes the place of each stamp
    local: bool = False  # senders are programs on this machine
    upstreams: Upstreams | None = None  # who numbers messages, where these are checked
    acknowledges: bool = False  # senders are told yes: wait for every pipe that keeps
    draining: trio.Event = field(default_factory=trio.Event)  # read what is there, then return
    own: OwnMessages = field(default_factory=OwnMessages)  # what `internal` listens to
    streams: Streams = field(default_factory=Streams)  # outlive a restart of the listener
    positions: Positions = field(default_factory=Positions)  # likewise; of what is read again
    drain_by: list[float] = field(default_factory=lambda: [float("inf")])  # latest time for it

    @property
    def blocked(self) -> bool:
        """Whether `room` would wait."""
        return self.router.blocks(self.listener, acknowledging=self.acknowledges)

    async def room(self, seconds_max: float = float("inf")) -> None:
        """Wait while a pipe that this listener feeds is full and must not drop.

        An acknowledging listener waits for all pipes that keep. Call it after `readable` and before
        the read; see `Channel.room`.
        """
        if self.blocked:
            with trio.move_on_after(seconds_max):
                await self.router.room(self.listener, acknowledging=self.acknowledges)

    def put(
        self,
        messages: Sequence[bytes],
        senders: Sequence[str],
        *,
        octets: int,
        notice: bool = False,
        framed: bool = False,
        receipt: Receipt | None = None,
    ) -> None:
        """Book and route what was read: whole messages without framing, parallel to `senders`.

        `octets` is what came over the wire for them. Empty messages are refused, and those above
        `message_max` cut; `framed` says that a framer has left none of either, and saves the look
        at each (50 of 470 ns a message over TCP). Pipes that keep owe the `receipt`.
        """
        account = self.account
        account.received += len(messages)
        account.received_octets += octets
        if not framed:
            if not all(messages):
                messages, senders = self._without_empty(messages, senders)
            if messages and len(max(messages, key=len)) > self.message_max:
                messages = self._clipped(messages)
        if messages:
            self._accept(messages, senders, notice=notice, receipt=receipt)

    def _accept(
        self,
        messages: Sequence[bytes],
        senders: Sequence[str],
        notice: bool,
        receipt: Receipt | None,
    ) -> None:
        account = self.account
        try:
            self._route(messages, senders, notice=notice, receipt=receipt)
        finally:  # a bug may raise; it must not leave messages that nobody has booked
            lost = account.received - account.accepted - sum(account.refused.values())
            account.refused[Refusal.INTERNAL_ERROR] += lost

    def _route(
        self,
        messages: Sequence[bytes],
        senders: Sequence[str],
        notice: bool,
        receipt: Receipt | None,
    ) -> None:
        account = self.account
        account.senders.look(messages, senders, self.host.clock.now())
        if self.upstreams is not None:
            self.upstreams.look(messages, self.host.clock.now())
        received_ns = self.host.clock.wall_ns()
        if not self.local and senders[0] != "local":  # what is of this machine has our clock
            account.skews.look(messages, senders, received_ns, zone(self.timezone))
        messages, invalid = normalise(
            messages,
            senders,
            received_ns=received_ns,
            host=self.host.name.encode() if self.local else None,
            local=self.local,
            restamp=self.restamp,
        )
        account.invalid_headers += invalid
        octets = sum(map(len, messages))
        batch = Batch(messages, senders, self.listener, received_ns, octets, self.timezone,
                      notice, receipt)  # fmt: skip
        self.router.put(batch)

    def refuse(self, messages: int, reason: Refusal) -> None:
        """Book messages that arrived and are not accepted."""
        self.account.received += messages
        self.account.refused[reason] += messages

    def refuse_from(self, sender: str, messages: int, reason: Refusal) -> None:
        """The same, for a rule about senders: it is told, with the sender where there are few."""
        self.refuse(messages, reason)
        self.router.ledger.refused(self.account, sender, messages, reason)

    def _without_empty(
        self, messages: Sequence[bytes], senders: Sequence[str]
    ) -> tuple[Sequence[bytes], Sequence[str]]:
        kept = [i for i, message in enumerate(messages) if message]
        self.account.refused[Refusal.EMPTY] += len(messages) - len(kept)
        return [messages[i] for i in kept], [senders[i] for i in kept]

    def _clipped(self, messages: Sequence[bytes]) -> Sequence[bytes]:
        clipped = [clip(message, self.message_max) for message in messages]
        cut = [len(m) - len(c) for m, c in zip(messages, clipped, strict=True) if len(m) > len(c)]
        self.account.truncated += len(cut)
        self.account.truncated_octets += sum(cut)
        return clipped
