"""Balance: all destinations that are up share the messages of a channel.

While there is somebody to take them, the lease of the channel is here, and what it lends is handed
out in portions. It is settled in order, as the oldest portions are: from the channel's side there
is one delivery, and its window bounds how far one destination can be ahead of another.
"""

from collections import deque
from collections.abc import Sequence
from typing import cast

import trio

from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.core.channel import Channel
from relay.core.delivery import Poison
from relay.core.health import Health
from relay.core.lease import ChannelLease
from relay.core.place import Place
from relay.core.portion import Portion, Spread
from relay.core.share import Share
from relay.core.sharing import LOOK_SECONDS, Patience, Seat, Sharing
from relay.core.slots import Slots


class Balance:
    """Invariant: what the lease has lent, and what has not left it, is in `_spreads`, in order.

    What of that nobody has settled yet is with a share, or kept back in a slot.
    """

    def __init__(self, channel: Channel, sharing: Sharing, poison: Poison) -> None:
        self.channel = channel
        self.sharing = sharing
        self.places: Sequence[Place] = ()
        self._poison = poison
        self._takers: list[Share] = []
        self._slots = Slots()
        self._lease: ChannelLease | None = None
        self._spreads: deque[Spread] = deque()
        self._echoes: list[Portion] = []  # delivered to somebody who may not have read them
        self._closing = False  # nobody gets anything more of what is lent
        self._blamed = False  # a delivery has failed unexpectedly with messages in hand
        self._lending: trio.CancelScope | None = None
        self._news = trio.lowlevel.ParkingLot()
        self._desertion = trio.lowlevel.ParkingLot()
        self._need = trio.lowlevel.ParkingLot()

    @property
    def account(self) -> PipeAccount:
        return self.channel.account

    @property
    def full(self) -> bool:
        return self._lease is not None and self._lease.full

    @property
    def owes(self) -> bool:
        return self._lease is not None and self._lease.owes

    @property
    def waiting(self) -> bool:
        return self.channel.held().memory > 0

    def seat(self, health: Health) -> Place:
        return Place(self, health, Patience(self.sharing))

    def arrange(self, seats: Sequence[Seat], sharing: Sharing) -> None:
        self.sharing = sharing
        self.places = [cast(Place, it) for it in seats]
        for it in self.places:
            it.patience.sharing = sharing
            if it.share is not None:
                it.share.weight = it.rank.weight
        self._slots.level()
        self._need.unpark_all()

    async def run(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch)
                while True:
                    await self._share_out()
        finally:
            self.account.in_doubt += sum(len(it.batch) for it in self._echoes)
            self._echoes.clear()

    # -- what the shares say

    def take(self, share: Share) -> None:
        if share not in self._takers and not self._closing:
            self._takers.append(share)
            self._slots.join(share)
            for it in self.places:
                if it.share is share:
                    it.failed, it.taking_since = False, trio.current_time()
                    it.patience.back(it.taking_since)
        self._news.unpark_all()

    def split(self, portion: Portion) -> None:
        self._slots.split(portion)

    def settled(self, portion: Portion) -> None:
        self._slots.settled(portion)

    def pass_on(self) -> None:
        assert self._lease is not None
        while self._spreads and self._spreads[0].pass_on(self._lease):
            self._spreads.popleft()

    # -- what the places say

    async def deserted(self) -> None:
        """Wait until nobody takes messages."""
        while self._takers:
            await self._desertion.park()

    async def needs(self, place: Place) -> None:
        """Wait until none of a lower tier can be relied on (RFC 2782)."""
        while not self._is_needed(place):
            await self._need.park()

    def leave(self, share: Share) -> None:
        """An attempt has ended: what it had goes to the others, before all that is younger."""
        in_hand, rest = share.close()
        self._need.unpark_all()
        if share in self._takers:
            self._takers.remove(share)
            self._slots.leave(share)
            self.account.failovers += bool(self._takers) and not self._closing
        if self._takers and not self._closing:
            self.account.retried += sum(len(it.batch) for it in in_hand if not it.echo)
            self._hand_out_first([*in_hand, *rest])
            self._slots.resume()
            return
        self._echoes += [it for it in (*in_hand, *rest) if it.echo]
        if not self._takers:
            self._desertion.unpark_all()
        self._closing = self._lease is not None  # also for one that comes before it is given back
        if self._lending is not None:
            self._lending.cancel()  # the channel takes everything back
        self._news.unpark_all()

    def blame(self) -> None:
        """Let everything go back, so that the channel can find the message that is to blame."""
        self._blamed = True
        self._close()

    # -- below

    async def _watch(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            now = trio.current_time()
            for it in self.places:
                others = any(
                    other.share in self._takers and not other.health.stalled
                    for other in self.places
                    if other is not it
                )
                it.look(now, others=others)
            self._need.unpark_all()
            self._relieve(now)

    def _relieve(self, now: float) -> None:
        """One of a low tier has been up for long enough: those above have no part any more."""
        low = min((it.rank.tier for it in self.places if it.is_healthy(now)), default=None)
        for it in self.places:
            if low is not None and it.rank.tier > low and it.share is not None:
                it.share.end()

    def _is_needed(self, place: Place) -> bool:
        now = trio.current_time()
        lower = (it for it in self.places if it.rank.tier < place.rank.tier)
        return not any(it.is_reliable(now) for it in lower)

    async def _share_out(self) -> None:
        """From the first that takes messages until nobody does any more."""
        while not self._takers:
            await self._news.park()
        with self.channel.lease() as self._lease:
            try:
                await self._distribute(self._lease)
            finally:
                self._close()
                with trio.CancelScope(shield=True):  # soon over: see `Share.end`
                    while self._takers:
                        await self._news.park()
                self._spreads.clear()
                self._slots.clear()
                self._lease, self._closing = None, False
        if self._blamed:
            self._blamed = False
            self._poison.failed(self.channel)
        for it in self.places:
            if it.share is not None:
                it.share.wake()  # it may have come too late for what is over

    def _close(self) -> None:
        """End the attempts of all that take messages; they settle what they know to be delivered.

        That takes them no longer than a goodbye, and at a stop their threads are abandoned.
        """
        self._closing = True
        for share in self._takers:
            share.end()

    async def _distribute(self, lease: ChannelLease) -> None:
        self._hand_out_first(self._echoes)
        self._echoes = []
        while self._takers and not self._closing:
            if not any(share.hungry for share in self._takers):
                await self._news.park()
                continue
            batches: Sequence[Batch] = ()
            with trio.CancelScope() as self._lending:
                batches = await lease.lend()
            self._lending = None
            if not self._takers or self._closing:
                return  # what has been lent just now goes back
            for batch in batches:
                spread = Spread.of(batch)
                self._spreads.append(spread)
                portion = Portion(batch, spread, range(len(batch)), ())
                for share, part in self._slots.route(portion).items():
                    share.give(part)

    def _hand_out_first(self, portions: Sequence[Portion]) -> None:
        routed: dict[Share, list[Portion]] = {}
        for portion in portions:
            for share, part in self._slots.route(portion, again=True).items():
                routed.setdefault(cast(Share, share), []).append(part)
        for share, parts in routed.items():
            share.give_first(parts)
