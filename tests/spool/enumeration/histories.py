"""Small histories of a spool, which together reach every hard state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from relay.spool import segment
from tests.core.parts import make_batch
from tests.spool.enumeration import failing, healthy
from tests.spool.enumeration.crash_states import STATES_MAX, Surface
from tests.spool.enumeration.story import Story
from tests.spool.parts import FakeDirectory

FINE = Surface(sector=24)
COARSE = Surface(sector=64)
GROWING = Surface(sector=48, grows=True)
FOREIGN = b"\xee" * 16  # another store, whose blocks are used again
OURS = FakeDirectory().new_identity()
# By chance its sync word is that of ours.
FRAME = bytes(segment.frame(OURS, 1, make_batch(b""))[:4]
              + segment.frame(FOREIGN, 1, make_batch(b"of another store"))[4:])  # fmt: skip
RECYCLED = Surface(sector=64, grows=True, before=FRAME)


@dataclass(frozen=True, slots=True)
class History:
    name: str
    run: Callable[[Story], None]
    surface: Surface = COARSE
    segment_octets: int = 300  # two or three frames
    states_max: int = STATES_MAX  # of one moment
    second_every: int = 1  # of so many states one gets a second crash
    rots: bool = False  # each state is opened without a whole cursor, too


HISTORIES: Sequence[History] = (
    History("first writes", healthy.first_writes, FINE, segment_octets=400),
    History("first writes, sizes first", healthy.first_writes, GROWING, segment_octets=400),
    History("rotation", healthy.rotation),
    History("rotation in recycled blocks", healthy.rotation, RECYCLED, second_every=4),
    History("rotation, and the cursor rots", healthy.rotation, rots=True, second_every=4),
    History("cursor saves", healthy.cursor_saves),
    History("passed segments", healthy.passed_segments),
    History(
        "passed segments, and the cursor rots", healthy.short_passed, rots=True, second_every=4
    ),
    History("dropped segments", healthy.dropped_segments),
    History("dropped newest segment", healthy.dropped_newest),
    History("dropped, then saved", healthy.dropped_and_saved),
    History("skipped numbers", healthy.skipped_numbers),
    History("failed sync, nothing on disk", failing.failed_sync(0)),
    History("failed sync, half on disk", failing.failed_sync(2)),
    History("failed sync, all on disk", failing.failed_sync(1)),
    History("failed sync, then killed", failing.failed_sync_and_kill),
    History("failed sync of the cursor", failing.failed_cursor),
    History("failed sync of the cursor, then killed", failing.failed_cursor_and_kill),
    History("failed sync of the cursor that tells of a hole", failing.failed_hole),
    History("failed sync of names", failing.failed_names),
    History("full disk", failing.full_disk),
    History("power cuts, nothing survives", healthy.power_cuts(0)),
    History("power cuts, a third survives", healthy.power_cuts(0.33)),
    History("power cuts, half survives", healthy.power_cuts(0.55)),
    History("power cuts, everything survives", healthy.power_cuts(1)),
    History("recovered and served", healthy.recovered_and_served),
    History("page is ahead", healthy.page_is_ahead),
    History("killed while opening", healthy.killed_while_opening),
    History("groups", healthy.groups),
    History("failing groups", failing.failing_groups),
    History("failing cursor groups", failing.failing_cursor_groups),
)
