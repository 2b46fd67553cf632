"""Which messages of a spool are meant, and reading them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from relay.cli.failure import Failure, Mistake
from relay.cli.spool.state import State
from relay.core.batch import Batch
from relay.spool.store import Damaged, Store, Stored

READ_OCTETS = 1 << 20
UNBOUNDED = 1 << 63


@dataclass(frozen=True, slots=True)
class Selection:
    """Numbers from `first` to before `end`, received from `since_ns` to `until_ns`.

    None for `first`: what is held, no matter how much of what was delivered is still on disk.
    """

    first: int | None = None
    end: int = UNBOUNDED
    since_ns: int = 0
    until_ns: int = UNBOUNDED
    messages_max: int = UNBOUNDED

    def pieces(self, state: State, pipe: str) -> Iterator[Stored | Damaged]:
        """In the order of their numbers. What a running relay delivers meanwhile is passed over.

        Raises:
            Failure: the disk fails.
        """
        at, left = self.first, self.messages_max
        while True:
            with state.look(pipe) as store:
                at = store.settled if at is None else max(at, store.oldest)
                while items := self._read(store, pipe, at) if left > 0 else ():
                    for item in items:
                        at = item.end
                        if (piece := self._part(item, left, store.settled)) is not None:
                            left -= len(piece.batch) if isinstance(piece, Stored) else 0
                            yield piece
                if items is not None:
                    return
            state.forget_page()

    def _read(self, store: Store, pipe: str, at: int) -> Sequence[Stored | Damaged] | None:
        """What is next, nothing at the end; None: a segment has gone, look again."""
        if at >= self.end:
            return ()
        try:
            return store.read(at, READ_OCTETS)
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise Failure(f"spool of pipe {pipe}: {(exc.strerror or str(exc)).lower()}") from exc

    def _part(self, item: Stored | Damaged, left: int, settled: int) -> Stored | Damaged | None:
        if item.first >= self.end or left <= 0:
            return None
        if isinstance(item, Damaged):
            # Delivered before the disk took it, say: a hole that the cursor has forgotten.
            return None if item.missing and item.end <= settled else item
        if not self.since_ns <= item.batch.received_ns <= self.until_ns:
            return None
        stop = min(len(item.batch), self.end - item.first, left)
        batch: Batch = item.batch if stop == len(item.batch) else item.batch.part(0, stop)
        return Stored(item.first, batch)


def moment(text: str) -> int:
    """Nanoseconds since the epoch of a moment: RFC 3339, or local as `2026-11-28 14:03`.

    Raises:
        Mistake: it is none.
    """
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1e9)
    except ValueError as exc:
        raise Mistake(f"{text!r} is no moment: 2026-11-28T14:03:00Z, or 2026-11-28 14:03") from exc
