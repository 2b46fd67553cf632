"""The host's files and its standard output."""

import os
import select
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple

import trio

from relay.system.append_file import AppendFile
from relay.system.confined import open_confined
from relay.system.descriptors import check_output
from relay.system.hops import Hops

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_STDOUT = 1
_STDOUT_OCTETS_MAX = 1 << 20


class SystemDisk:
    """The limiter bounds the hops that run or hang; one pipe's alone.

    No call is a checkpoint for cancellation: see `Hops`.
    """

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._hops = Hops(limiter)

    async def open_append(self, base: str, path: str, *, mode: int) -> "SystemFile":
        return SystemFile(await self._hops.run(_open_append, base, path, mode), self._hops)

    async def work(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await self._hops.run(function, *args)

    async def write_stdout(self, data: bytes) -> int:
        return await self._hops.run(_write_stdout, data)

    def abandon(self) -> None:
        """At the deadline of a stop: cancelled calls end now, whatever their threads do."""
        self._hops.abandon()


class SystemFile:
    def __init__(self, file: AppendFile, hops: Hops) -> None:
        self._file = file
        self._hops = hops

    async def append(self, texts: Sequence[bytes], *, sync: bool = False) -> int:
        assert texts
        return await self._hops.run(self._file.append, texts, sync)

    async def replaced(self) -> bool:
        return await self._hops.run(self._file.replaced)

    async def close(self) -> None:
        await self._hops.finish(self._file.close)


def _open_append(base: str, path: str, mode: int) -> AppendFile:
    number = open_confined(base, path, mode)
    try:
        check_output(number)
        return AppendFile(number, os.path.join(os.path.abspath(base), path))
    except OSError:
        os.close(number)
        raise


def _write_stdout(data: bytes) -> int:
    while True:
        try:
            return os.write(_STDOUT, data[:_STDOUT_OCTETS_MAX])
        except BlockingIOError:  # whoever shares the other end has made it non-blocking
            poll = select.poll()
            poll.register(_STDOUT, select.POLLOUT)
            poll.poll()
