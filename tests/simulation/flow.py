"""One direction of a byte stream: what a kernel has sent, and how far the other one has come.

0 … read … arrived … sent           the application, the peer's kernel, our kernel
    acked between 0 and arrived     what our kernel knows of it
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from tests.simulation.timeline import Timeline

SILENT_SECONDS = 0.2  # a first retransmission is that late


def _nobody() -> None:
    """Nobody wants to hear of it."""


@dataclass(slots=True, eq=False)
class Link:
    """The path between two hosts. Down, it carries nothing either way, and says nothing."""

    timeline: Timeline
    latency: float = 0.0  # seconds, one way
    up: bool = True
    down_since: float = 0.0
    _on_up: list[Callable[[], None]] = field(default_factory=list)

    def cut(self) -> None:
        if self.up:
            self.up = False
            self.down_since = trio.current_time()

    def heal(self) -> None:
        if not self.up:
            self.up = True
            waiting, self._on_up = self._on_up, []
            for call in waiting:
                call()

    def carry(self, call: Callable[[], None]) -> None:
        """Make a call at the other end; when the link is down by then, as soon as it is up."""
        if self.latency:
            self.timeline.after(self.latency, lambda: self._arrive(call))
        else:
            self._arrive(call)

    def _arrive(self, call: Callable[[], None]) -> None:
        if self.up:
            call()
        else:
            self._on_up.append(call)


@dataclass(slots=True, eq=False)
class Flow:
    """Invariants: `read <= arrived <= sent` and `acked <= arrived`; dead, nothing moves any more.

    `sent - acked` is at most `send_max`, `arrived - read` at most `receive_max`.
    """

    link: Link
    send_max: int
    receive_max: int
    data: bytearray = field(default_factory=bytearray)  # all of it, for the oracle
    arrived: int = 0
    acked: int = 0
    read: int = 0
    ended: bool = False  # FIN
    end_arrived: bool = False
    end_acked: bool = False
    dead: bool = False
    sealed: bool = False  # the receiving kernel takes nothing more
    on_arrival: Callable[[], None] = _nobody
    on_ack: Callable[[], None] = _nobody
    _window_full: bool = False

    @property
    def sent(self) -> int:
        return len(self.data)

    @property
    def room(self) -> int:
        return 0 if self.dead else self.send_max - (self.sent - self.acked)

    def push(self, buffers: Sequence[bytes | memoryview]) -> int:
        assert not self.ended, "sent after FIN"
        room, taken = self.room, 0
        for buffer in buffers:
            part = buffer[: room - taken]
            self.data += part
            taken += len(part)
        if taken:
            self._travel()
        return taken

    def finish(self) -> None:
        if not self.ended:
            self.ended = True
            self._travel()

    def take(self, octets_max: int) -> bytes:
        data = bytes(self.data[self.read : min(self.arrived, self.read + octets_max)])
        self.read += len(data)
        if self._window_full and not self.dead:
            self._window_full = False
            self._travel()
        return data

    def _travel(self) -> None:
        sent, ended = self.sent, self.ended
        self.link.carry(lambda: self._arrive(sent, ended))

    def _arrive(self, sent: int, ended: bool) -> None:
        if self.dead or self.sealed:
            return
        arrived = min(sent, self.read + self.receive_max)
        self._window_full = arrived < sent
        ends = ended and not self._window_full and not self.end_arrived
        if arrived <= self.arrived and not ends:
            return
        self.arrived = max(arrived, self.arrived)
        self.end_arrived = self.end_arrived or ends
        self.on_arrival()
        arrived = self.arrived
        self.link.carry(lambda: self._ack(arrived, ended=ends))

    def _ack(self, arrived: int, *, ended: bool) -> None:
        if not self.dead:
            self.acked = max(self.acked, arrived)
            self.end_acked = self.end_acked or ended
            self.on_ack()
