"""Failover: the first of several destinations that is up has the channel, and the others wait.

Each has a delivery of its own. Those before the active one stay connected while they can, with
nothing to deliver, and so show that they are healthy; those behind it are not reached for before
all before them are down.
"""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import trio

from relay.core.account import Drop
from relay.core.candidate import Rank
from relay.core.channel import Channel
from relay.core.delivery import Poison
from relay.core.errors import DestinationDown, DestinationRefused
from relay.core.health import Health
from relay.core.sharing import LOOK_SECONDS, Patience, Seat, Sharing
from relay.core.standby import Standby

log = logging.getLogger("relay.delivery")

SETTLE_SECONDS_MAX = 5.0  # for what a destination has in hand that gives way to a better one


@dataclass(slots=True, eq=False, repr=False)
class Standing:
    """One of the destinations, and the source of its deliveries.

    Invariant: `standby` is that of the attempt under way; `up_since` is set while it is reached.
    `healthy_since` is, too, and stays when a connection ends that was idle for long: balancers do
    that, and nothing is wrong if the next one is there at once.
    """

    failover: "Failover"
    health: Health
    patience: Patience
    rank: Rank = field(default_factory=Rank)
    failed: bool = False  # found down since it was reached last
    given_up: bool = False  # it has stalled for too long
    standby: Standby | None = None
    up_since: float | None = None
    healthy_since: float | None = None
    _guilty: bool = False  # its delivery failed unexpectedly with messages in hand
    _recalled: int = 0
    _is_wanted: bool = False
    _wanted: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    @property
    def is_up(self) -> bool:
        return self.up_since is not None and self.standby is not None and not self.standby.ending

    def is_healthy(self, now: float) -> bool:
        since = self.healthy_since
        return since is not None and now - since >= self.patience.return_seconds

    def want(self, *, wanted: bool) -> None:
        if wanted and not self._is_wanted:
            self._wanted.unpark_all()
        self._is_wanted = wanted
        if not wanted and self.standby is not None:
            self.standby.end()

    # -- what the deliveries see

    @property
    def delivered(self) -> int:
        return self.health.delivered

    async def wanted(self) -> None:
        self.failover.look()
        while not self._is_wanted:
            await self._wanted.park()

    @contextmanager
    def lease(self) -> Iterator[Standby]:
        self._guilty, self._recalled, self.given_up = False, 0, False
        with trio.CancelScope() as scope:
            standby = self.standby = Standby(self.failover.channel, self.health, scope)
            try:
                yield standby
                self.failed = True  # it has ended, and nobody has asked for that
            except DestinationDown:
                self.failed = True
                raise
            except DestinationRefused:
                self.failed = not standby.lent  # else it is about a message, and goes on without it
                raise
            except Exception as exc:
                self.failed = True
                self._guilty = standby.active
                self.health.down_reason = repr(exc)
                raise
            finally:
                active = standby.active
                standby.close()
                self._recalled = self.failover.channel.recalled if active else 0
                if active or not self._was_up_for_long():
                    self.healthy_since = None
                self.standby = self.up_since = None
                self.failover.left(self)

    def reached(self) -> None:
        self.failed = False
        self.up_since = trio.current_time()
        if self.healthy_since is None:
            self.healthy_since = self.up_since
        self.failover.look()

    def refuse_head(self, reason: str) -> bool:
        if not self._recalled:
            return False
        self.failover.channel.refuse_head(Drop.REFUSED, reason, self.health.destination)
        return True

    async def pause(self, seconds: float) -> None:
        self.failover.look()
        with trio.move_on_after(seconds):
            await self._wanted.park()

    def _was_up_for_long(self) -> bool:
        up_seconds = trio.current_time() - (self.up_since or math.inf)
        return up_seconds >= self.failover.sharing.return_after

    def crashed(self) -> bool:
        """One that had nothing in hand has failed on no message."""
        free = self._guilty and self.failover.poison.failed(self.failover.channel)
        self.failover.look()
        return free


@dataclass(slots=True, eq=False, repr=False)
class Failover:
    """Invariant: nobody but `active` holds the lease of the channel."""

    channel: Channel
    sharing: Sharing
    poison: Poison
    standings: Sequence[Standing] = ()  # the first is preferred
    active: Standing | None = None
    _last: Standing | None = None  # that was active last
    _heir: Standing | None = None  # the active one gives way to it
    _heir_by: float = 0.0  # by when it has to

    def seat(self, health: Health) -> Standing:
        return Standing(self, health, Patience(self.sharing))

    def arrange(self, seats: Sequence[Seat], sharing: Sharing) -> None:
        self.sharing = sharing
        self.standings = [cast(Standing, it) for it in seats]
        for it in self.standings:
            it.patience.sharing = sharing
        self.look()

    async def run(self) -> None:
        while True:
            await trio.sleep(LOOK_SECONDS)
            self.look()

    def look(self) -> None:
        """Decide anew who is active, and who is to be reached."""
        now = trio.current_time()
        for it in self.standings:
            it.patience.note(it.health, now)
        self._choose(now)
        self._want(now)
        if not self.standings:
            return  # no address is known
        shown = self.active or self._last or self.standings[0]
        for it in self.standings:
            it.health.active = it is shown

    def left(self, standing: Standing) -> None:
        """An attempt of it has ended."""
        if standing is not self.active:
            return
        if standing.failed or standing.given_up:
            standing.patience.lost(trio.current_time())
        self.active = self._heir = None
        if standing not in self.standings:
            self.look()  # nobody else will: its delivery has ended

    def _choose(self, now: float) -> None:
        active = self.active
        if active is None:
            successor = next((it for it in self.standings if it.is_up), None)
            if successor is not None:
                self._begin(successor, now)
        elif active.standby is None or active.standby.ending:
            return
        elif active.patience.ends(now):
            if any(it.is_up for it in self.standings if it is not active):
                active.given_up = True
                active.standby.give_up()
        elif self._heir is None:
            self._heir = self._better(active, now)
            if self._heir is not None:
                self._heir_by = now + SETTLE_SECONDS_MAX
                active.standby.give_way()
        elif not self._heir.is_up:
            self._heir = None
            active.standby.go_on()
        elif now >= self._heir_by:
            active.standby.end()

    def _begin(self, successor: Standing, now: float) -> None:
        assert successor.standby is not None
        self.active = successor
        successor.standby.begin()
        before = self._last or self.standings[0]
        if before is successor:
            self._last = successor
            return
        self.channel.account.failovers += 1
        self._last = successor
        pipe, name = self.channel.account.name, successor.health.destination
        if self._place(successor) < self._place(before) < len(self.standings):
            successor.patience.back(now)
            log.info("pipe %s returns to %s", pipe, name)
            return
        why = f"is down: {before.health.down_reason}"
        if before not in self.standings:
            why = "is no longer its destination"
        elif before.given_up:
            why = "is stalled"
        log.warning("pipe %s goes over to %s: %s %s", pipe, name, before.health.destination, why)

    def _better(self, active: Standing, now: float) -> Standing | None:
        """One before the active one that has been healthy for long enough."""
        before = self.standings[: self._place(active)]
        return next((it for it in before if it.is_up and it.is_healthy(now)), None)

    def _want(self, now: float) -> None:
        """Those up to the active one; those behind it while there is nobody to rely on."""
        reliable = False
        place = self._place(self.active) if self.active is not None else -1
        for number, it in enumerate(self.standings):
            it.want(wanted=number <= place or not reliable)
            reliable = reliable or not (it.failed or it.patience.ends(now))

    def _place(self, standing: Standing) -> int:
        return self.standings.index(standing) if standing in self.standings else len(self.standings)
