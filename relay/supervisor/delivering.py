"""One pipe's delivery: run, restart, and come to an end with everything booked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import trio

from relay.core.account import Drop
from relay.core.channel import Channel
from relay.core.delivery import Poison, deliver
from relay.core.sharing import Sharing
from relay.supervisor.addresses import Addresses
from relay.supervisor.machine import Machine
from relay.supervisor.restart import supervise
from relay.supervisor.several import Member, Several
from relay.system.ports import Host


@dataclass(slots=True, eq=False, repr=False)
class Delivering:
    """A pipe that delivers, and the handles to end or replace its delivery.

    The channel and the poison watch outlive a change of the destination.

    Invariant: `ended` is set only when neither this delivery nor one before it holds the channel.
    """

    name: str
    channel: Channel
    machine: Machine
    members: Sequence[Member]
    sharing: Sharing | None = None  # of several members
    before: "Delivering | None" = None  # the delivery that this one replaces, until it has let go
    poison: Poison = field(default_factory=Poison)
    several: Several | None = field(init=False, default=None)
    addresses: Addresses | None = field(init=False, default=None)
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)
    retirement: trio.CancelScope = field(default_factory=trio.CancelScope)

    def __post_init__(self) -> None:
        if self.before is not None:
            self.poison = self.before.poison
        sharing = self.sharing
        if sharing is not None:
            named = self.members if sharing.resolve_every is None else ()
            self.several = Several(self.channel, sharing, named, self.poison, self.machine.abandon)
            if sharing.resolve_every is not None:
                [whole] = self.members
                make_host = partial(self.machine.host, self.host.name)
                self.addresses = Addresses(whole, sharing, self.several, make_host)

    @property
    def host(self) -> Host:
        return self.members[0].outlet.host

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
                if self.several is not None:
                    await self._run_several(self.several, patience_seconds)
                else:
                    await supervise(f"pipe {self.name}", self._deliver, self._failed)
        finally:
            self.ended.set()

    def arrange(self, members: Sequence[Member], sharing: Sharing | None) -> bool:
        """Deliver to these from now on, without an end; False where that cannot be."""
        if self.several is None or self.sharing is None or sharing is None:
            return False
        if self.sharing.strategy != sharing.strategy:
            return False
        if (self.addresses is None) != (sharing.resolve_every is None):
            return False
        if self.addresses is not None:
            [whole] = members
            if not whole.is_like(self.addresses.whole):
                return False
            self.addresses.change(sharing)
        else:
            self.several.arrange(members, sharing)
        self.members, self.sharing = members, sharing
        return True

    def stop(self) -> None:
        """Deliver no more, and wait for no thread. `ended` tells when the channel is free."""
        delivery: Delivering | None = self
        while delivery is not None:
            for host in delivery._hosts():
                delivery.machine.abandon(host)
            delivery.scope.cancel()
            delivery = delivery.before

    def close(self, reason: Drop) -> int:
        """Book what is left; returns how many messages that were. `ended` must be set."""
        assert self.ended.is_set()
        self.channel.closing = reason
        return self.channel.drop_all(reason)

    def _hosts(self) -> Iterator[Host]:
        if self.several is not None:
            yield from self.several.hosts()
        else:
            yield self.host

    @staticmethod
    async def _take_over(before: "Delivering", patience_seconds: float) -> None:
        # Shielded: whoever waits for our own `ended` relies on the one before as well. It ends
        # soon, because its goodbye has a limit and its threads are abandoned.
        with trio.CancelScope(shield=True):
            with trio.move_on_after(patience_seconds):
                await before.ended.wait()
            before.stop()
            await before.ended.wait()

    async def _run_several(self, several: Several, patience_seconds: float) -> None:
        async with trio.open_nursery() as nursery:
            if self.addresses is not None:
                name = f"pipe {self.name} looking up addresses"
                nursery.start_soon(supervise, name, self.addresses.run, self._count_restart)
            await several.run(patience_seconds)

    async def _deliver(self) -> None:
        [member] = self.members
        await deliver(self.channel, member.destination, member.outlet)

    def _count_restart(self) -> bool:
        self.channel.account.restarts += 1
        return False

    def _failed(self) -> bool:
        self._count_restart()
        return self.poison.failed(self.channel)
