"""The host of one process of the relay: its ports, and what the kernel does when it is killed."""

import errno
import os
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import trio

from relay.system.local import SystemLocal
from relay.system.log_files import SystemLogFiles
from relay.system.ports import Confinement, Directory, Endpoint, Host, PositionStore
from relay.system.tls import SystemTls
from tests.simulation.network import Internet, SimulatedNetwork
from tests.simulation.sockets import SimulatedAcceptor, SimulatedReceiver
from tests.simulation.storage import SimulatedDirectory, SimulatedDisk, SimulatedPage, Storage
from tests.simulation.stream import End

THREADS_MAX = 4
BUFFER_OCTETS = 16 << 10  # of a UDP socket, whatever is asked for
EPOCH_NS = 1_790_000_000 * 10**9


class SimulatedClock:
    def now(self) -> float:
        return trio.current_time()

    def wall_ns(self) -> int:
        return EPOCH_NS + int(trio.current_time() * 1e9)


@dataclass(slots=True, eq=False)
class SimulatedService:
    """Nobody manages this service."""

    readies: int = 0

    def ready(self, status: str = "") -> None:
        self.readies += 1

    def reloading(self) -> None: ...

    def stopping(self, status: str = "") -> None: ...

    def status(self, text: str) -> None: ...

    def alive(self) -> None: ...


@dataclass(slots=True, eq=False)
class SimulatedMachine:
    """Invariant: once `dead`, nothing that this process still does has an effect."""

    internet: Internet
    storage: Storage
    boot_id: str
    chance: random.Random
    on_datagram: Callable[[str, bytes], None]  # the relay has read one, at this address
    short_of_descriptors: Callable[[], bool]
    dead: bool = False
    service: SimulatedService = field(default_factory=SimulatedService)
    opened: list[SimulatedAcceptor | SimulatedReceiver] = field(default_factory=list)
    born: list[End] = field(default_factory=list)
    accepts: dict[str, SimulatedAcceptor] = field(default_factory=dict)

    # -- the port

    @property
    def positions(self) -> PositionStore | None:
        return None  # no listener here reads anything again

    @property
    def awaited(self) -> str:
        return ""  # no other process has anything of this world

    async def await_page(self) -> None:
        await trio.lowlevel.checkpoint()

    @property
    def confinement(self) -> Confinement:
        return Confinement()  # nothing here is a process

    @property
    def page(self) -> SimulatedPage:
        return SimulatedPage(self.storage, lambda: self.dead)

    def host(self, relay_name: str) -> Host:
        limiter = trio.CapacityLimiter(THREADS_MAX)
        return Host(
            name=relay_name,
            clock=SimulatedClock(),
            network=SimulatedNetwork(self.internet, limiter, self.born.append),
            disk=SimulatedDisk(self.storage, limiter),
            local=SystemLocal(limiter),  # no terminal and no program is in any story
            log_files=SystemLogFiles(limiter),  # no listener here follows files
            tls=SystemTls(limiter),
        )

    def spools(self) -> Collection[str]:
        return sorted(self.storage.directories)

    def spool(self, pipe: str) -> Directory:
        return SimulatedDirectory(self.storage, pipe, self, lambda: self.dead, self.chance)

    async def remember(self) -> None:
        await trio.lowlevel.checkpoint()

    def abandon(self, host: Host) -> None:
        assert isinstance(host.disk, SimulatedDisk)
        host.disk.abandon()

    async def prepare(self, endpoints: Iterable[Endpoint]) -> None:
        await trio.lowlevel.checkpoint()

    def open(self, endpoint: Endpoint) -> Sequence[SimulatedAcceptor | SimulatedReceiver]:
        address = endpoint.address
        is_stream = endpoint.kind in ("tcp", "unix-stream")
        table = self.internet.streams if is_stream else self.internet.datagrams
        before = table.get(address)
        if before is not None and not before.closed:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        socket: SimulatedAcceptor | SimulatedReceiver
        if is_stream:
            socket = SimulatedAcceptor(address, short=self.short_of_descriptors)
            self.internet.streams[address] = socket
        else:
            socket = SimulatedReceiver(
                address,
                endpoint.kind == "unix-datagram",
                BUFFER_OCTETS,
                lambda datagram, _: self.on_datagram(address, datagram),
                receive_buffer_granted=BUFFER_OCTETS if endpoint.receive_buffer else None,
            )
            self.internet.datagrams[address] = socket
        self.opened.append(socket)
        return [socket]

    def absent(self, endpoint: Endpoint) -> str:
        return ""

    def reserve(self, descriptors: int) -> None: ...

    # -- the kernel

    def kill(self) -> None:
        self.dead = True
        for end in self.born:
            end.kill()
        for socket in self.opened:
            socket.kill()
        for contents in self.storage.directories.values():
            if contents.held is self:
                contents.held = None
