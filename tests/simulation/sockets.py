"""Listening sockets, ready sets and datagram sockets of a simulated host."""

import errno
import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import trio

from relay.system.ports import Acceptor, Connection, Endpoint
from tests.simulation.stream import End, Watcher

READY_MAX = 512
BACKLOG_MAX = 64
UNIX_DATAGRAMS_MAX = 10  # net.unix.max_dgram_qlen
DATAGRAM_OVERHEAD = 512  # of skb, roughly: what the kernel counts besides the octets


@dataclass(slots=True, eq=False)
class SimulatedAcceptor:
    """A listening stream socket."""

    address: str
    backlog: deque[End] = field(default_factory=deque)
    sealed: bool = False
    closed: bool = False
    short: Callable[[], bool] = lambda: False  # of descriptors, at this moment
    watchers: list[Watcher] = field(default_factory=list)
    accepted: list[End] = field(default_factory=list)

    @property
    def listens(self) -> bool:
        return not (self.closed or self.sealed) and len(self.backlog) < BACKLOG_MAX

    @property
    def is_readable(self) -> bool:
        return bool(self.backlog)

    def offer(self, end: End) -> None:
        self.backlog.append(end)
        for watcher in self.watchers:
            watcher.look()

    # -- the port

    def adjust(self, endpoint: Endpoint) -> None: ...

    def accept(self) -> Connection | None:
        assert not self.closed
        if not self.backlog:
            return None
        if self.short():
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        end = self.backlog.popleft()
        self.accepted.append(end)
        return end

    def seal(self) -> None:
        self.sealed = True

    def close(self) -> None:
        self.closed = True
        while self.backlog:
            self.backlog.popleft().reset()

    def kill(self) -> None:
        self.close()
        for end in self.accepted:
            end.kill()


Member = End | SimulatedAcceptor


@dataclass(slots=True, eq=False)
class SimulatedReadySet:
    """Level-triggered; who is reported goes to the end of the line."""

    members: dict[Member, bool] = field(default_factory=dict)  # and whether for writing
    muted: set[Connection | Acceptor] = field(default_factory=set)
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def look(self) -> None:
        self._news.unpark_all()

    def add(self, source: Connection | Acceptor, *, writable: bool = False) -> None:
        assert isinstance(source, End | SimulatedAcceptor)
        assert source not in self.members, "registered twice"
        self.members[source] = writable
        source.watchers.append(self)
        self.look()

    def discard(self, source: Connection | Acceptor) -> None:
        assert isinstance(source, End | SimulatedAcceptor)
        if source in self.members:
            assert not source.closed or (isinstance(source, End) and source.killed)
            del self.members[source]
            self.muted.discard(source)
            source.watchers.remove(self)

    def mute(self, source: Connection | Acceptor) -> None:
        assert source in self.members
        self.muted.add(source)

    def unmute(self, source: Connection | Acceptor) -> None:
        assert source in self.members
        self.muted.discard(source)
        self.look()

    async def wait(self) -> None:
        await trio.lowlevel.checkpoint()
        while not any(map(self._is_ready, self.members)):
            await self._news.park()

    def ready(self) -> Sequence[Connection | Acceptor]:
        found = [member for member in self.members if self._is_ready(member)][:READY_MAX]
        for member in found:
            self.members[member] = self.members.pop(member)
        return found

    def close(self) -> None:
        for member in list(self.members):
            member.watchers.remove(self)
        self.members.clear()

    def _is_ready(self, member: Member) -> bool:
        if self.members[member]:
            assert isinstance(member, End)
            return member.is_writable
        return member.is_readable and member not in self.muted


@dataclass(slots=True, eq=False)
class SimulatedReceiver:
    """A bound datagram socket. UDP drops what finds no room, unix makes its sender wait."""

    address: str
    is_unix: bool
    octets_max: int
    on_taken: Callable[[bytes, str], None]
    queue: deque[tuple[bytes, str]] = field(default_factory=deque)
    octets: int = 0
    drops: int = 0
    sealed: bool = False
    closed: bool = False
    receive_buffer_granted: int | None = None
    _booked: int = 0
    _arrival: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)
    room: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    @property
    def full(self) -> bool:
        if self.is_unix:
            return len(self.queue) > UNIX_DATAGRAMS_MAX
        return self.octets >= self.octets_max

    def offer(self, datagram: bytes, sender: str) -> bool:
        """False: a unix socket has no room. UDP always says True."""
        if self.is_unix and self.full:
            return False
        if self.sealed:
            return True
        if self.full:
            self.drops += 1
            return True
        self.queue.append((datagram, sender))
        self.octets += len(datagram) + DATAGRAM_OVERHEAD
        self._arrival.unpark_all()
        return True

    # -- the port

    def adjust(self, endpoint: Endpoint) -> None: ...

    def receive(self, messages_max: int, octets_max: int) -> tuple[list[bytes], list[str]]:
        datagrams: list[bytes] = []
        senders: list[str] = []
        octets = 0
        while self.queue and len(datagrams) < messages_max and octets < octets_max:
            datagram, sender = self.queue.popleft()
            self.octets -= len(datagram) + DATAGRAM_OVERHEAD
            octets += len(datagram)
            datagrams.append(datagram)
            senders.append("local" if self.is_unix else sender)
            self.on_taken(datagram, sender)
        self.room.unpark_all()
        return datagrams, senders

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not self.queue and not self.closed:
            await self._arrival.park()

    def kernel_drops(self) -> int:
        return self.drops

    def new_kernel_drops(self) -> int:
        before, self._booked = self._booked, self.drops
        return self._booked - before

    def seal(self) -> None:
        self.sealed = True

    def close(self) -> None:
        self.closed = True
        self.room.unpark_all()
        self._arrival.unpark_all()

    def kill(self) -> None:
        self.queue.clear()
        self.close()
