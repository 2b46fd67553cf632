"""Planted bugs: mutations of the code that ships, each of which the enumeration must find.

A bug names the histories that bring it out, so that few states are needed; none is told where to
look.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

from relay.spool import recovery, segment, store
from relay.spool.cursor import CursorFile
from relay.spool.reader import Reader
from relay.spool.store import Store
from tests.spool.enumeration import mutations
from tests.spool.enumeration.campaign import Campaign, Summary
from tests.spool.enumeration.histories import HISTORIES

STATES_MAX = 400  # of one moment: a bug is not hidden


@dataclass(frozen=True, slots=True)
class Bug:
    name: str
    histories: Sequence[str]
    target: object
    attribute: str
    mutate: Callable[[Any], Any]  # from what ships to what is wrong

    @contextmanager
    def planted(self) -> Iterator[None]:
        shipped = getattr(self.target, self.attribute)
        with mock.patch.object(self.target, self.attribute, self.mutate(shipped)):
            yield

    def search(self) -> Summary:
        """Up to the first breach."""
        chosen = [replace(history, states_max=STATES_MAX) for history in HISTORIES
                  if history.name in self.histories]  # fmt: skip
        with self.planted():
            return Campaign(first_only=True).run(chosen)


BUGS = [
    Bug("told before it is synced", ["first writes"], Store, "commit", mutations.syncs_nothing),
    Bug("names are not synced", ["first writes"], Store, "commit", mutations.forgets_names),
    Bug(
        "full segments are not synced", ["rotation"], Store, "commit", mutations.forgets_full_files
    ),
    Bug("no CRC is checked", ["first writes"], segment, "_crc", mutations.believes_any_octets),
    Bug(
        "frames of another store are believed",
        ["rotation in recycled blocks"],
        segment,
        "_crc",
        mutations.knows_no_store,
    ),
    Bug("a torn batch is skipped", ["rotation"], Reader, "read", mutations.tells_no_damage),
    Bug(
        "a cursor is not synced before segments go",
        ["passed segments"],
        CursorFile,
        "save",
        mutations.syncs_no_cursor,
    ),
    Bug(
        "segments go before the cursor",
        ["passed segments"],
        Store,
        "save_cursor",
        mutations.unlinks_first,
    ),
    Bug(
        "the durable slot is written to",
        ["cursor saves"],
        CursorFile,
        "save",
        mutations.alternates_slots,
    ),
    Bug(
        "a cursor that was found is not made durable",
        ["killed while opening"],
        CursorFile,
        "__init__",
        mutations.trusts_the_found_cursor,
    ),
    Bug("a hole is not saved", ["skipped numbers"], Store, "_add_hole", mutations.saves_no_hole),
    Bug(
        "a hole that could not be saved is taken for saved",
        ["failed sync of the cursor that tells of a hole"],
        Store,
        "_add_hole",
        mutations.tries_a_hole_once,
    ),
    Bug(
        "a dropped segment is no hole",
        ["dropped segments"],
        Store,
        "drop",
        mutations.drops_without_hole,
    ),
    Bug(
        "what is recovered is served before it is durable",
        ["recovered and served"],
        recovery,
        "_secure",
        mutations.nothing,
    ),
    Bug(
        "a header is written with the second group",
        ["rotation, and the cursor rots"],
        segment,
        "header",
        mutations.writes_no_header,
    ),
    Bug(
        "a failed sync is believed",
        ["failed sync, nothing on disk"],
        Store,
        "commit",
        mutations.believes_a_failed_sync,
    ),
    Bug(
        "a descriptor is synced again after it has failed",
        ["failed sync, nothing on disk"],
        Store,
        "restart_after",
        mutations.keeps_its_files,
    ),
    Bug(
        "what is recovered is synced, and not written again",
        ["failed sync, then killed"],
        recovery,
        "_secure",
        mutations.syncs_without_writing,
    ),
    Bug(
        "an empty segment hides a torn end",
        ["rotation"],
        store,
        "recover",
        mutations.removes_empty_segments_first,
    ),
    Bug(
        "the crash page's numbers are used again",
        ["page is ahead"],
        store,
        "recover",
        mutations.knows_no_page,
    ),
    Bug("the holes are forgotten", ["skipped numbers"], store, "recover", mutations.finds_no_holes),
    Bug(
        "the cursor says what was lent", ["cursor saves"], CursorFile, "save", mutations.settles_all
    ),
    Bug(
        "the cursor says what was not committed",
        ["recovered and served"],
        Store,
        "save_cursor",
        mutations.commits_early,
    ),
]
