"""How clients come in, and what they have to show there."""

import logging
import random
from dataclasses import dataclass, field

import trio

from relay.admin.access import Access, AccessError, read_access
from relay.config.admin import AdminKeys
from relay.core.delivery import backoff

log = logging.getLogger("relay.admin")


@dataclass(slots=True, eq=False, repr=False)
class Door:
    """The unix socket (`local`), which lets nobody in but its owner and root, or all of TCP."""

    local: bool
    access: Access = field(default_factory=Access)
    _reading: trio.Lock = field(default_factory=trio.Lock)

    async def open(self, keys: AdminKeys, reloaded: trio.lowlevel.ParkingLot) -> None:
        """Return when the files can be used; until then nobody must be let in."""
        pauses = backoff(random.Random())  # noqa: S311 - spreads attempts, guards nothing
        told = ""
        while fault := await self._read(keys):
            if fault != told:
                log.error("admin server does not listen on TCP: %s", fault)
                told = fault
            with trio.move_on_after(next(pauses)):
                await reloaded.park()

    async def renew(self, keys: AdminKeys) -> None:
        """Read the files again; connections that are open stay, and answer to the new token."""
        async with self._reading:  # of two reloads the later one has the last word
            if fault := await self._read(keys):
                log.error("admin server keeps the certificate and token it has: %s", fault)

    async def _read(self, keys: AdminKeys) -> str:
        """Why they cannot be used; empty when they are in force."""
        try:
            self.access = await trio.to_thread.run_sync(read_access, keys, abandon_on_cancel=True)
        except AccessError as exc:
            return str(exc)
        return ""
