"""How far a listener has read what can be read again, and up to where the pipes answer for it.

A file, a journal or the kernel's log has no sender who waits for a yes. The receipt takes its
place: the position that is kept moves over what every pipe that keeps has secured, and no further.
After a crash the listener goes on there, so that nothing is missing.
"""

import json
import logging
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from relay.core.receipt import Receipt
from relay.system.ports import PositionStore

log = logging.getLogger("relay.listener")

RETRY_SECONDS = 1.0

Place = Mapping[str, Any]  # as JSON has it; only its listener knows what it means


@dataclass(slots=True, eq=False, repr=False)
class _Step:
    """What was read up to a place, and whether all of it is secured."""

    place: Place
    paid: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Progress:
    """One source: how far it was read, and how far it has to be read again after a crash.

    Invariant: `kept` is the place behind the longest run of steps from the first one on of which
    each is paid; with no step unpaid it is `read`.
    """

    positions: "Positions"
    read: Place | None = None  # everything in front of it was put; where a restart goes on
    kept: Place | None = None  # everything in front of it is secured; where a new process goes on
    # An unclean end: what is read from `kept` on may have been put already. Whoever reads clears
    # it once past what was there at the start.
    repeating: bool = False
    recalled: bool = False  # `read` is what an earlier process has kept: this one has read nothing
    _steps: deque[_Step] = field(default_factory=deque)

    def start_at(self, place: Place) -> None:
        """Read from here on: there was no place yet, or it means nothing any more."""
        self.read, self.recalled, self.repeating = place, False, False
        self._take(place).pay()

    @contextmanager
    def taking(self, place: Place) -> Iterator[Receipt]:
        """Put what stands in front of `place` inside, with this receipt; nothing may await there.

        Also when nothing is put: what was passed over is not read again.
        """
        receipt = self._take(place)
        try:
            yield receipt
        except BaseException:
            receipt.abandon()
            raise
        finally:
            self.read, self.recalled = place, False  # after a bug, too: what was read is booked
        receipt.pay()

    def _take(self, place: Place) -> Receipt:
        step = _Step(place)
        self._steps.append(step)

        def paid() -> None:
            step.paid = True
            self._advance()

        def broken() -> None:
            # A pipe has ended and booked what it had: nobody would get it if it was read again.
            # At the stop there is a next process, though, and a pipe of that name in it.
            if not self.positions.stopping:
                paid()

        return Receipt(paid, broken)

    def _advance(self) -> None:
        while self._steps and self._steps[0].paid:
            self.kept = self._steps.popleft().place
            self.positions.changes += 1


@dataclass(slots=True, eq=False, repr=False)
class Positions:
    """Those of one listener, by source; they outlive its restarts and reloads.

    Invariant: what the store has says of each source a place that is not behind `kept`, and that
    nothing was read behind it only if that is so.
    """

    name: str = ""
    store: PositionStore | None = None  # None: nothing outlives the process
    sources: dict[str, Progress] = field(default_factory=dict)
    stopping: bool = False  # what is not secured from now on is for the next process
    changes: int = 0
    loaded: bool = False  # what an earlier process has kept is known
    unclean: bool = False  # it has read, and did not say that it had ended
    _saved: int = 0
    _failing: bool = False

    def source(self, name: str) -> Progress:
        """The progress in this source; with `kept` None where nothing is known.

        After an unclean end a source without a place may have been read as well: `repeating`.
        """
        if name not in self.sources:
            self.sources[name] = Progress(self, repeating=self.unclean)
        return self.sources[name]

    def forget(self, name: str) -> None:
        """This source will never be read again."""
        if self.sources.pop(name, None) is not None:
            self.changes += 1

    async def load(self) -> None:
        """Take up what an earlier process has kept; to be awaited before anything is read.

        A store that cannot be read now is waited for. Content that nobody understands is told, and
        taken as none.
        """
        while not self.loaded:
            try:
                content = await self.store.load(self.name) if self.store else None
            except OSError as exc:
                self._say(f"position of {self.name} cannot be read, waiting: {exc}")
                await trio.sleep(RETRY_SECONDS)
                continue
            if content is not None:
                self._decode(content)
            self.loaded, self._failing = True, False
            self.changes += 1  # from now on there is a process that reads, and has not ended
            await self.save()

    async def save(self, *, ended: bool = False) -> None:
        """Keep what has changed. Never raises; cancelled, it may be kept or not.

        With `ended` nothing is read or put any more.
        """
        if self.store is None or not self.loaded or (self._saved == self.changes and not ended):
            return
        changes = self.changes
        try:
            await self.store.save(self.name, self._encode(ended=ended))
        except OSError as exc:
            self._say(f"position of {self.name} cannot be kept: {exc}")
        else:
            self._saved, self._failing = changes, False

    def _say(self, text: str) -> None:
        if not self._failing:
            log.warning("%s", text)
        self._failing = True

    def _encode(self, *, ended: bool) -> bytes:
        sources = {
            name: {"place": it.kept, "exact": ended and it.read == it.kept and not it.repeating}
            for name, it in self.sources.items()
            if it.kept is not None
        }
        return json.dumps({"ended": ended, "sources": sources}).encode()

    def _decode(self, content: bytes) -> None:
        self.unclean = True
        try:
            found = json.loads(content)
            sources = {
                name: (dict(kept["place"]), bool(kept["exact"]))
                for name, kept in found["sources"].items()
            }
            self.unclean = not found["ended"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
            log.error(  # noqa: TRY400 - the disk's fault, no traceback
                "position of %s is not understood, starting as without one: %s",
                self.name,
                repr(exc),
            )
            return
        for name, (place, exact) in sources.items():
            self.sources[name] = Progress(self, place, place, repeating=not exact, recalled=True)
