"""The host as the supervisor sees it: ports for each component, sockets, the service manager."""

import errno
import logging
import os
import socket
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import trio

from relay.system.children import Helper, OwnChild
from relay.system.clock import SystemClock
from relay.system.datagram import SocketDatagramReceiver
from relay.system.descriptors import Descriptors, descriptors_max
from relay.system.directory import SystemDirectory
from relay.system.disk import SystemDisk
from relay.system.drop_counts import DropCounts, boot_id
from relay.system.inherited import inherited_sockets
from relay.system.journal import SystemJournal
from relay.system.kernel_log import SystemKernelLog
from relay.system.listen_names import ListenNames
from relay.system.local import SystemLocal
from relay.system.log_files import SystemLogFiles
from relay.system.make import make_directory
from relay.system.net import SystemNetwork
from relay.system.page_file import SystemPageFile
from relay.system.ports import Confinement, Endpoint, Host
from relay.system.position_files import PositionFiles
from relay.system.service import ServiceManager, watchdog_seconds
from relay.system.sockets import Opened, is_on_this_host, open_endpoint
from relay.system.spool_paths import spool_names, spool_path
from relay.system.tls import SystemTls

log = logging.getLogger("relay.system")

Source = Opened | SystemKernelLog | SystemJournal

# Hanging look-ups of one pipe hold these, and nobody else's: 45 of them in Trio's default limiter
# delayed an fsync by 6 s (Python 3.11, Trio 0.35).
THREADS_MAX = 4

PAGE_SECONDS = 0.5  # between two looks whether the crash page can be had

# Of the state directory: its file system is not mounted, or not for writing; or for a moment there
# is no descriptor.
_MAY_COME = frozenset({
    errno.ENOENT, errno.EROFS, errno.ENODEV, errno.ENXIO, errno.ENOTCONN, errno.ESTALE,
    errno.ETIMEDOUT, errno.EMFILE, errno.ENFILE,
})  # fmt: skip


@dataclass(slots=True, eq=False, repr=False)
class SystemMachine:
    """This host. `inherited` are the sockets that the service manager handed over, by name."""

    service: ServiceManager = field(default_factory=ServiceManager)
    watchdog_seconds: float | None = None
    inherited: Mapping[str, list[socket.socket]] = field(default_factory=dict)
    drop_counts: DropCounts | None = None  # where there is a place to keep them
    page: SystemPageFile | None = None  # likewise
    awaited: str = ""  # why not yet
    state_dir: str | None = None  # that place
    positions: PositionFiles | None = None  # in that place
    confinement: Confinement = field(default_factory=Confinement)
    helper: Helper | None = None  # starts programs in our place
    boot_id: str = field(default_factory=boot_id)
    descriptors: Descriptors = field(default_factory=Descriptors)
    _forgetting: bool = False  # it was told that what is to be kept cannot be
    _capped: set[str] = field(default_factory=set)
    _names: ListenNames = field(default_factory=ListenNames)
    _opened: dict[tuple[str, str], Sequence[Source]] = field(default_factory=dict)  # or closed

    @classmethod
    def of(cls, environ: MutableMapping[str, str], state_dir: str) -> Self:
        """The machine with what the service manager says in the environment, which is taken out.

        The crash page is not open yet.

        Raises:
            OSError: what it handed over is no socket.
        """
        machine = cls(
            drop_counts=DropCounts(state_dir),
            state_dir=state_dir,
            positions=PositionFiles(state_dir),
            service=ServiceManager.of(environ),
            watchdog_seconds=watchdog_seconds(environ),
            inherited=inherited_sockets(environ),
        )
        machine.positions = PositionFiles(state_dir, lambda: machine.awaited)
        return machine

    def open_page(self) -> None:
        """Take the crash page, making the state directory; a fault is told once.

        Called in a thread, too: `awaited` says at any time what is known, the page is there first.
        """
        state_dir = self.state_dir or "state"
        before, awaited = self.awaited, ""
        try:
            make_directory(state_dir)
            self.page = SystemPageFile.open(state_dir)
        except BlockingIOError:
            awaited = "another process has the state directory"
            text = "another process has it; spools and positions wait for it"
        except OSError as exc:
            text = exc.strerror or str(exc)
            if _may_come(exc, state_dir):
                awaited = f"the state directory is not there yet: {text}"
                text = f"{text}; it is waited for, and so are spools and positions"
        else:
            self.awaited = ""
            return
        self.awaited = awaited
        if awaited != before or not before:
            log.error("crash page cannot be opened in %s, a crash would not be counted: %s",
                      state_dir, text)  # fmt: skip

    async def await_page(self) -> None:
        while self.awaited:
            await trio.sleep(PAGE_SECONDS)
            await trio.to_thread.run_sync(self.open_page, abandon_on_cancel=True)

    def spools(self) -> Collection[str]:
        return spool_names(self.state_dir) if self.state_dir is not None else ()

    def spool(self, pipe: str) -> SystemDirectory:
        state_dir = self.state_dir or "state"
        return SystemDirectory(spool_path(state_dir, pipe), below=state_dir)

    def host(self, relay_name: str) -> Host:
        limiter = trio.CapacityLimiter(THREADS_MAX)
        return Host(
            name=relay_name,
            clock=SystemClock(),
            network=SystemNetwork(limiter),
            disk=SystemDisk(limiter),
            local=SystemLocal(limiter, self.helper.start if self.helper else OwnChild.start),
            log_files=SystemLogFiles(limiter),
            tls=SystemTls(limiter),
        )

    def abandon(self, host: Host) -> None:
        assert isinstance(host.disk, SystemDisk)
        assert isinstance(host.local, SystemLocal)
        host.disk.abandon()
        host.local.abandon()

    async def prepare(self, endpoints: Iterable[Endpoint]) -> None:
        # Of open ones nobody needs the address: a listener that takes them over must not wait.
        await self._names.look_up(it for it in endpoints if not self._is_open(it))

    def open(self, endpoint: Endpoint) -> Sequence[Source]:
        opened: Sequence[Source]
        if endpoint.kind == "kmsg":
            opened = [SystemKernelLog.open(endpoint.address, self.boot_id)]
        elif endpoint.kind == "journal":
            opened = [SystemJournal.of(endpoint)]
        else:
            opened = open_endpoint(endpoint, self.inherited, self._names.find, self.descriptors)
        self._opened[endpoint.kind, endpoint.address] = opened
        for each in opened:
            self._say_capped(endpoint, each)
            if self.drop_counts and isinstance(each, SocketDatagramReceiver) and each.shared:
                self.drop_counts.watch(each)
        return opened

    def absent(self, endpoint: Endpoint) -> str:
        if endpoint.kind not in ("udp", "tcp"):
            return ""
        opened = self._opened.get((endpoint.kind, endpoint.address), ())
        sockets = [it for it in opened if isinstance(it, Opened) and not it.shared]
        missing = [it.address for it in sockets if not is_on_this_host(it.address)]
        return ", ".join(f"{endpoint.kind} {address}: not an address of this host yet"
                         for address in missing)  # fmt: skip

    def reserve(self, descriptors: int) -> None:
        limit = descriptors_max()
        if descriptors > limit and descriptors != self.descriptors.needed:
            log.warning("%d descriptors are few: %d may be needed, and one for each connection "
                        "(raise LimitNOFILE)", limit, descriptors)  # fmt: skip
        self.descriptors.needed = descriptors

    async def remember(self) -> None:
        """Keep for the next process what it must know of the sockets that it inherits as well."""
        if self.drop_counts is None:
            return
        if not self.drop_counts.loaded:
            known = await trio.to_thread.run_sync(self.drop_counts.load, abandon_on_cancel=True)
            if known is None:
                return
            self.drop_counts.adopt(known)
        counts = self.drop_counts.changed()
        if not counts:
            return
        try:
            await trio.to_thread.run_sync(self.drop_counts.save, counts, abandon_on_cancel=True)
        except OSError as exc:
            if not self._forgetting:
                log.warning("kernel drops of inherited sockets cannot be kept: %s", exc)
            self._forgetting = True
        else:
            self._forgetting = False

    def _is_open(self, endpoint: Endpoint) -> bool:
        opened = self._opened.get((endpoint.kind, endpoint.address), ())
        return any(not isinstance(it, SystemJournal) and it.fileno() >= 0 for it in opened)

    def _say_capped(self, endpoint: Endpoint, opened: Source) -> None:
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


def _may_come(fault: OSError, state_dir: str) -> bool:
    """Whether to wait for a state directory; else there is no crash page, and spools try alone."""
    if fault.errno in (errno.EACCES, errno.EPERM):
        return not _may_write(state_dir)
    return fault.errno in _MAY_COME


def _may_write(directory: str) -> bool:
    return os.access(directory, os.W_OK | os.X_OK, effective_ids=True)
