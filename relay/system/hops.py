"""Calls that may block, each in a thread, whose results are not lost to a cancellation."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Hops:
    """Hops to threads that a cancellation does not interrupt, until they are abandoned.

    What a hop has written is only known from its result, so cancelled or not it ends first; it is
    no checkpoint for cancellation either. `abandon` is the bound of these shields: the stop calls
    it at its deadline. A hanging thread is then left behind (Trio's threads do not keep the
    process), its call raises `trio.Cancelled`, and later hops can be cancelled at once.

    Invariant: a shield is in `_shields` exactly while its hop runs.
    """

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._shields: set[trio.CancelScope] = set()
        self._abandoned = False

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        with trio.CancelScope(shield=not self._abandoned) as shield:
            self._shields.add(shield)
            try:
                return await trio.to_thread.run_sync(
                    function, *args, abandon_on_cancel=True, limiter=self._limiter
                )
            finally:
                self._shields.remove(shield)
        raise AssertionError("nobody cancels the shield itself")

    async def finish(self, function: Callable[[], None]) -> None:
        """As `run`, for what has to be done at the end, such as closing a file.

        Once the hops are abandoned nobody waits for it, but it is done all the same.
        """
        if self._abandoned:
            trio.lowlevel.start_thread_soon(function, lambda _: None)
        else:
            await self.run(function)

    def abandon(self) -> None:
        self._abandoned = True
        for shield in self._shields:
            shield.shield = False
