"""Messages over RELP: each is delivered when the peer's application has said so."""

from typing import Annotated, Literal

import trio
from pydantic import Field
from trio_typing import TaskStatus

from relay.core.account import Confirmation
from relay.core.backlog import SpoolMode
from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import LEND_MESSAGES, WINDOW_MESSAGES, Lease
from relay.core.outlet import Outlet
from relay.core.tls import DestinationTls
from relay.core.values import Address, Duration
from relay.destinations.secure import Dial
from relay.destinations.session import (
    STALLED_SECONDS,
    all_formatted,
    plain,
    wait_for_room,
    work_watched,
)
from relay.destinations.silence import Silence
from relay.system.ports import Connection, ConnectionBroken
from relay.wire.formats import Form
from relay.wire.relp.client import ClientSession

ANSWERS_OCTETS = 64 << 10  # of answers in one read: 3,000 of them
OPEN_SECONDS_MAX = 10.0  # for the answer to `open`
GOODBYE_SECONDS_MAX = 1.0  # for the answers that are still to come when we end a session
LOOK_SECONDS = 1.0  # how often a silent peer is looked after
ENDED = "connection closed by peer"


class RelpDestination(DestinationKeys):
    """The keys of a `relp` destination."""

    type: Literal["relp"]
    address: Address
    """Where to connect; resolved again on every attempt, all addresses tried."""
    window: Annotated[int, Field(ge=1, le=WINDOW_MESSAGES, strict=True)] = 1024
    """Messages on their way without an answer; after a break the peer may get them twice."""
    dead_after: Annotated[Duration, Field(ge=1, le=3600)] = 30.0
    """For how long the peer's kernel must leave ours without an answer to be dead."""
    tls: DestinationTls | None = None
    """Speak TLS; absent: in the clear."""

    @property
    def spool(self) -> SpoolMode:
        return "always"

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        connection = await Dial(self.address, self.tls, verdict=False).connection(outlet)
        silence = Silence(connection, outlet.host.clock, self.dead_after)
        session = _Session(connection, lease, outlet, self.window, silence)
        try:
            await session.open()
            task_status.started()
            await work_watched(lambda: session.send_lent(outlet.form(self.format)), session.watch)
        finally:
            with trio.move_on_after(GOODBYE_SECONDS_MAX, shield=True):
                await session.say_goodbye()
            connection.close()


class _Session:
    """One session over one connection.

    Invariant: what is lent is what the client has sent and the peer has not confirmed, except
    between lending and framing, where nothing awaits.
    """

    def __init__(
        self,
        connection: Connection,
        lease: Lease,
        outlet: Outlet,
        window: int,
        silence: Silence,
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._health = outlet.health
        self._clock = outlet.host.clock
        self._silence = silence
        self._client = ClientSession()
        self._window_max = window
        # As TCP's slow start: one message, then one more for each that is confirmed. A peer that
        # refuses the message at the head again and again is not sent those behind it every time.
        self._window = 1
        self._confirmed = trio.lowlevel.ParkingLot()  # told of every confirmation
        self._progress_at = 0.0  # something was confirmed, or is waited for since then
        self._cut = False  # the last frame is not out as a whole
        self._over = ""  # why nothing more can be heard

    async def open(self) -> None:
        """Agree with the peer on what is spoken.

        Raises:
            DestinationDown: it does not answer, or not as we need it.
        """
        with trio.move_on_after(OPEN_SECONDS_MAX) as patience:
            await self._send(self._client.opening())
            await self._hear_while("opening")
        if patience.cancelled_caught:
            raise DestinationDown(f"no answer to open within {OPEN_SECONDS_MAX:g} s")
        self._check()

    async def send_lent(self, form: Form) -> None:
        """Frame what the lease lends, a window of it at most."""
        while True:
            # Not for every answer: a quarter of the window keeps frames and system calls few.
            while self._client.unanswered > self._window - max(1, self._window // 4):
                await self._confirmed.park()
            room = self._window - self._client.unanswered
            batches = await self._lease.lend(min(LEND_MESSAGES, room))
            self._check()  # the peer may have ended the session in this very turn
            if not self._client.unanswered:
                self._progress_at = self._clock.now()
            await self._send(self._client.frames(all_formatted(batches, form)))

    async def watch(self) -> str:
        """Settle what the peer confirms; return how the session ended."""
        while True:
            self._hear()
            if self._over:
                return self._over
            with trio.move_on_after(LOOK_SECONDS) as patience:
                await self._connection.readable()
            if patience.cancelled_caught and (dead := self._look()):
                return dead

    def _look(self) -> str:
        """Nothing was heard: why the session is over, if it is. Who does not answer is shown."""
        waited = self._clock.now() - self._progress_at
        if self._client.unanswered and waited >= STALLED_SECONDS:
            self._health.stalled = not self._silence.lasts
        self._over = self._silence.look()
        return self._over

    async def say_goodbye(self) -> None:
        """Send `close` and settle what is still answered; a frame that is cut stays cut."""
        try:
            if self._client.state == "open" and not (self._over or self._cut):
                await self._send(self._client.closing())
                await self._hear_while("closing")
            # Closing with something unread would send a reset, which throws away what the peer's
            # kernel has not yet acknowledged (RFC 1122 section 4.2.2.13).
            self._connection.half_close()
            while not self._over:
                self._hear()
                await self._connection.readable()
        except DestinationDown:
            pass  # it is over either way

    async def _hear_while(self, state: Literal["opening", "closing"]) -> None:
        while True:
            self._hear()
            if self._over or self._client.state != state:
                return
            await self._connection.readable()

    async def _send(self, data: bytes) -> None:
        left = memoryview(data)
        self._cut = True
        try:
            while left := left[self._connection.send([left]) :]:
                await wait_for_room(self._connection, self._health)
        except ConnectionBroken as broken:
            while self._hear():  # what the peer confirmed before
                pass
            raise DestinationDown(self._over or plain(str(broken))) from broken
        self._cut = False

    def _hear(self) -> bool:
        """Settle what has arrived, if anything has; `_over` says why nothing more will."""
        try:
            data = self._connection.receive(ANSWERS_OCTETS)
        except ConnectionBroken as broken:
            self._over = plain(str(broken))
            return False
        if data is None:
            return False
        if confirmed := self._client.feed(data):
            self._lease.settle(confirmed, Confirmation.CONFIRMED)
            self._health.stalled = False
            self._progress_at = self._clock.now()
            self._window = min(self._window_max, self._window + confirmed)
            self._confirmed.unpark_all()
        if self._client.fault:
            self._over = self._client.fault.text
        elif not data:
            self._over = ENDED
        return not self._over

    def _check(self) -> None:
        if self._over:
            raise DestinationDown(self._over)
