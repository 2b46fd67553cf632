"""Messages into files, one line each."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Annotated, Literal

import trio
from pydantic import Field, StrictBool, ValidationInfo, field_validator
from trio_typing import TaskStatus

from relay.core.account import Confirmation, Drop
from relay.core.batch import TURN_OCTETS, Batch
from relay.core.component import DestinationKeys
from relay.core.lease import LEND_MESSAGES, WINDOW_MESSAGES, Lease
from relay.core.outlet import Outlet
from relay.core.values import Mode, Path
from relay.destinations.files import OpenFiles, PathRefused
from relay.destinations.session import Reached, all_formatted
from relay.destinations.template import PathTemplate
from relay.system.ports import Touch
from relay.wire.escape import escape_text, escaped_lines
from relay.wire.formats import Form

# A hop to the thread: some milliseconds on the slowest flash, and a bound for the copy. With turns
# of 256 KiB a message costs a tenth more.
HOP_OCTETS = 1 << 20


class FileDestination(DestinationKeys):
    """The keys of a `file` destination."""

    type: Literal["file"]
    path: Path
    """File, which may hold {host} {program} {facility} {severity} {sender} {listener} {date}."""
    base: Path | None = None
    """Directory that no path leaves; default: that of `path` up to its first placeholder."""
    mode: Mode = 0o640
    """Permissions of a file that is created."""
    fsync: StrictBool = False
    """Wait for the disk after each write, before it counts as stored."""
    files_max: Annotated[int, Field(ge=1, le=4096, strict=True)] = 64
    """Files of a template kept open at a time."""

    @field_validator("path")
    @classmethod
    def _check_path(cls, path: str) -> str:
        PathTemplate.of(path, None)
        return path

    @field_validator("base")
    @classmethod
    def _check_base(cls, base: str | None, info: ValidationInfo) -> str | None:
        if "path" in info.data:  # absent when it is wrong itself
            PathTemplate.of(info.data["path"], base)
        return base

    @property
    def descriptors(self) -> int:
        fixed = PathTemplate.of(self.path, self.base).fixed
        return (1 if fixed else self.files_max) + 1  # and the directory of one that is opened

    @property
    def makes_in(self) -> tuple[str, str]:
        return "base" if self.base else "path", PathTemplate.of(self.path, self.base).base

    @property
    def opens(self) -> str | None:
        template = PathTemplate.of(self.path, self.base)
        return os.path.join(template.base, template.fixed) if template.fixed else None

    def touches(self) -> Sequence[Touch]:
        key, directory = self.makes_in
        return (Touch("write", directory, key),)

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        template = PathTemplate.of(self.path, self.base)
        files = OpenFiles(
            outlet.host.disk, outlet.host.clock, outlet.reopening,
            template.base, self.mode, self.fsync, self.files_max,
        )  # fmt: skip
        form = outlet.form(self.format)
        reached = Reached(lease, task_status)
        try:
            if template.fixed:
                await files.current(template.fixed)
            reached.opened()
            while True:
                if template.fixed:
                    batches = await _lend(lease, outlet, files, WINDOW_MESSAGES, HOP_OCTETS)
                    await _write_all(files, template.fixed, batches, form, lease)
                else:
                    batches = await _lend(lease, outlet, files, LEND_MESSAGES, TURN_OCTETS)
                    lines = [line + b"\n" for line in escape_text(all_formatted(batches, form))]
                    paths = template.paths(batches, outlet.host.name)
                    await _write_each(files, paths, lines, lease)
                reached.delivered()
        finally:
            await files.close()


async def _lend(
    lease: Lease, outlet: Outlet, files: OpenFiles, messages_max: int, octets_max: int
) -> Sequence[Batch]:
    """Lend, closing all files when the operator has rotated them in the meantime."""
    while True:
        with outlet.reopening.interrupts():
            return await lease.lend(messages_max, octets_max)
        await files.close()


async def _write_all(
    files: OpenFiles, path: str, batches: Sequence[Batch], form: Form, lease: Lease
) -> None:
    """A line for each message, in texts of a turn each, between which others have theirs.

    Written is as soon as there is enough, since a format can make more of messages than they were.
    """
    texts: list[bytes] = []
    messages = 0
    for turn in _turns(batches):
        if texts:
            await trio.lowlevel.checkpoint()
        texts.append(escaped_lines(all_formatted(turn, form)))
        messages += sum(map(len, turn))
        if sum(map(len, texts)) >= HOP_OCTETS:
            await _write_one(files, path, texts, messages, lease)
            texts, messages = [], 0
    if texts:
        await _write_one(files, path, texts, messages, lease)


def _turns(batches: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    turn: list[Batch] = []
    messages = octets = 0
    for batch in batches:
        for start in range(0, len(batch), LEND_MESSAGES):
            short = len(batch) <= LEND_MESSAGES
            part = batch if short else batch.part(start, start + LEND_MESSAGES)
            messages += len(part)
            octets += part.octets
            if turn and (messages > LEND_MESSAGES or octets > TURN_OCTETS):
                yield turn
                turn, messages, octets = [], len(part), part.octets
            turn.append(part)
    yield turn


async def _write_one(
    files: OpenFiles, path: str, texts: Sequence[bytes], messages: int, lease: Lease
) -> None:
    while messages:
        left = await files.append(path, texts)
        unwritten = left.count(b"\n")
        lease.settle(messages - unwritten, Confirmation.STORED)
        texts, messages = [left], unwritten


async def _write_each(
    files: OpenFiles, paths: Sequence[str], lines: Sequence[bytes], lease: Lease
) -> None:
    """Write each line to its own file, each file once.

    When one of them fails, lines behind its first are in their files and not settled: they come
    again. Only there are duplicates possible, but for a failed sync.
    """
    places_of: dict[str, list[int]] = {}
    for place, path in enumerate(paths):
        places_of.setdefault(path, []).append(place)
    progress = _Progress(lease, bytearray(len(lines)))
    for path, places in places_of.items():
        try:
            while places:
                text = b"".join([lines[place] for place in places])
                left = await files.append(path, [text])
                written = len(places) - left.count(b"\n")
                progress.mark(places[:written], _STORED)
                places = places[written:]
        except PathRefused as refused:
            files.tell(refused)
            progress.why.update(dict.fromkeys(places, str(refused)))
            progress.mark(places, _REFUSED)


_STORED, _REFUSED = 1, 2


@dataclass(slots=True, eq=False, repr=False)
class _Progress:
    """What became of the messages lent, in whatever order that was.

    Invariant: the oldest ones of which that is known are settled or refused, `gone` of them.
    """

    lease: Lease
    marks: bytearray
    gone: int = 0
    why: dict[int, str] = field(default_factory=dict)  # by place, of those refused

    def mark(self, places: Sequence[int], mark: int) -> None:
        for place in places:
            self.marks[place] = mark
        known = self.marks.find(0)
        if known < 0:
            known = len(self.marks)
        for kind, run in groupby(self.marks[self.gone : known]):
            end = self.gone + len(list(run))
            if kind == _STORED:
                self.lease.settle(end - self.gone, Confirmation.STORED)
            else:
                for place in range(self.gone, end):
                    self.lease.refuse(1, Drop.REFUSED, self.why[place])
            self.gone = end
