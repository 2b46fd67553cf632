"""One connection's octets on their way: what our kernel has taken, and what the peer's has."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import trio

from relay.core.batch import Batch
from relay.core.errors import DestinationDown
from relay.core.outlet import Outlet
from relay.destinations.outstanding import Outstanding
from relay.destinations.session import STALLED_SECONDS, all_formatted, plain
from relay.destinations.silence import Silence
from relay.system.ports import Connection, ConnectionBroken
from relay.wire.formats import Form
from relay.wire.frames import OutFraming, frame

DISCARD_OCTETS = 64 << 10  # what a peer says is read in such pieces, one a wake-up
ENDED = "connection closed by peer"
# Between two looks at what is acknowledged: at first as often as an answer from the same rack
# takes, then half as often each time that there is no news.
PAUSE_SECONDS = 0.001
PAUSE_SECONDS_MAX = 0.05
ASK_SECONDS = 1.0  # between two questions whether the peer lives


class Way(NamedTuple):
    """How messages travel: the keys that every session on a stream goes by."""

    framing: OutFraming
    form: Form
    half_close: bool = False  # a peer's end before ours means nothing
    dead_after: float = 30.0


class Transit:
    """One connection, and how far its octets have come.

    Invariant: `acknowledged <= sent <= outstanding.end`, and none of them ever falls. `over` says
    why nothing more can be sent; `clean` is false once what the peer's kernel had may be gone.
    """

    def __init__(self, connection: Connection, outlet: Outlet, way: Way) -> None:
        self.outstanding = Outstanding()
        self.sent = 0
        self.acknowledged = 0
        self.ended = False  # the peer's end was read
        self.finished = False  # our end was sent
        self.over = ""
        self.clean = True
        self._connection = connection
        self._health = outlet.health
        self._clock = outlet.host.clock
        self._way = way
        self._silence = Silence(connection, self._clock, way.dead_after)
        self._blocked = False  # our kernel takes nothing more
        self._progress_at = 0.0  # the peer's kernel took something, or was first to
        self._launched = trio.lowlevel.ParkingLot()  # told when something is on its way

    @property
    def waits(self) -> bool:
        """True while the peer's kernel, or after our end the peer, owes us something."""
        return self.acknowledged < self.sent or self.finished or self._blocked

    @property
    def read_by_peer(self) -> bool:
        """True when the peer has ended after our end, and so has read all there was."""
        return self.ended and self.finished and self.clean and not self._connection.unacknowledged()

    async def send(self, batches: Sequence[Batch], before_wait: Callable[[], None]) -> None:
        """Frame and send it all; `before_wait` is called when our kernel takes only a part.

        Raises:
            DestinationDown: it is over, now or already; what was taken counts as sent.
        """
        if not self.waits:
            self._progress_at = self._clock.now()
            # After a pause a peer that has ended is known by its FIN. What is sent to it all the
            # same is answered by a reset, and an end that was clean would no longer look so.
            self.hear()
        framed = frame(all_formatted(batches, self._way.form), self._way.framing)
        self.outstanding.add(framed)
        left = memoryview(framed.data)
        while left := left[self._send(left) :]:
            self._blocked = True
            before_wait()
            self._launched.unpark_all()
            await self._connection.writable()
        self._blocked = False

    def launch(self) -> None:
        """If something is on its way now, it is to be followed."""
        if self.waits:
            self._launched.unpark_all()

    def look(self) -> bool:
        """Read how far the peer's kernel is; True when it has more than at the last look."""
        under_way = self._connection.unacknowledged() - self.finished  # a FIN counts as one
        acknowledged = min(self.sent, self.sent - under_way)
        if acknowledged <= self.acknowledged:
            return False
        self.acknowledged = acknowledged
        self._progress()
        return True

    def hear(self) -> None:
        """Read and discard a piece of what the peer says, or its end."""
        if self.over or self.ended:
            return
        try:
            self.ended = self._connection.receive(DISCARD_OCTETS) == b""
        except ConnectionBroken as broken:
            self._break(plain(str(broken)))
        if self.ended and not self._way.half_close:
            self.over = ENDED

    async def watch(self) -> str:
        """Read until it is over; return why."""
        while True:
            self.hear()
            if self.over:
                return self.over
            if self.ended:
                await trio.sleep_forever()  # an end that means nothing stays readable
            await self._connection.readable()

    async def ask(self) -> str:
        """While something is on its way, ask whether the peer lives; return why it is over."""
        while not self.over:
            if not self.waits:
                await self._launched.park()
            await trio.sleep(ASK_SECONDS)
            self.look()
            self._ask()
        return self.over

    async def progress(self) -> None:
        """Wait until the peer's kernel has more, whoever looks first."""
        pause = PAUSE_SECONDS
        before = self.acknowledged
        while self.acknowledged == before and not self.look():
            await trio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def follow(self, after_look: Callable[[], None]) -> str:
        """As `ask`, and look all the time how far it has come."""
        pause = PAUSE_SECONDS
        ask_at = 0.0
        while not self.over:
            if not self.waits:
                await self._launched.park()
                pause = PAUSE_SECONDS
            await trio.sleep(pause)
            pause = pause / 2 if self.look() else pause * 2
            pause = min(max(pause, PAUSE_SECONDS), PAUSE_SECONDS_MAX)
            after_look()
            if self._clock.now() >= ask_at:
                ask_at = self._clock.now() + ASK_SECONDS
                self._ask()
        return self.over

    def finish(self) -> None:
        """Send our end, unless there is nobody to send it to."""
        if not self.finished and self._connection.half_close():
            self.finished = True
            self._progress_at = self._clock.now()
            self._launched.unpark_all()

    async def settle_down(self) -> None:
        """Send our end, and wait until the peer's kernel has everything and the peer has ended."""
        self.finish()
        pause = PAUSE_SECONDS
        while True:
            self.look()
            self.hear()
            self._ask()
            if not self.clean or (self.ended and self.acknowledged == self.sent):
                return
            await trio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def _send(self, data: memoryview) -> int:
        if self.over:
            raise DestinationDown(self.over)
        try:
            taken = self._connection.send([data])
        except ConnectionBroken as broken:
            self._break(plain(str(broken)))
            raise DestinationDown(self.over) from broken
        self.sent += taken
        if taken and self._blocked:  # there is room since the peer's kernel took something
            self._progress()
        return taken

    def _progress(self) -> None:
        self._progress_at = self._clock.now()
        self._health.stalled = False

    def _ask(self) -> None:
        """Find out whether the connection still lives, and show a stall."""
        if not self.clean or not self.waits:
            return
        if reason := self._silence.look():
            self._break(reason)
        elif self._clock.now() - self._progress_at >= STALLED_SECONDS:
            self._health.stalled = not self._silence.lasts

    def _break(self, reason: str) -> None:
        self.over = reason
        self.clean = False
