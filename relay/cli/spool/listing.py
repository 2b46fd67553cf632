"""What spools there are, and whether they are sound."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.cli.failure import Failure
from relay.cli.spool.output import damage_text
from relay.cli.spool.selection import Selection
from relay.cli.spool.state import State
from relay.cli.table import table
from relay.config.words import size_text
from relay.spool.store import Damaged, Store, Stored
from relay.wire.timestamp import rfc3339

View = Mapping[str, Any]

_HEAD = ("PIPE", "STATE", "HELD", "BYTES", "SEGMENTS", "FIRST", "NEXT", "OLDEST")


def listing(state: State) -> Sequence[View]:
    """One view a spool; one that cannot be read has its `fault`."""
    return [_view(state, pipe) for pipe in state.spools()]


def listing_text(views: Sequence[View]) -> str:
    """A table, and a line for everything out of the ordinary."""
    if not views:
        return "no spools"
    remarks = [f"pipe {view['pipe']}: {line}" for view in views for line in view["remarks"]]
    return "\n".join([table(_HEAD, 2, [_row(view) for view in views]), *remarks])


def orphans(state: State) -> Sequence[str]:
    """A line for each spool whose pipe is not configured and that holds something."""
    views = [_view(state, pipe) for pipe in state.spools() if state.is_orphan(pipe)]
    return [
        f"spool of pipe {view['pipe']}: {_held_text(view)}, and there is no such pipe"
        for view in views
        if view["held"] != 0
    ]


def _held_text(view: View) -> str:
    if view["held"] is None:
        return str(view["fault"])
    return f"{view['held']} messages"


@dataclass(slots=True, eq=False, repr=False)
class Survey:
    """What reading a whole spool has come to."""

    pipe: str
    held: int = 0  # messages that can be read
    delivered: int = 0  # messages that can be read, and have left
    damaged_held: int = 0
    damaged_delivered: int = 0
    octets: int = 0
    lines: Sequence[str] = ()

    @property
    def sound(self) -> bool:
        return not self.damaged_held

    def view(self) -> View:
        return {
            "pipe": self.pipe,
            "sound": self.sound,
            "held": self.held,
            "delivered": self.delivered,
            "damaged_held": self.damaged_held,
            "damaged_delivered": self.damaged_delivered,
            "bytes": self.octets,
            "remarks": list(self.lines),
        }

    def text(self) -> str:
        verdict = "sound" if self.sound else f"{self.damaged_held} messages are damaged"
        rest = f"{self.held} messages held, {self.delivered} delivered and still there"
        return "\n".join([f"{self.pipe}: {verdict}; {rest}", *(f"  {it}" for it in self.lines)])


def survey(state: State, pipe: str) -> Survey:
    """Read everything that is there, and check every CRC."""
    with state.look(pipe) as store:
        settled, lines = store.settled, store.report.lines()
        found = Survey(pipe, octets=store.octets)
    for piece in Selection(first=0).pieces(state, pipe):
        before = max(0, min(piece.end, settled) - piece.first)
        after = piece.end - piece.first - before
        if isinstance(piece, Stored):
            found.delivered += before
            found.held += after
        else:
            found.damaged_delivered += before
            found.damaged_held += after
            lines.append(damage_text(piece))
    found.lines = lines
    return found


def _view(state: State, pipe: str) -> View:
    view: dict[str, Any] = {"pipe": pipe, "state": _state(state, pipe), "remarks": []}
    try:
        with state.look(pipe) as store:
            view |= {
                "held": store.report.messages,
                "bytes": store.octets,
                "segments": len(store.segments()),
                "first": store.settled,
                "next": store.next,
                "oldest": _oldest(store),
                "remarks": store.report.lines(),
            }
    except Failure as failure:
        view |= {"held": None, "fault": failure.message, "remarks": [failure.message]}
    return view


def _state(state: State, pipe: str) -> str:
    if state.is_in_use(pipe):
        return "in use"
    return "orphan" if state.is_orphan(pipe) else "idle"


def _oldest(store: Store) -> str | None:
    """When the oldest message held was received."""
    at = store.settled
    while items := store.read(at, 1):
        for item in items:
            if not isinstance(item, Damaged):
                return rfc3339(item.batch.received_ns).decode()
            at = item.end
    return None


def _row(view: View) -> Sequence[str]:
    if view["held"] is None:
        return (view["pipe"], view["state"], *("?" for _ in _HEAD[2:]))
    return (
        view["pipe"], view["state"], str(view["held"]), size_text(view["bytes"]),
        str(view["segments"]), str(view["first"]), str(view["next"]), view["oldest"] or "-",
    )  # fmt: skip
