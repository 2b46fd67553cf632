"""Lines of files that programs write to, followed through rotation, each line once."""

import logging
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import trio
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from trio_typing import TaskStatus

from relay.core.account import Refusal
from relay.core.component import ListenerKeys
from relay.core.files import FileCounts
from relay.core.intake import Intake
from relay.core.values import Duration, Path, listed
from relay.listeners.following.follower import Follower
from relay.listeners.following.names import PROGRAM, leads_away, program_of, root_of
from relay.listeners.following.rules import Rules
from relay.listeners.following.steps import Forget, Read, Step, Told
from relay.listeners.ready import Ready
from relay.system.ports import Endpoint, Socket, Touch
from relay.wire.heading import headed, heading
from relay.wire.priority import FACILITIES, SEVERITIES, parse_facility, parse_severity

log = logging.getLogger("relay.listener")

# A look at very many files takes no more than this share of the time.
LOOK_SHARE = 0.05
READY_SECONDS_MAX = 1.0  # a first look at a file system that hangs holds up nobody else
HASTY_SECONDS = 0.02  # after a truncation: its copy may be gone soon


def _facility(name: str) -> str:
    number = parse_facility(name)
    if not number:
        known = ", ".join(it for it in FACILITIES if FACILITIES[it])
        raise ValueError(f"unknown facility {name!r} (known: {known})")
    return name


def _severity(name: str) -> str:
    if parse_severity(name) is None:
        raise ValueError(f"unknown severity {name!r} (known: {', '.join(SEVERITIES)})")
    return name


def _program(name: str) -> str:
    if not PROGRAM.fullmatch(name):
        raise ValueError(f"expected 1 to 48 letters, digits or signs but :[], not {name!r}")
    return name


Paths = Annotated[
    tuple[Path, ...],
    BeforeValidator(listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]


class FileListener(ListenerKeys):
    """The keys of a `file` listener."""

    type: Literal["file"]
    path: Annotated[Paths, Field(min_length=1)]
    """Files to follow: `*`, `?` and `[…]` match within a name, `**` any number of directories."""
    exclude: Paths = ()
    """Of these, files to leave alone; a pattern without `/` is for the name alone."""
    start: Literal["begin", "end"] = "begin"
    """Where to begin in files that are there at the very first start; later ones: at the begin."""
    symlinks: bool = True
    """Follow symbolic links to files."""
    poll: Annotated[Duration, Field(ge=0.05, le=60)] = 0.25
    """How often to look for new lines and files."""
    linger: Annotated[Duration, Field(ge=0.1, le=86400)] = 5.0
    """How long a file that was rotated away must be quiet until it is done."""
    header: Literal["auto", "none"] = "auto"
    """Whether lines may have a syslog header of their own; "none": every line is text."""
    facility: Annotated[str, AfterValidator(_facility)] = "user"
    """Facility of lines without priority, by name or number."""
    severity: Annotated[str, AfterValidator(_severity)] = "notice"
    """Severity of lines without priority, by name or number."""
    program: Annotated[str, AfterValidator(_program)] | None = None
    """Program of lines without header; default: the file's name up to its first dot."""
    files_max: Annotated[int, Field(ge=1, le=1_000_000, strict=True)] = 10_000
    """Files followed at a time; further ones wait."""
    open_max: Annotated[int, Field(ge=1, le=100_000, strict=True)] = 256
    """Files open at a time; those quiet for longest are closed first."""

    @property
    def local(self) -> bool:
        return True

    @property
    def acknowledges(self) -> bool:
        return True

    def endpoints(self) -> Sequence[Endpoint]:
        return ()

    @property
    def rules(self) -> Rules:
        return Rules(
            patterns=tuple(map(os.path.abspath, self.path)),
            exclude=tuple(os.path.abspath(it) if "/" in it else it for it in self.exclude),
            from_end=self.start == "end",
            symlinks=self.symlinks,
            linger_seconds=self.linger,
            message_max=self.message_max,
            files_max=self.files_max,
            open_max=self.open_max,
        )

    def touches(self) -> Sequence[Touch]:
        roots = dict.fromkeys(root_of(pattern) for pattern in self.path)
        if self.symlinks and any(map(leads_away, self.path)):
            roots = {"/": None}  # where the next link leads is not known
        return tuple(Touch("read", root) for root in roots)

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Follow until the stop: what is not read by then is read by the next process."""
        if intake.account.files is None:
            intake.account.files = FileCounts()
        await intake.positions.load()
        known = {
            key: (it.read, it.repeating)
            for key, it in intake.positions.sources.items()
            if it.read is not None
        }
        follower = Follower(intake.host.log_files, self.rules, known)
        following = _Following(self, intake, follower, intake.account.files, Ready(task_status))
        try:
            await following.run()
        finally:
            following.give_up()
            follower.close()


@dataclass(slots=True, eq=False, repr=False)
class _Following:
    """Looks and reads in a thread; what comes of it is put here, in its order.

    Reading takes nothing away, so what was read and not put when this is cancelled is read again.
    """

    keys: FileListener
    intake: Intake
    follower: Follower
    counts: FileCounts
    ready: Ready
    waiting: deque[Step] = field(default_factory=deque)
    pause: trio.CancelScope = field(default_factory=trio.CancelScope)  # of what may end at once

    async def run(self) -> None:
        """Until the stop; a hop to a thread is not cancelled before the latest time for that."""
        async with trio.open_nursery() as nursery:
            with trio.CancelScope() as scope:
                nursery.start_soon(self._watch, scope)
                nursery.start_soon(self.ready.tell_after, READY_SECONDS_MAX)
                await self._follow()
                await self._end()
            self.ready.tell()  # ended before its first look did
            nursery.cancel_scope.cancel()

    async def _watch(self, scope: trio.CancelScope) -> None:
        await self.intake.draining.wait()
        self.pause.cancel()
        while True:
            scope.deadline = self.intake.drain_by[0]
            await trio.sleep(self.keys.poll)

    async def _follow(self) -> None:
        clock = self.intake.host.clock
        draining = self.intake.draining
        first = True
        while not draining.is_set():
            began = clock.now()
            await self._look()
            await self._take()
            if first:  # before anything is read: or a new process would have its first look again
                await self.intake.positions.save()
                first = False
            due = began + max(self.keys.poll, (clock.now() - began) / LOOK_SHARE)
            while not draining.is_set() and await self._read():
                if clock.now() >= due:
                    break
            wait = HASTY_SECONDS if self.follower.hasty else max(0.0, due - clock.now())
            with trio.move_on_after(wait) as self.pause:
                if not draining.is_set():
                    await trio.sleep_forever()
            await trio.lowlevel.checkpoint()

    async def _read(self, *, nameless: bool = False) -> bool:
        steps = await self.intake.host.log_files.hop(self.follower.read, nameless)
        self.waiting += steps
        await self._take()
        return bool(steps)

    async def _end(self) -> None:
        """Files that are deleted are read to their end: nobody finds them any more."""
        await self._look()
        if self.follower.nameless:
            await self._take()
            while await self._read(nameless=True):
                pass

    def give_up(self) -> None:
        """What is only in deleted files, and was not put, is lost."""
        for file in self.follower.nameless:
            put = self.intake.positions.source(file.source).read or {"offset": 0}
            unread = file.size - put["offset"]
            if unread > 0:
                text = f"{file.path} is gone: {unread} octets of it were never read"
                self._tell(Told("lost", text, octets=unread, error=True))
                self.intake.positions.forget(file.source)

    async def _look(self) -> None:
        now = self.intake.host.clock.now()
        self.waiting += await self.intake.host.log_files.hop(self.follower.look, now)
        self.ready.tell()  # whoever waits for us may rotate now: what is there is open
        self._count()

    async def _take(self) -> None:
        """Put what was read, and wait where a pipe that keeps has no room.

        Meanwhile files are looked after: one that is rotated has to be open before it is deleted.
        """
        while self.waiting:
            step = self.waiting[0]
            if isinstance(step, Read) and step.lines:
                with trio.move_on_after(self.keys.poll) as self.pause:
                    if self.intake.draining.is_set() and not self.follower.nameless:
                        return  # the next process reads it again
                    await self.intake.room()
                if self.pause.cancelled_caught:
                    await self._look()
                    continue
            self.waiting.popleft()
            self._apply(step)

    def _apply(self, step: Step) -> None:
        if isinstance(step, Read):
            self._put(step)
        elif isinstance(step, Forget):
            self.intake.positions.forget(step.key)
        else:
            self._tell(step)

    def _put(self, step: Read) -> None:
        account = self.intake.account
        if step.place is None:
            account.received_octets += step.octets
            return
        progress = self.intake.positions.source(step.key)
        progress.repeating = False  # from here on the place says it itself
        lines = step.lines if all(step.lines) else [line for line in step.lines if line]
        with progress.taking(step.place) as receipt:
            self._book(step, len(step.lines) - len(lines))
            if lines:
                messages = self._messages(lines, step.path)
                senders = ["local"] * len(messages)
                self.intake.put(messages, senders, octets=step.octets, framed=True, receipt=receipt)
            else:
                account.received_octets += step.octets

    def _book(self, step: Read, empty: int) -> None:
        account = self.intake.account
        account.frames.line += len(step.lines) - empty
        account.frames.empty += empty
        account.frames.truncated += step.truncated
        account.frames.truncated_octets += step.truncated_octets
        self.counts.unfinished += step.unfinished
        if step.repeats:
            account.repeats_possible += len(step.lines) - empty
        if empty:
            self.intake.refuse(empty, Refusal.EMPTY)

    def _messages(self, lines: Sequence[bytes], path: str) -> Sequence[bytes]:
        facility, severity = parse_facility(self.keys.facility), parse_severity(self.keys.severity)
        assert facility is not None
        assert severity is not None
        value = facility << 3 | severity
        host = self.intake.host
        program = self.keys.program or program_of(path)
        front = heading(value, host.clock.wall_ns(), host.name.encode(), program.encode())
        return headed(lines, value, front, as_text=self.keys.header == "none")

    def _tell(self, step: Told) -> None:
        if step.count == "failures":
            self.counts.failures[step.reason] += 1
        elif step.count == "lost":
            self.counts.lost += 1
            self.counts.lost_octets += step.octets
        elif step.count == "rotations":
            self.counts.rotations += 1
        else:
            self.counts.truncations += 1
        if step.text:
            level = logging.ERROR if step.error else logging.WARNING
            log.log(level, "listener %s: %s", self.intake.listener, step.text)

    def _count(self) -> None:
        files = self.follower.files.values()
        self.counts.followed = sum(not it.done for it in files)
        self.counts.open = sum(it.file is not None for it in files)
        self.counts.lag_octets = sum(it.lag for it in files)
