"""A place in balance: one of the destinations that share a channel."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import trio

from relay.core.account import Drop
from relay.core.candidate import Rank
from relay.core.errors import DestinationDown, DestinationRefused
from relay.core.health import Health
from relay.core.share import Share, Sharer
from relay.core.sharing import Patience
from relay.core.tail import Tail

log = logging.getLogger("relay.delivery")


class Balancer(Sharer, Protocol):
    """Who shares the messages out."""

    async def deserted(self) -> None:
        """Wait until nobody takes messages."""

    async def needs(self, place: "Place") -> None:
        """Wait until this one is to be reached."""

    def leave(self, share: Share) -> None:
        """An attempt has ended."""

    def blame(self) -> None:
        """A delivery has failed unexpectedly with messages in hand."""


@dataclass(slots=True, eq=False, repr=False)
class Place:
    """One of the destinations, and the source of its deliveries."""

    balance: Balancer
    health: Health
    patience: Patience
    rank: Rank = field(default_factory=Rank)
    failed: bool = False  # found down since it took messages last
    tail: Tail = field(default_factory=Tail)
    share: Share | None = None  # of the attempt under way
    taking_since: float | None = None
    _away_until: float = 0.0  # it has stalled for too long
    _refused: bool = False

    @property
    def delivered(self) -> int:
        return self.health.delivered

    def is_reliable(self, now: float) -> bool:
        return not (self.failed or self.patience.ends(now))

    def is_healthy(self, now: float) -> bool:
        since = self.taking_since
        return since is not None and now - since >= self.patience.return_seconds

    async def wanted(self) -> None:
        with trio.move_on_at(self._away_until):
            await self.balance.deserted()
        await self.balance.needs(self)

    @contextmanager
    def lease(self) -> Iterator[Share]:
        self._refused = False
        with trio.CancelScope() as scope:
            share = self.share = Share(self.balance, self.health, self.tail, scope.cancel)
            share.weight = self.rank.weight
            try:
                yield share
                self.failed = True  # it has ended, and nobody has asked for that
            except DestinationRefused as refused:
                if share.lent:
                    share.refuse(1, Drop.REFUSED, str(refused))
                    self._refused = True
                else:
                    self.failed = True
                raise
            except DestinationDown:
                self.failed = True
                raise
            except Exception as exc:
                self.failed = True
                self.health.down_reason = repr(exc)
                if share.lent:
                    self.balance.blame()
                raise
            finally:
                self.share = self.taking_since = None
                self.balance.leave(share)

    def reached(self) -> None:
        """It shows when it lends."""

    def refuse_head(self, reason: str) -> bool:
        return self._refused

    async def pause(self, seconds: float) -> None:
        await trio.sleep(seconds)

    def crashed(self) -> bool:
        return False

    def look(self, now: float, *, others: bool) -> None:
        """Whether it has stalled for too long, and there are `others` to do its work."""
        self.patience.note(self.health, now)
        if self.share is None or self.share.given_up or not others or not self.patience.ends(now):
            return
        self.patience.lost(now)
        self._away_until = now + self.patience.return_seconds
        self.share.given_up = self.failed = True
        self.health.down_reason = "it has stalled for too long"
        self.share.end()
        log.warning("pipe %s does without %s for %.1f s: it is stalled",
                    self.balance.account.name, self.health.destination,
                    self.patience.return_seconds)  # fmt: skip
