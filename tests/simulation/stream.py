"""Both ends of a connection, as the kernels of two hosts know them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from relay.system.ports import ConnectionBroken
from tests.simulation.flow import SILENT_SECONDS, Flow, Link

FIN_SECONDS = 60.0  # tcp_fin_timeout
RESET = "Connection reset by peer"


class Watcher(Protocol):
    def look(self) -> None:
        """A member may have become ready."""


def _not_read(_: int) -> None:
    """Nobody counts what is read here."""


@dataclass(slots=True, eq=False)
class End:
    """One end; a `Connection` of the ports.

    As on Linux: closed with something unread, or reached by something after it was closed, it
    resets. What had arrived before a reset can still be read. Of a killed process the kernel closes
    all ends, and calls that it still makes have no effect.
    """

    peer: str
    out: Flow
    into: Flow
    is_unix: bool = False
    closed: bool = False
    killed: bool = False
    fault: str = ""
    other: "End" = field(init=False)
    on_read: Callable[[int], None] = _not_read  # told how many octets were read in all
    acked_at_close: int | None = None  # what this side could know of it
    unread_at_close: int = 0  # octets that our kernel had acknowledged
    watchers: list[Watcher] = field(default_factory=list)
    _told: bool = False  # the fault was reported once
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    # -- the port

    def receive(self, octets_max: int) -> bytes | None:
        self._check()
        if self.into.arrived > self.into.read:
            data = self.into.take(octets_max)
            self.on_read(self.into.read)
            return data
        if self.into.end_arrived:
            return b""
        if self.fault and not self._told:
            self._told = True
            raise ConnectionBroken(self.fault)
        return b"" if self.fault else None

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        self._check()
        if self.fault:
            self._told = True
            raise ConnectionBroken(self.fault)
        return self.out.push(buffers)

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self.is_readable:
            await self._news.park()
        self._check_open()

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self.is_writable:
            await self._news.park()
        self._check_open()

    def unacknowledged(self) -> int:
        if self.is_unix:
            return 0
        fin = self.out.ended and not self.out.end_acked
        return self.out.sent - self.out.acked + fin

    def silent_seconds(self) -> float:
        self._check()
        if self.is_unix:
            return 0.0
        if self.fault and not self._told:
            self._told = True
            raise ConnectionBroken(self.fault)
        if self.out.link.up or self.fault:
            return 0.0
        return max(0.0, trio.current_time() - self.out.link.down_since - SILENT_SECONDS)

    def hung_up(self) -> bool:
        return bool(self.fault) or self.into.end_arrived

    def half_close(self) -> bool:
        if self.fault or self.killed:
            return False
        self.out.finish()
        return True

    def seal(self) -> None:
        self.into.sealed = True

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.acked_at_close = self.out.acked
        self.unread_at_close = self.into.arrived - self.into.read
        if self.into.arrived > self.into.read:
            self.reset()
        elif not self.fault:
            self.out.finish()
            if self.into.sealed:  # what still comes is answered only once the orphan is gone
                self.out.link.timeline.after(FIN_SECONDS, self._end_orphan)
        self.wake()

    # -- the kernel

    @property
    def is_readable(self) -> bool:
        into = self.into
        return into.arrived > into.read or into.end_arrived or bool(self.fault) or self.closed

    @property
    def is_writable(self) -> bool:
        return 3 * self.out.room >= self.out.send_max or bool(self.fault) or self.closed

    def reset(self) -> None:
        """Send a reset: nothing of this connection moves any more."""
        self.out.dead = self.into.dead = True
        self.out.link.carry(self.other.hear_reset)

    def _end_orphan(self) -> None:
        if not self.other.closed:
            self.reset()

    def hear_reset(self) -> None:
        self.out.dead = self.into.dead = True
        if not self.fault:
            self.fault = RESET
            self.wake()

    def kill(self) -> None:
        """The process is gone."""
        self.killed = True
        self.close()

    def arrived(self) -> None:
        """Something has come in, for an application if there still is one."""
        if self.closed and self.into.arrived > self.into.read:
            self.reset()
        self.wake()

    def wake(self) -> None:
        self._news.unpark_all()
        for watcher in self.watchers:
            watcher.look()

    def _check(self) -> None:
        if self.killed:
            raise ConnectionBroken("killed")
        assert not self.closed, "used after close"

    def _check_open(self) -> None:
        if self.closed and not self.killed:
            raise trio.ClosedResourceError("closed while somebody waited for it")


@dataclass(frozen=True, slots=True)
class Buffers:
    """Of one host's kernel."""

    send_max: int = 16 << 10
    receive_max: int = 16 << 10


def connect(
    link: Link,
    ours: Buffers,
    theirs: Buffers,
    *,
    our_name: str,
    their_name: str,
    is_unix: bool = False,
) -> tuple[End, End]:
    """Our end and theirs; the peer of each is the other's name."""
    there = Flow(link, ours.send_max, theirs.receive_max)
    back = Flow(link, theirs.send_max, ours.receive_max)
    mine = End(their_name, there, back, is_unix)
    its = End(our_name, back, there, is_unix)
    mine.other, its.other = its, mine
    there.on_arrival, there.on_ack = its.arrived, mine.wake
    back.on_arrival, back.on_ack = mine.arrived, its.wake
    return mine, its
