"""Changes of a spool while no relay runs: thrown away, delivered again, or given another name."""

import os
import re
import shutil
from contextlib import suppress
from typing import TextIO

from relay.cli.failure import Failure, Mistake
from relay.cli.spool.exported import batches, count
from relay.cli.spool.selection import Selection
from relay.cli.spool.state import Change, State
from relay.config.tables import NAME_PATTERN
from relay.spool.store import Stored
from relay.system.spool_paths import spool_names, spool_path


def to_purge(state: State, pipe: str, before: int | None, until_ns: int | None) -> tuple[int, int]:
    """Up to which number, and how many messages that are; None: no bound.

    With `until_ns` everything up to the last message received by then.
    """
    with state.look(pipe) as store:
        end, settled = store.next, store.settled
    if before is not None:
        end = min(end, before)
    if until_ns is not None:
        later = Selection(end=end, since_ns=until_ns + 1, messages_max=1)
        first = next((it.first for it in later.pieces(state, pipe) if isinstance(it, Stored)), end)
        end = min(end, first)
    with state.look(pipe) as store:
        return end, store.messages(settled, end)


def purge(change: Change, pipe: str, end: int) -> int:
    """Throw away what is held below this number; returns how many messages that were."""
    with change.spool(pipe) as store:
        gone = store.messages(store.settled, end)
        store.settle(end)
    return gone


def replay(change: Change, pipe: str, first: int | None) -> int:
    """Let the next start deliver again what has left and is still on disk; returns how much."""
    return change.rewind(pipe, first or 0)


def put_back(change: Change, pipe: str, file: TextIO) -> int:
    """Let the next start deliver the messages of an export, behind what is held: all, or none.

    Raises:
        Mistake: a line of the file is none of an export; nothing has changed.
        Failure: the disk fails, or is full; nothing of the file is delivered.
    """
    messages = count(file)
    with change.spool(pipe, octets_max=os.fstat(file.fileno()).st_size) as store:
        first = store.next
        change.give_up(pipe, store, first + messages)  # until all of it is there
        try:
            for batch in batches(file):
                store.append([(store.next, batch)])
            store.commit()
        except BaseException:
            with suppress(OSError):  # then it lies there, and is given up all the same
                store.restart_after(first)
            raise
    return messages


def adopt(change: Change, old: str, new: str) -> int:
    """Give the spool of one pipe to another, which has none or an empty one; returns what is held.

    Raises:
        Failure: the other one holds messages.
    """
    if not re.fullmatch(NAME_PATTERN, new):
        raise Mistake(f"{new!r} is no name of a pipe")
    if old == new:
        raise Mistake("a pipe cannot adopt its own spool")
    path = change.state.path
    with change.spool(old) as store:
        held, head, next_number = store.report.messages, store.settled, store.next
        identity = store.identity
    if new in spool_names(path):
        with change.spool(new) as store:
            if store.report.messages:
                raise Failure(f"spool of pipe {new} holds {store.report.messages} messages")
            strangers = [*store.report.aliens, *store.report.unreadable]
            next_number = max(next_number, store.next)
        if strangers or os.path.lexists(os.path.join(spool_path(path, new), "quarantine")):
            raise Failure(f"{spool_path(path, new)} has other files: look at them, and remove them")
        shutil.rmtree(spool_path(path, new))
    # Killed on the way: what is moved is nobody's in the book, so that the next start finds it.
    # What a crash has cost each of them is told by each, and does not move.
    change.disown(old, next_number)
    _rename(spool_path(path, old), spool_path(path, new))
    change.adopt(new, identity, held=held, head=head, next_number=next_number)
    return held


def _rename(old: str, new: str) -> None:
    try:
        os.rename(old, new)
        directory = os.open(os.path.dirname(new), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as exc:
        raise Failure(f"{new}: {(exc.strerror or str(exc)).lower()}") from exc
