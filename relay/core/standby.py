"""A standby: the lease of a destination that stands in line, until its turn has come and then."""

from collections.abc import Sequence
from contextlib import ExitStack

import trio

from relay.core.account import Confirmation, Drop
from relay.core.batch import TURN_OCTETS, Batch
from relay.core.channel import Channel
from relay.core.health import Health
from relay.core.lease import LEND_MESSAGES, ChannelLease


class Standby:
    """The lease of one attempt: that of the channel while it is this destination's turn."""

    def __init__(self, channel: Channel, health: Health, scope: trio.CancelScope) -> None:
        self.given_up = False
        self._channel = channel
        self._health = health
        self._scope = scope  # of the attempt
        self._stack = ExitStack()
        self._whole: ChannelLease | None = None
        self._kept = 0
        self._left = False
        self._gives_way = False
        self._lending: trio.CancelScope | None = None
        self._mine = trio.lowlevel.ParkingLot()

    @property
    def active(self) -> bool:
        return self._whole is not None

    @property
    def lent(self) -> int:
        return self._whole.lent if self._whole else 0

    @property
    def full(self) -> bool:
        return self._whole.full if self._whole else False

    @property
    def owes(self) -> bool:
        return self._whole.owes if self._whole else False

    @property
    def waiting(self) -> bool:
        return self._whole.waiting if self._whole else False

    async def lend(
        self, messages_max: int = LEND_MESSAGES, octets_max: int = TURN_OCTETS
    ) -> Sequence[Batch]:
        while True:
            while self._whole is None or self._gives_way:
                self._check()
                await self._mine.park()
            with trio.CancelScope() as self._lending:
                return await self._whole.lend(messages_max, octets_max)

    def settle(self, messages: int, level: Confirmation) -> None:
        whole = self._whole
        assert whole, "nothing was lent"
        delivered = self._channel.account.delivered
        before = delivered[level]
        whole.settle(messages, level)
        self._health.delivered += delivered[level] - before
        if not self._kept:
            whole.forget()  # what a destination before may not have read this one has now
        if self._gives_way and not whole.lent:
            self.end()

    def refuse(self, messages: int, reason: Drop, why: str = "") -> None:
        assert self._whole, "nothing was lent"
        self._whole.refuse(messages, reason, why, self._health.destination)

    def keep(self, octets: int) -> None:
        self._kept = octets
        if self._whole and octets:
            self._whole.keep(octets)

    def replay(self) -> int:
        return self._whole.replay() if self._whole else 0

    def forget(self) -> None:
        if self._whole:
            self._whole.forget()

    # -- what failover says

    def begin(self) -> None:
        """It is this one's turn."""
        self._whole = self._stack.enter_context(self._channel.lease())
        if self._kept:
            self._whole.keep(self._kept)
        self._mine.unpark_all()

    def give_way(self) -> None:
        """Lend no more; end when all that is lent is settled."""
        self._gives_way = True
        if self._lending is not None:
            self._lending.cancel()
        if not self.lent:
            self.end()

    def go_on(self) -> None:
        self._gives_way = False
        self._mine.unpark_all()

    def give_up(self) -> None:
        """End now: it does not read, and what it may not have read is for another one."""
        self.given_up = True
        self.end()

    def end(self) -> None:
        """End the attempt as a stop does: what is known to be delivered is settled."""
        self._scope.cancel()

    @property
    def ending(self) -> bool:
        return self._scope.cancel_called

    def close(self) -> None:
        self._left = True
        self._stack.close()
        self._whole = None
        self._mine.unpark_all()

    def _check(self) -> None:
        if self._left:
            raise RuntimeError("this lease was left")
