"""Everything that can be reached, and the network port through which the relay reaches it."""

import errno
import os
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import trio

from relay.system.ports import Connection, DatagramSender, ReadySet, Service, Unreachable
from tests.simulation.flow import Link
from tests.simulation.sockets import SimulatedAcceptor, SimulatedReadySet, SimulatedReceiver
from tests.simulation.stream import Buffers, End, connect
from tests.simulation.timeline import Timeline

RELAY = "192.0.2.1"
UNIX_DATAGRAM_MAX = 4096  # wmem of a unix socket, as small as it may be
CONNECT_SECONDS_MAX = 10.0


@dataclass(slots=True, eq=False)
class Internet:
    """Listening sockets by address (`HOST:PORT` or a path), and the hosts they are on."""

    timeline: Timeline
    chance: random.Random
    sometimes: Counter[str]
    streams: dict[str, SimulatedAcceptor] = field(default_factory=dict)
    datagrams: dict[str, SimulatedReceiver] = field(default_factory=dict)
    links: dict[str, Link] = field(default_factory=dict)  # by numeric host; "" is this one
    names: dict[str, Sequence[str]] = field(default_factory=dict)
    services: dict[str, Sequence[Service]] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)  # names that fail now
    buffers: dict[str, Buffers] = field(default_factory=dict)  # of hosts, by number
    outgoing: defaultdict[str, list[End]] = field(default_factory=lambda: defaultdict(list))
    handed: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    choked: set[str] = field(default_factory=set)  # datagram targets for which there is no room
    lossy: set[str] = field(default_factory=set)  # targets whose datagrams get lost
    news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def link(self, address: str) -> Link:
        return self.links.setdefault(host_of(address), Link(self.timeline))

    def listener(self, address: str) -> SimulatedAcceptor | None:
        acceptor = self.streams.get(address)
        return acceptor if acceptor is not None and acceptor.listens else None

    def join(self, address: str, caller: str) -> tuple[End, End] | None:
        """Connect a caller (its host, or a path) to whoever listens; both ends, or refused."""
        acceptor = self.listener(address)
        if acceptor is None:
            return None
        is_unix = "/" in address
        mine, its = connect(
            self.link("" if is_unix else address if caller == RELAY else caller),
            self.buffers.get(caller, Buffers()),
            self.buffers.get(host_of(address), Buffers()),
            our_name="local" if is_unix else caller,
            their_name="local" if is_unix else host_of(address),
            is_unix=is_unix,
        )
        acceptor.offer(its)
        return mine, its

    def release(self, address: str) -> None:
        """There is room for datagrams again."""
        self.choked.discard(address)
        self.news.unpark_all()


def host_of(address: str) -> str:
    return "" if "/" in address else address.rpartition(":")[0]


@dataclass(frozen=True, slots=True)
class SimulatedNetwork:
    """The relay's way out; `born` hears of every connection made for it."""

    internet: Internet
    limiter: trio.CapacityLimiter
    born: Callable[[End], None]

    async def resolve(
        self, address: str, *, kind: Literal["tcp", "udp"]
    ) -> Sequence[tuple[str, int]]:
        host, _, port = address.rpartition(":")
        await trio.lowlevel.checkpoint()
        if host not in self.internet.names:
            return [(host, int(port))]

        def look_up() -> Sequence[str]:
            if host in self.internet.unresolved:
                self.internet.sometimes["name does not resolve"] += 1
                raise Unreachable(f"{host}: Temporary failure in name resolution")
            return self.internet.names[host]

        found = await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self.limiter)
        return [(number, int(port)) for number in found]

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        def look_up() -> Sequence[Service]:
            if name in self.internet.unresolved or name not in self.internet.services:
                self.internet.sometimes["name does not resolve"] += 1
                raise Unreachable(f"{name}: no name server has an answer")
            return self.internet.services[name]

        found = await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=self.limiter)
        return found, 0.0

    async def connect(self, address: tuple[str, int]) -> Connection:
        target = f"{address[0]}:{address[1]}"
        link = self.internet.link(target)
        await trio.sleep(2 * link.latency)
        if not link.up:
            self.internet.sometimes["connect not answered"] += 1
            await trio.sleep(CONNECT_SECONDS_MAX)
            raise Unreachable(f"{target}: no answer within {CONNECT_SECONDS_MAX:g} s")
        return self._join(target)

    async def connect_unix(self, path: str) -> Connection:
        await trio.lowlevel.checkpoint()
        return self._join(path)

    def _join(self, target: str) -> Connection:
        joined = self.internet.join(target, RELAY)
        if joined is None:
            self.internet.sometimes["connect refused"] += 1
            raise Unreachable(f"{target}: Connection refused")
        self.internet.outgoing[target].append(joined[0])
        self.born(joined[0])
        return joined[0]

    async def connect_datagram(self, address: tuple[str, int]) -> DatagramSender:
        await trio.lowlevel.checkpoint()
        return SimulatedSender(self.internet, f"{address[0]}:{address[1]}")

    async def connect_unix_datagram(self, path: str) -> DatagramSender:
        await trio.lowlevel.checkpoint()
        if path not in self.internet.datagrams:
            raise Unreachable(f"{path}: No such file or directory")
        return SimulatedSender(self.internet, path)

    def ready_set(self) -> ReadySet:
        return SimulatedReadySet()


@dataclass(slots=True, eq=False)
class SimulatedSender:
    """A connected datagram socket."""

    internet: Internet
    target: str
    closed: bool = False
    _refused: bool = False  # an ICMP error has come

    def send(self, message: bytes) -> bool:
        assert not self.closed
        internet = self.internet
        receiver = internet.datagrams.get(self.target)
        if "/" in self.target:
            if receiver is None or receiver.closed:
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            if len(message) > UNIX_DATAGRAM_MAX:
                internet.sometimes["datagram too large"] += 1
                raise OSError(errno.EMSGSIZE, os.strerror(errno.EMSGSIZE))
            taken = receiver.offer(message, "local")
        else:
            if self._refused:
                self._refused = False
                internet.sometimes["datagram refused"] += 1
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
            if self.target in internet.choked:
                internet.sometimes["no room for a datagram"] += 1
                return False
            taken = True
            self._carry(message, receiver)
        if taken:
            internet.handed[self.target].append(message)
        return taken

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        if "/" not in self.target:
            while self.target in self.internet.choked:
                await self.internet.news.park()
            return
        while (it := self.internet.datagrams.get(self.target)) and it.full and not it.closed:
            await it.room.park()

    def close(self) -> None:
        self.closed = True

    def _carry(self, message: bytes, receiver: SimulatedReceiver | None) -> None:
        link = self.internet.link(self.target)
        if not link.up or self.target in self.internet.lossy:
            self.internet.sometimes["datagram lost"] += 1
        elif receiver is None or receiver.closed:
            self._refused = True
        else:
            receiver.offer(message, RELAY)
