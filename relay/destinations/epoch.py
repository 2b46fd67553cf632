"""A session whose messages are delivered when the peer has ended it after us.

A peer that reads until our end and then ends has read everything. So a connection carries one
epoch: a number of messages, our end, the peer's; the next epoch has a connection of its own.
"""

from typing import NamedTuple

import trio

from relay.core.account import Confirmation
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.destinations import stream
from relay.destinations.session import work_watched
from relay.destinations.transit import ENDED, Transit, Way
from relay.system.ports import Connection


class Limits(NamedTuple):
    """Where an epoch ends, whichever comes first; a full window ends it, too."""

    octets: int
    seconds: float  # since its first message


class EpochSession:
    """Invariant: what is lent is what is outstanding; nothing is settled before all of it is."""

    def __init__(
        self, connection: Connection, lease: Lease, outlet: Outlet, way: Way, limits: Limits
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._account = outlet.account
        self._health = outlet.health
        self._limits = limits
        self._transit = Transit(connection, outlet, way)

    async def run(self) -> None:
        """Return when the peer has confirmed one epoch; closes the connection.

        Raises:
            DestinationDown: it ended before, and so has confirmed nothing; or broke, or is dead.
        """
        self._lease.keep(0)
        over = False
        try:
            await work_watched(self._send_epoch, self._transit.watch, self._transit.ask)
        except DestinationDown as fault:
            over = True
            if not self._transit.read_by_peer:
                raise DestinationDown(self._reason()) from fault.__cause__
        finally:
            if not over:
                with trio.move_on_after(stream.GOODBYE_SECONDS_MAX, shield=True):
                    await self._transit.settle_down()
            if self._transit.read_by_peer:
                self._confirm()
            self._connection.close()

    async def _send_epoch(self) -> None:
        lease, transit = self._lease, self._transit
        await transit.send(await lease.lend(), _nothing)
        transit.launch()
        deadline = trio.current_time() + self._limits.seconds
        while transit.outstanding.end < self._limits.octets and not lease.full:
            with trio.move_on_at(deadline) as patience:
                batches = await lease.lend()
            if patience.cancelled_caught:
                break
            await transit.send(batches, _nothing)
            transit.launch()
        transit.finish()
        await trio.sleep_forever()  # the end that counts is read by who watches

    def _confirm(self) -> None:
        # Cancelled, the last frame may be cut: what is whole within what was sent was read.
        messages = self._transit.outstanding.pass_to(self._transit.sent)
        if messages:
            self._lease.settle(messages, Confirmation.CONFIRMED)
            self._account.epochs += 1
        self._health.stalled = False

    def _reason(self) -> str:
        over = self._transit.over
        early = over == ENDED and self._transit.outstanding.messages
        return f"{over} before it could confirm what it was sent" if early else over


def _nothing() -> None:
    """Nothing is settled before the end."""
