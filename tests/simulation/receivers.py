"""Where the relay delivers: servers that read slowly, stop, reset, die and come back."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import trio

from relay.system.ports import ConnectionBroken
from tests.simulation.messages import Parser
from tests.simulation.network import Internet
from tests.simulation.sockets import SimulatedAcceptor, SimulatedReceiver
from tests.simulation.stream import End


@dataclass(slots=True, eq=False)
class Manner:
    """How a server treats its peers; the default is a good one."""

    octets: int = 64 << 10  # of one read
    pause_seconds: float = 0.0  # at most, before each
    deaf: bool = False  # reads nothing
    ends_early: bool = False  # half-closes at once, and goes on reading
    silent: bool = False  # RELP: answers nothing
    refuses: bool = False  # RELP: answers 500


def _nobody(_: Sequence[bytes]) -> None:
    """Nobody looks at them while they come."""


@dataclass(slots=True, eq=False)
class StreamServer:
    """A server on a stream. `read` is what its application has, whole messages in order."""

    internet: Internet
    address: str
    framing: str
    chance: random.Random
    sometimes: Counter[str]
    manner: Manner = field(default_factory=Manner)
    read: list[bytes] = field(default_factory=list)
    on_read: Callable[[Sequence[bytes]], None] = _nobody
    ends: list[End] = field(default_factory=list)  # open ones
    _acceptor: SimulatedAcceptor = field(init=False)
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __post_init__(self) -> None:
        self._listen()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                while not self._acceptor.backlog:
                    await self._news.park()
                end = self._acceptor.accept()
                assert isinstance(end, End)
                self.ends.append(end)
                nursery.start_soon(self._serve, end)

    def behave(self, manner: Manner) -> None:
        if self.manner.silent:
            self.hang_up()  # what it did not answer it never will
        self.manner = manner
        self._news.unpark_all()

    def look(self) -> None:
        """Somebody connects."""
        self._news.unpark_all()

    def die(self) -> None:
        """The process is killed: its kernel closes what it had open."""
        self._acceptor.close()
        for end in self.ends:
            self._count_end(end)
            end.close()
        self.ends.clear()

    def revive(self) -> None:
        if self._acceptor.closed:
            self._listen()

    def _listen(self) -> None:
        self._acceptor = SimulatedAcceptor(self.address, watchers=[self])
        self.internet.streams[self.address] = self._acceptor
        self._news.unpark_all()

    def hang_up(self) -> None:
        """End all connections as a server does that has read everything, or what it had read."""
        for end in self.ends:
            self._count_end(end)
            end.close()
        self.ends.clear()

    def reset(self) -> None:
        for end in self.ends:
            self.sometimes["peer resets"] += 1
            end.closed = True
            end.reset()
            end.wake()
        self.ends.clear()

    def _count_end(self, end: End) -> None:
        unread = end.into.arrived > end.into.read
        self.sometimes["peer closes with unread octets" if unread else "peer closes"] += 1

    async def _serve(self, end: End) -> None:
        with suppress(trio.ClosedResourceError, ConnectionBroken):
            await self._read(end)
        if end in self.ends:
            self.ends.remove(end)
            end.close()

    async def _read(self, end: End) -> None:
        parser = Parser(self.framing)
        if self.manner.ends_early and self.framing != "relp":
            self.sometimes["peer ends early"] += 1
            end.half_close()
        while True:
            await end.readable()
            if self.manner.pause_seconds:
                await trio.sleep(self.manner.pause_seconds * self.chance.random())
            while self.manner.deaf and not end.closed:
                await self._news.park()
            if end.closed:
                return
            data = end.receive(self.manner.octets)
            if data == b"":
                return
            found = parser.feed(data or b"")
            if self.framing == "relp":
                await self._answer(end, found)
            else:
                self._take(found)

    def _take(self, messages: Sequence[bytes]) -> None:
        self.read += messages
        self.on_read(messages)

    async def _answer(self, end: End, frames: list[bytes]) -> None:
        for frame in frames:
            number, command, *data = frame.split(b" ", 2)
            said = b"200 OK"
            if command == b"open":
                said += b"\nrelp_version=0\nrelp_software=peer\ncommands=syslog"
            elif command == b"syslog":
                if self.manner.silent:
                    self.sometimes["relp peer does not answer"] += 1
                    continue
                if self.manner.refuses and self.chance.random() < 0.3:
                    self.sometimes["relp peer answers 500"] += 1
                    said = b"500 no"
                else:
                    self._take(data)
            await _say(end, b"%b rsp %d %b\n" % (number, len(said), said))
            if command == b"close":
                await _say(end, b"0 serverclose 0\n")


async def _say(end: End, data: bytes) -> None:
    left = memoryview(data)
    while left := left[end.send([left]) :]:
        await end.writable()


@dataclass(slots=True, eq=False)
class DatagramServer:
    """A server on a datagram socket."""

    internet: Internet
    address: str
    chance: random.Random
    manner: Manner = field(default_factory=Manner)
    read: list[bytes] = field(default_factory=list)
    on_read: Callable[[Sequence[bytes]], None] = _nobody
    _socket: SimulatedReceiver = field(init=False)
    _news: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def __post_init__(self) -> None:
        self._bind()

    async def run(self) -> None:
        while True:
            await self._socket.readable()
            if self.manner.pause_seconds:
                await trio.sleep(self.manner.pause_seconds * self.chance.random())
            while self.manner.deaf or self._socket.closed:
                await self._news.park()
            found = self._socket.receive(100, 1 << 20)[0]
            self.read += found
            self.on_read(found)

    def behave(self, manner: Manner) -> None:
        self.manner = manner
        self._news.unpark_all()

    def die(self) -> None:
        self._socket.kill()

    def revive(self) -> None:
        if self._socket.closed:
            self._bind()

    def _bind(self) -> None:
        is_unix = "/" in self.address
        self._socket = SimulatedReceiver(self.address, is_unix, 1 << 20, lambda *_: None)
        self.internet.datagrams[self.address] = self._socket
        self._news.unpark_all()

    def hang_up(self) -> None:
        """A datagram socket has no connections."""

    def reset(self) -> None:
        """Nor can they be reset."""


Server = StreamServer | DatagramServer
