"""One pipe's delivery: run, restart, and come to an end with everything booked."""

from dataclasses import dataclass, field

import trio

from relay.core.account import Drop
from relay.core.channel import Channel
from relay.core.component import Destination
from relay.core.delivery import Poison, deliver
from relay.core.outlet import Outlet
from relay.supervisor.machine import Machine
from relay.supervisor.restart import supervise


@dataclass(slots=True, eq=False)
class Delivering:
    """A pipe that delivers, and the handles to end or replace its delivery.

    The channel and the poison watch outlive a change of the destination.

    Invariant: `ended` is set only when neither this delivery nor one before it holds the channel.
    """

    name: str
    destination: Destination
    channel: Channel
    outlet: Outlet
    machine: Machine
    before: "Delivering | None" = None  # the delivery that this one replaces, until it has let go
    poison: Poison = field(default_factory=Poison)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    retirement: trio.CancelScope = field(default_factory=trio.CancelScope)

    async def run(self, patience_seconds: float) -> None:
        """Deliver until cancelled, once the delivery before has let go of the channel.

        That one is cancelled already. What it has in a thread is known when the thread returns; a
        thread that has not after `patience_seconds` is left behind.
        """
        try:
            if self.before is not None:
                await self._take_over(self.before, patience_seconds)
                self.before = None
            with self.scope:
                await supervise(f"pipe {self.name}", self._deliver, self._failed)
        finally:
            self.ended.set()

    def stop(self) -> None:
        """Deliver no more, and wait for no thread. `ended` tells when the channel is free."""
        delivery: Delivering | None = self
        while delivery is not None:
            delivery.machine.abandon(delivery.outlet.host)
            delivery.scope.cancel()
            delivery = delivery.before

    def close(self, reason: Drop) -> int:
        """Book what is left; returns how many messages that were. `ended` must be set."""
        assert self.ended.is_set()
        self.channel.closing = reason
        return self.channel.drop_all(reason)

    @staticmethod
    async def _take_over(before: "Delivering", patience_seconds: float) -> None:
        # Shielded: whoever waits for our own `ended` relies on the one before as well. It ends
        # soon, because its goodbye has a limit and its threads are abandoned.
        with trio.CancelScope(shield=True):
            with trio.move_on_after(patience_seconds):
                await before.ended.wait()
            before.stop()
            await before.ended.wait()

    async def _deliver(self) -> None:
        await deliver(self.channel, self.destination, self.outlet)

    def _failed(self) -> bool:
        self.channel.account.restarts += 1
        return self.poison.failed(self.channel)
