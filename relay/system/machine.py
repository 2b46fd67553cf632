"""The host as the supervisor sees it: ports for each component, sockets, the service manager."""

import logging
import socket
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import trio

from relay.system.clock import SystemClock
from relay.system.datagram import SocketDatagramReceiver
from relay.system.directory import SystemDirectory
from relay.system.disk import SystemDisk
from relay.system.drop_counts import DropCounts, boot_id
from relay.system.inherited import inherited_sockets
from relay.system.listen_names import ListenNames
from relay.system.net import SystemNetwork
from relay.system.page_file import SystemPageFile
from relay.system.ports import Endpoint, Host
from relay.system.service import ServiceManager, watchdog_seconds
from relay.system.sockets import Opened, open_endpoint
from relay.system.spool_paths import spool_names, spool_path

log = logging.getLogger("relay.system")

# Hanging look-ups of one pipe hold these, and nobody else's: 45 of them in Trio's default limiter
# delayed an fsync by 6 s (Python 3.11, Trio 0.35).
THREADS_MAX = 4

PAGE_SECONDS = 0.5  # between two looks whether another process still has the crash page


@dataclass(slots=True, eq=False)
class SystemMachine:
    """This host. `inherited` are the sockets that the service manager handed over, by name."""

    service: ServiceManager = field(default_factory=ServiceManager)
    watchdog_seconds: float | None = None
    inherited: Mapping[str, list[socket.socket]] = field(default_factory=dict)
    drop_counts: DropCounts | None = None  # where there is a place to keep them
    page: SystemPageFile | None = None  # likewise
    page_is_awaited: bool = False  # another process has it
    state_dir: str | None = None  # that place
    boot_id: str = field(default_factory=boot_id)
    _capped: set[str] = field(default_factory=set)
    _names: ListenNames = field(default_factory=ListenNames)
    _opened: dict[tuple[str, str], Sequence[Opened]] = field(default_factory=dict)  # or closed

    @classmethod
    def of(cls, environ: MutableMapping[str, str], state_dir: str) -> Self:
        """The machine with what the service manager says in the environment, which is taken out.

        Raises:
            OSError: what it handed over is no socket.
        """
        machine = cls(
            drop_counts=DropCounts(state_dir),
            state_dir=state_dir,
            service=ServiceManager.of(environ),
            watchdog_seconds=watchdog_seconds(environ),
            inherited=inherited_sockets(environ),
        )
        machine.open_page()
        return machine

    def open_page(self) -> None:
        """Take the crash page; a fault is told, and where another process has it, that once."""
        try:
            self.page = SystemPageFile.open(self.state_dir or "state")
        except BlockingIOError:
            if not self.page_is_awaited:
                log.error(  # noqa: TRY400 - no fault of ours, no traceback
                    "crash page cannot be opened in %s, a crash would not be counted: another "
                    "process has it; the spools wait for it", self.state_dir,
                )  # fmt: skip
            self.page_is_awaited = True
        except OSError as exc:
            self.page_is_awaited = False
            log.error(  # noqa: TRY400 - the disk's fault, no traceback
                "crash page cannot be opened in %s, a crash would not be counted: %s",
                self.state_dir, exc.strerror or exc,
            )  # fmt: skip
        else:
            self.page_is_awaited = False

    async def await_page(self) -> None:
        while self.page_is_awaited:
            await trio.sleep(PAGE_SECONDS)
            await trio.to_thread.run_sync(self.open_page, abandon_on_cancel=True)

    def spools(self) -> Collection[str]:
        return spool_names(self.state_dir) if self.state_dir is not None else ()

    def spool(self, pipe: str) -> SystemDirectory:
        return SystemDirectory(spool_path(self.state_dir or "state", pipe))

    def host(self, relay_name: str) -> Host:
        limiter = trio.CapacityLimiter(THREADS_MAX)
        return Host(
            name=relay_name,
            clock=SystemClock(),
            network=SystemNetwork(limiter),
            disk=SystemDisk(limiter),
        )

    def abandon(self, host: Host) -> None:
        assert isinstance(host.disk, SystemDisk)
        host.disk.abandon()

    async def prepare(self, endpoints: Iterable[Endpoint]) -> None:
        # Of open ones nobody needs the address: a listener that takes them over must not wait.
        await self._names.look_up(it for it in endpoints if not self._is_open(it))

    def open(self, endpoint: Endpoint) -> Sequence[Opened]:
        opened = open_endpoint(endpoint, self.inherited, self._names.find)
        self._opened[endpoint.kind, endpoint.address] = opened
        for each in opened:
            self._say_capped(endpoint, each)
            if self.drop_counts and isinstance(each, SocketDatagramReceiver) and each.shared:
                self.drop_counts.watch(each)
        return opened

    async def remember(self) -> None:
        """Keep for the next process what it must know of the sockets that it inherits as well."""
        counts = self.drop_counts.changed() if self.drop_counts else None
        if not (self.drop_counts and counts):
            return
        try:
            await trio.to_thread.run_sync(self.drop_counts.save, counts, abandon_on_cancel=True)
        except OSError as exc:
            log.warning("kernel drops of inherited sockets cannot be kept: %s", exc)

    def _is_open(self, endpoint: Endpoint) -> bool:
        opened = self._opened.get((endpoint.kind, endpoint.address), ())
        return any(it.fileno() >= 0 for it in opened)

    def _say_capped(self, endpoint: Endpoint, opened: Opened) -> None:
        wanted = endpoint.receive_buffer
        granted = (
            opened.receive_buffer_granted if isinstance(opened, SocketDatagramReceiver) else None
        )
        if wanted is None or granted is None or granted >= wanted:
            return
        if endpoint.address not in self._capped:
            self._capped.add(endpoint.address)
            log.warning(
                "%s %s: receive buffer of %d octets granted, %d wanted (raise net.core.rmem_max)",
                endpoint.kind, opened.address, granted, wanted,
            )  # fmt: skip
