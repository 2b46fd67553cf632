"""What the supervisor asks of the host it runs on; a simulation hands in its own."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from relay.system.ports import (
    Confinement,
    Directory,
    Endpoint,
    Host,
    PageFile,
    PositionStore,
    Socket,
)


class Service(Protocol):
    """The service manager (sd_notify(3)); no call waits or raises."""

    def ready(self, status: str = ...) -> None: ...

    def reloading(self) -> None: ...

    def stopping(self, status: str = ...) -> None: ...

    def status(self, text: str) -> None: ...

    def alive(self) -> None: ...


class Machine(Protocol):
    @property
    def service(self) -> Service: ...

    def host(self, relay_name: str) -> Host:
        """Ports for one listener or pipe, with a limiter of its own for what runs in threads."""

    @property
    def boot_id(self) -> str:
        """Names this boot of the host: what the page cache kept is believed within one."""

    @property
    def page(self) -> PageFile | None:
        """The file of the crash page; None where there is no place for it, or not yet."""

    @property
    def awaited(self) -> str:
        """Why the state directory, and with it the page, cannot be had yet; else empty.

        Another process has it, or its file system is not mounted.
        """

    async def await_page(self) -> None:
        """Return when `page` is there, or cannot be had for another reason, which is told."""

    @property
    def positions(self) -> PositionStore | None:
        """Where the positions of listeners are kept; None where there is no place for them."""

    def spools(self) -> Collection[str]:
        """The names of the pipes for which a process before this one has kept a spool."""

    def spool(self, pipe: str) -> Directory:
        """Where the spool of a pipe is kept; touches nothing yet."""

    async def remember(self) -> None:
        """Keep what the next process must know of sockets that it inherits as well."""

    @property
    def confinement(self) -> Confinement:
        """What this process may still do."""

    def abandon(self, host: Host) -> None:
        """From now on a cancelled call on this host's disk does not wait for its thread."""

    async def prepare(self, endpoints: Iterable[Endpoint]) -> None:
        """Look up the names of hosts that `open` needs; what fails is told there.

        Takes a few seconds at most, and none for numeric addresses.
        """

    def open(self, endpoint: Endpoint) -> Sequence[Socket]:
        """Bind, or pick from what the service manager handed over. A name must be prepared.

        Raises:
            FamilyMissing: the kernel lacks the address family.
            OSError: anything else; the text says what and where.
        """

    def absent(self, endpoint: Endpoint) -> str:
        """Why nothing arrives yet at an endpoint that is open; empty when something can.

        It is bound to an address that this host does not have yet.
        """

    def reserve(self, descriptors: int) -> None:
        """So many are needed for other things than connections, at the most."""
