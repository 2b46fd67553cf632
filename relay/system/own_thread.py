"""One thread for an object that no other thread may use."""

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, TypeVarTuple

import outcome
import trio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class OwnThread(Generic[T]):
    """Runs calls one after the other, in the thread that made them first.

    It does not keep the process, so that a call that hangs is left behind.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._started = False

    async def run(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        """The result of a call. Cancelled: the call goes on, and its result is lost."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if not self._started:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
            self._started = True
        token = trio.lowlevel.current_trio_token()
        done = trio.Event()
        results: list[outcome.Outcome[T]] = []

        def call() -> None:
            results.append(outcome.capture(function, *args))
            with contextlib.suppress(trio.RunFinishedError):  # nobody waits any more
                token.run_sync_soon(done.set)

        self._calls.put(call)
        await done.wait()
        return results[0].unwrap()

    def end(self, last: Callable[[], object]) -> None:
        """Call this behind all others, and end; nobody waits for it."""
        if self._started:

            def call() -> None:
                outcome.capture(last)

            self._calls.put(call)
            self._calls.put(None)
            self._started = False

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            call()
