"""A session on a connected stream whose messages are delivered when some kernel has them."""

from typing import NamedTuple

import trio

from relay.core.account import Confirmation
from relay.core.errors import DestinationDown
from relay.core.lease import WINDOW_OCTETS, Lease
from relay.core.outlet import Outlet
from relay.destinations.doubt import TCP_UNREAD_OCTETS_MAX, UNIX_UNREAD_OCTETS_MAX, Doubt
from relay.destinations.session import work_watched
from relay.destinations.transit import PAUSE_SECONDS, PAUSE_SECONDS_MAX, Transit, Way
from relay.system.ports import Connection

GOODBYE_SECONDS_MAX = 1.0  # how long a session that we end waits for the peer to have read all
ACKNOWLEDGE_SECONDS_MAX = 5.0  # and one that the peer ends, for its kernel to acknowledge it all


class Terms(NamedTuple):
    """When a message is delivered, and what follows from that."""

    level: Confirmation  # `sent` or `acked`
    replay: int = 0  # octets of the tail that comes again after an unclean break
    window: int = WINDOW_OCTETS  # octets on their way at most
    unread_octets_max: int = TCP_UNREAD_OCTETS_MAX  # what the peer's kernel may hold

    @property
    def acked(self) -> bool:
        return self.level is Confirmation.ACKED


UNIX = Terms(Confirmation.SENT, unread_octets_max=UNIX_UNREAD_OCTETS_MAX)


class StreamSession:
    """Sends what the lease lends, and settles it as our kernel takes it or as the peer's has it.

    Invariant: what is lent is what is outstanding, except between lending and framing, where
    nothing awaits. A frame that a break has cut stays cut: the next connection begins with that
    message as a whole.
    """

    def __init__(
        self, connection: Connection, lease: Lease, outlet: Outlet, way: Way, terms: Terms
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._account = outlet.account
        self._terms = terms
        self._transit = Transit(connection, outlet, way)
        self._doubt = Doubt()
        self._settled_octets = 0  # where the last message settled so far ends, or beyond

    async def run(self) -> None:
        """Send until cancelled; closes the connection.

        Raises:
            DestinationDown: the peer closed or reset the connection, noticed at once, or is dead.
        """
        self._lease.keep(self._terms.replay)
        down = False
        try:
            await work_watched(self._send_lent, self._transit.watch, self._follow)
        except DestinationDown as fault:
            down = True
            await self._hear_out()
            raise DestinationDown(self._transit.over) from fault.__cause__
        finally:
            if not down:
                await self._say_goodbye()
            self._transit.look()  # a last time, before the descriptor is closed
            self._settle()
            self._take_stock(again=down or self._lease.given_up)
            self._connection.close()

    async def _send_lent(self) -> None:
        transit = self._transit
        while True:
            await self._wait_for_window()
            # All that is lent at once becomes one buffer and one system call: 0.19 us of CPU a
            # message in batches of 1, where a call for each batch costs 9.7; 0.25 from 256 on.
            await transit.send(await self._lease.lend(), self._settle)
            self._settle_batches()

    async def _wait_for_window(self) -> None:
        """Look often while it is full: whoever follows may look up to 50 ms later."""
        pause = PAUSE_SECONDS
        while self._window_is_full():
            await trio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)
            self._transit.look()
            self._settle()

    def _window_is_full(self) -> bool:
        on_its_way = self._transit.outstanding.end - self._settled_octets
        return self._lease.full or on_its_way >= self._terms.window

    async def _follow(self) -> str:
        if self._terms.acked:
            return await self._transit.follow(self._settle)
        return await self._transit.ask()

    def _settle_batches(self) -> None:
        """Settle whole batches; parts of one are left to the next look, they cost more."""
        if self._terms.acked:
            self._transit.look()
        self._settle(exact=False)
        self._transit.launch()

    def _settle(self, *, exact: bool = True) -> None:
        transit = self._transit
        octets = transit.acknowledged if self._terms.acked else transit.sent
        messages = transit.outstanding.pass_to(octets, exact=exact)
        if messages:
            self._doubt.add(octets - self._settled_octets, messages)
            self._settled_octets = octets
            self._lease.settle(messages, self._terms.level)

    async def _hear_out(self) -> None:
        """The peer has ended, or is gone: what does its kernel still acknowledge?"""
        if not self._transit.clean or self._may_be_cut:
            return
        seconds_max = ACKNOWLEDGE_SECONDS_MAX if self._terms.acked else GOODBYE_SECONDS_MAX
        with trio.move_on_after(seconds_max):
            await self._transit.settle_down()

    async def _say_goodbye(self) -> None:
        """Send FIN and read until the peer's.

        Closing with something unread would send a reset, which throws away what the peer's kernel
        has not yet acknowledged (RFC 1122 section 4.2.2.13).
        """
        if not self._may_be_cut:
            with trio.move_on_after(GOODBYE_SECONDS_MAX, shield=True):
                await self._transit.settle_down()

    @property
    def _may_be_cut(self) -> bool:
        """The last frame is not out as a whole, and what is before it is settled already."""
        return not self._terms.acked and self._lease.lent > 0

    def _take_stock(self, *, again: bool) -> None:
        """Of what was settled, what is known to be read, and what is to be sent again?"""
        transit = self._transit
        if transit.clean and transit.ended:
            if transit.acknowledged == transit.sent:
                self._lease.forget()
            return  # and without the peer's end, we have closed before we knew
        replayed = self._lease.replay() if again and self._terms.replay else 0
        unread = self._terms.unread_octets_max + self._settled_octets - transit.acknowledged
        self._account.in_doubt += max(0, self._doubt.within(unread) - replayed)
