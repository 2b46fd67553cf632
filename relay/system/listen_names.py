"""Names of hosts in `listen`: looked up in threads, so that opening a socket waits for nobody.

A resolver that does not answer takes 10 s and more (resolv.conf(5): timeout, attempts); in Trio's
own thread nothing would be received meanwhile.
"""

import errno
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import trio

from relay.system.address import look_up, split_host_port
from relay.system.ports import Endpoint
from relay.system.sockets import Found

# The other addresses of a listener wait for so long; the name is tried again with back-off.
LOOK_UP_SECONDS_MAX = 5.0
# Look-ups that hang hold these, and no other thread's place.
THREADS_MAX = 4

_KINDS = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM}

_Key = tuple[str, int, socket.SocketKind]


@dataclass(slots=True, eq=False, repr=False)
class ListenNames:
    """What names were last found to be, or why they were not found."""

    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(THREADS_MAX))
    _found: dict[_Key, Found | OSError] = field(default_factory=dict)

    async def look_up(self, endpoints: Iterable[Endpoint]) -> None:
        """Look up the names in these, at once and anew; returns directly when there are none.

        What fails is told by `find`. Cancelled: the look-ups are abandoned in their threads.
        """
        names = {key for endpoint in endpoints if (key := _name(endpoint))}
        if not names:
            return
        async with trio.open_nursery() as nursery:
            for key in names:
                nursery.start_soon(self._look_up, key)

    def find(self, host: str, port: int, kind: socket.SocketKind) -> Found:
        """As `relay.system.address.look_up`; it knows only numbers, and what was looked up before.

        Before Trio runs that is nothing: who cannot ask without waiting does not ask. The listener
        looks its names up once it runs, when the others receive already.

        Raises:
            OSError: the name does not resolve, or was not looked up.
        """
        key = host, port, kind
        known = _numeric(key) or self._found.get(key)
        if known is None:
            raise OSError(errno.EAGAIN, f"{host!r} was not looked up yet")
        if isinstance(known, OSError):
            raise OSError(known.errno, known.strerror)
        return known

    async def _look_up(self, key: _Key) -> None:
        text = f"no answer from the resolver within {LOOK_UP_SECONDS_MAX:g} s"
        found: Found | OSError = OSError(errno.ETIMEDOUT, text)
        with trio.move_on_after(LOOK_UP_SECONDS_MAX):
            try:
                found = await trio.to_thread.run_sync(
                    partial(look_up, *key), abandon_on_cancel=True, limiter=self.limiter
                )
            except OSError as exc:
                found = exc.with_traceback(None)
        self._found[key] = found


def _name(endpoint: Endpoint) -> _Key | None:
    """What is to be looked up; `None` where nothing is."""
    if endpoint.kind not in _KINDS or endpoint.address.startswith("fd:"):
        return None
    try:
        host, port = split_host_port(endpoint.address)
    except ValueError:
        return None  # told when it is opened
    key = host, port, _KINDS[endpoint.kind]
    return None if host == "*" or _numeric(key) else key


def _numeric(key: _Key) -> Found | None:
    try:
        return look_up(*key, numeric=True)
    except OSError:
        return None
