"""The addresses of a destination as members of its pipe, as often as its name is looked up."""

import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from relay.config.model import DESTINATIONS_MAX
from relay.core.account import PipeAccount
from relay.core.candidate import Candidate, Rank
from relay.core.delivery import backoff
from relay.core.sharing import Sharing
from relay.destinations.names import NAMED, resolve
from relay.destinations.session import plain
from relay.supervisor.several import Member, Several
from relay.system.ports import Host, Unreachable

log = logging.getLogger("relay.delivery")

VALID_SECONDS_MAX = 3600.0  # whatever the DNS says, it is asked again after so long


@dataclass(slots=True, eq=False, repr=False)
class Addresses:
    """Keeps the members of a pipe to what the name of its destination stands for.

    A member has a number, which is free for another one when its address has gone: so names in
    metrics are few, however often addresses change. While a name does not resolve, what it stood
    for last stays.

    Invariant: `_members` are those that are arranged, in order, with different names.
    """

    whole: Member  # the destination by its name
    sharing: Sharing
    several: Several
    make_host: Callable[[], Host]
    _members: dict[Candidate, Member] = field(default_factory=dict)
    _too_many: bool = False  # and that was told
    _told: str = ""  # why it did not resolve the last time
    _pauses: Iterator[float] = field(init=False)
    _changed: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __post_init__(self) -> None:
        self._pauses = _backoff()

    def change(self, sharing: Sharing) -> None:
        """These keys from now on; the name is looked up at once."""
        self.sharing = sharing
        self.several.arrange([*self._members.values()], sharing)
        self._changed.unpark_all()

    async def run(self) -> None:
        while True:
            pause = await self._look_up()
            with trio.move_on_after(pause):
                await self._changed.park()

    async def _look_up(self) -> float:
        """Returns after how many seconds it is to be done again."""
        every = self.sharing.resolve_every
        assert every is not None, "only with `each_address`"
        destination, network = self.whole.destination, self.whole.outlet.host.network
        address: str = getattr(destination, "address")  # noqa: B009 - not every type has one
        try:
            resolved = await resolve(network, address, NAMED[destination.type])
        except Unreachable as fault:
            return self._failed([str(fault)], every)
        ranks = {**resolved.ranks, **self._ranks_of(resolved.failed)}
        if ranks:
            self._arrange(ranks)
        if resolved.failed:
            return self._failed(resolved.failed.values(), every)
        self._told, self._pauses = "", _backoff()
        return max(every, min(resolved.seconds, VALID_SECONDS_MAX))

    def _ranks_of(self, hosts: Collection[str]) -> Mapping[Candidate, Rank]:
        return {it: member.rank for it, member in self._members.items() if it.name in hosts}

    def _failed(self, reasons: Collection[str], every: float) -> float:
        account, outlet = self._account, self.whole.outlet
        account.resolve_failures += 1
        reason = "; ".join(map(plain, reasons))
        if not self._members:
            outlet.health.down_reason = reason
            outlet.health.failures += 1
        if reason != self._told:
            self._told = reason
            log.warning("pipe %s cannot look up all addresses of %s: %s",
                        account.name, outlet.destination, reason)  # fmt: skip
        return every if self._members else min(next(self._pauses), every)

    def _arrange(self, ranks: Mapping[Candidate, Rank]) -> None:
        before = self._members
        chosen = self._choose(ranks)
        gone = [it for it in before if it not in chosen]
        free = _numbers({member.name for it, member in before.items() if it in chosen},
                        self.whole.name)  # fmt: skip
        self._members = {
            it: before[it]._replace(rank=ranks[it]) if it in before
            else self._member(it, ranks[it], next(free))
            for it in chosen
        }  # fmt: skip
        account = self._account
        account.configure([it.name for it in self._members.values()])
        account.shared = True
        for it in gone:
            log.info("pipe %s has %s no more: %s", account.name, before[it].name, it)
        for it, member in self._members.items():
            if it not in before:
                member.outlet.health.address, member.outlet.health.down_reason = str(it), ""
                log.info("pipe %s has %s: %s", account.name, member.name, it)
        self.several.arrange([*self._members.values()], self.sharing)

    def _choose(self, ranks: Mapping[Candidate, Rank]) -> Sequence[Candidate]:
        """By tier; in a tier those that are members already stay before others, in their order.

        Resolvers give equal addresses in another order each time, which is no reason to change.
        """
        places = {it: place for place, it in enumerate(self._members)}
        order = sorted(ranks, key=lambda it: (ranks[it].tier, places.get(it, len(places))))
        too_many = len(order) > DESTINATIONS_MAX
        if too_many and not self._too_many:
            name, destination = self._account.name, self.whole.name
            log.warning("pipe %s takes %d of the %d addresses of %s",
                        name, DESTINATIONS_MAX, len(order), destination)  # fmt: skip
        self._too_many = too_many
        return order[:DESTINATIONS_MAX]

    def _member(self, candidate: Candidate, rank: Rank, name: str) -> Member:
        outlet = self.whole.outlet._replace(
            destination=name, candidate=candidate, host=self.make_host()
        )
        return Member(self.whole.destination, outlet, rank)

    @property
    def _account(self) -> PipeAccount:
        return self.whole.outlet.account


def _numbers(taken: Collection[str], destination: str) -> Iterator[str]:
    """Names that are free: no destination is called so, for none may have a slash."""
    names = (f"{destination}/{number}" for number in range(1, DESTINATIONS_MAX + 1))
    return (name for name in names if name not in taken)


def _backoff() -> Iterator[float]:
    return backoff(random.Random())  # noqa: S311 - spreads look-ups, guards nothing
