"""The deliveries of a pipe with several destinations: a fault of one is its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import trio

from relay.core.balance import Balance
from relay.core.candidate import Rank
from relay.core.channel import Channel
from relay.core.component import Destination
from relay.core.delivery import Poison, deliver_from
from relay.core.failover import Failover
from relay.core.outlet import Outlet
from relay.core.sharing import Seat, Sharing, Strategy
from relay.supervisor.restart import supervise
from relay.system.ports import Host


class Member(NamedTuple):
    """A destination of a pipe, and what its deliveries have at hand."""

    destination: Destination
    outlet: Outlet
    rank: Rank = Rank()

    def is_like(self, other: "Member") -> bool:
        """Whether a delivery to the one is a delivery to the other."""
        return (
            self.destination == other.destination
            and self.outlet.candidate == other.outlet.candidate
        )

    @property
    def name(self) -> str:
        return self.outlet.destination


@dataclass(slots=True, eq=False, repr=False)
class _Running:
    """The delivery to a member, from its arrangement to its end."""

    member: Member
    seat: Seat
    before: "_Running | None" = None  # of this name, until it has ended
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)


class Several:
    """Invariant: `_running` has those that are configured, `_all` those that have not ended."""

    def __init__(
        self,
        channel: Channel,
        sharing: Sharing,
        members: Sequence[Member],
        poison: Poison,
        abandon: Callable[[Host], None],
    ) -> None:
        self._channel = channel
        self._strategy = _strategy(channel, sharing, poison)
        self._running: Mapping[str, _Running] = {}
        self._all: dict[_Running, None] = {}  # in the order in which they were arranged
        self._new: list[_Running] = []  # no task has been started for them
        self._parting: list[_Running] = []  # cancelled, and nobody waits for their end yet
        self._abandon = abandon
        self._changed = trio.lowlevel.ParkingLot()
        self.arrange(members, sharing)

    def hosts(self) -> Iterator[Host]:
        """Of all whose delivery has not ended."""
        for running in self._all:
            yield running.member.outlet.host

    def arrange(self, members: Sequence[Member], sharing: Sharing) -> None:
        """These from now on, in this order; the deliveries to unchanged ones are not disturbed."""
        before = self._running
        self._running = {it.name: self._keep_or_start(it, before.get(it.name)) for it in members}
        for name, running in before.items():
            if self._running.get(name) is not running:
                running.scope.cancel()
                self._parting.append(running)
        self._strategy.arrange([it.seat for it in self._running.values()], sharing)
        self._changed.unpark_all()

    async def run(self, patience_seconds: float) -> None:
        """Deliver until cancelled.

        A thread of one that is not wanted any more is left behind after `patience_seconds`.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch)
            while True:
                for running in self._new:
                    nursery.start_soon(self._deliver, running)
                for running in self._parting:
                    nursery.start_soon(self._part, running, patience_seconds)
                self._new.clear()
                self._parting.clear()
                await self._changed.park()

    def _keep_or_start(self, member: Member, running: _Running | None) -> _Running:
        if running is not None and running.member.is_like(member):
            running.seat.rank = member.rank
            return running
        # It may have been removed by an earlier reload, and not have ended.
        before = next((it for it in reversed(self._all) if it.member.name == member.name), None)
        now = _Running(member, self._strategy.seat(member.outlet.health), before)
        now.seat.rank = member.rank
        self._new.append(now)
        self._all[now] = None
        return now

    async def _watch(self) -> None:
        name = self._channel.account.name
        await supervise(f"pipe {name}", self._strategy.run, self._count_restart)

    async def _deliver(self, running: _Running) -> None:
        member, seat = running.member, running.seat

        async def run() -> None:
            await deliver_from(seat, member.destination, member.outlet)

        def failed() -> bool:
            self._count_restart()
            return seat.crashed()

        try:
            if running.before is not None:
                await running.before.ended.wait()
                running.before = None
            with running.scope:
                name = f"pipe {self._channel.account.name} to {member.name}"
                await supervise(name, run, failed)
        finally:
            del self._all[running]
            running.ended.set()

    async def _part(self, running: _Running, patience_seconds: float) -> None:
        with trio.move_on_after(patience_seconds):
            await running.ended.wait()
        self._abandon(running.member.outlet.host)

    def _count_restart(self) -> bool:
        self._channel.account.restarts += 1
        return False


def _strategy(channel: Channel, sharing: Sharing, poison: Poison) -> Strategy:
    if sharing.strategy == "balance":
        return Balance(channel, sharing, poison)
    return Failover(channel, sharing, poison)
