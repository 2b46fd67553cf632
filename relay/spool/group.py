"""The hops of a spool to its disk; one makes durable at once everything that has gathered."""

import contextlib
import errno
from collections.abc import Sequence
from typing import NamedTuple

from relay.core.backlog import Segment
from relay.core.batch import Batch
from relay.core.queue import Entry
from relay.spool.recovery import Known
from relay.spool.store import Store
from relay.system.ports import Directory


class Written(NamedTuple):
    """What a hop has left on disk."""

    committed: int
    octets: int
    segments: Sequence[Segment]
    fault: OSError | None = None  # why it is not all


def open_store(directory: Directory, octets_max: int, known: Known, salvaging: bool) -> Store:
    """Raises `OSError`: as `Store.open`, or another store lies where the one in use was."""
    store = Store.open(directory, octets_max=octets_max, known=known, salvaging=salvaging)
    if known.in_use and store.report.messages and store.identity != known.store:
        store.close()
        raise OSError(errno.ESTALE, "another spool lies there, a restart delivers it")
    return store


def take_back(store: Store) -> None:
    """What was written and could not be made durable is not to be found by the next process.

    It is in memory: from there it is written again, or booked as dropped. Where this fails, the
    crash page knows what was given up.
    """
    with contextlib.suppress(OSError):
        store.restart_after(store.committed)


def commit_group(
    store: Store,
    group: Sequence[Entry],
    head: int,
    dropped: Sequence[Segment],
    committed: int | None,
) -> Written:
    """One hop: bring everything of a group to the disk, and the cursor with it."""
    if committed is not None:
        store.restart_after(committed)
    for segment in dropped:
        store.drop(segment.first, segment.end)
    fault = None
    try:
        store.append([_rest(entry, store.next) for entry in group if entry.end > store.next])
    except OSError as exc:
        fault = exc  # what was written before is good
    store.settle(head)
    store.commit()
    store.save_cursor(sync=False)
    return written_by(store, fault)


def _rest(entry: Entry, number: int) -> tuple[int, Batch]:
    """What of an entry is not written yet."""
    if entry.first >= number:
        return entry.first, entry.batch
    return number, entry.batch.part(number - entry.first)


def written_by(store: Store, fault: OSError | None = None) -> Written:
    return Written(store.committed, store.octets, [Segment(*it) for it in store.segments()], fault)
