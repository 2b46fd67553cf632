"""The journal of systemd, read with its cursor."""

import importlib.util
import logging
from collections.abc import Sequence
from typing import Annotated, Literal, cast

import trio
from pydantic import BeforeValidator, Field
from trio_typing import TaskStatus

from relay.core.account import Refusal
from relay.core.batch import TURN_OCTETS
from relay.core.component import ListenerKeys
from relay.core.intake import Intake
from relay.core.position import Progress
from relay.core.values import Path, listed, or_one
from relay.system.ports import Endpoint, Journal, JournalTurn, Socket, Touch
from relay.wire.journal import message, missing

log = logging.getLogger("relay.listener")

TURN_ENTRIES = 512  # 11 us each to read, with ten fields; 3 to make a message of it
NEWS_SECONDS_MAX = 1.0  # where the file system tells nothing: a look each second
WAITED_SECONDS_MAX = 1.0  # then it is looked whether the entry read last is still there
RETRY_SECONDS = 5.0
SOURCE = "journal"


def is_installed() -> bool:
    """Whether there is systemd-python, which reads the journal."""
    try:
        return importlib.util.find_spec("systemd.journal") is not None
    except ImportError:
        return False


class JournalListener(ListenerKeys):
    """The keys of a `journal` listener."""

    type: Literal["journal"]
    path: Path = "system"
    """A directory of journal files; "system": the host's own journal."""
    units: Annotated[tuple[str, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)] = ()
    """Units such as "sshd.service" whose entries are read; default: every entry."""
    start: Literal["resume", "boot", "now"] = "resume"
    """Where to begin: where Relay left off, with the first entry of this boot, or the next."""

    @property
    def local(self) -> bool:
        return False  # every entry has its host, and facility kern is looked at there

    @property
    def acknowledges(self) -> bool:
        # Nobody is told, but the position moves as if somebody was. Of what the next process will
        # not go back for, a crash is to be counted.
        return self.start == "resume"

    def touches(self) -> Sequence[Touch]:
        return () if self.path == "system" else (Touch("read", self.path),)

    def lacking(self) -> str | None:
        if is_installed():
            return None
        return "needs systemd-python, which is not installed (pip install syslog-relay[journal])"

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("journal", self.path, units=self.units)]

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        if not sockets:  # as with every listener; there is always one
            await intake.draining.wait()
            return
        journal = cast("Journal", sockets[0])
        with trio.CancelScope() as receiving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_receive, journal, intake, self, task_status)
                await intake.draining.wait()
                receiving.cancel()
        # What is not read now is still in the journal, and there the next process goes on.


async def _receive(
    journal: Journal, intake: Intake, keys: JournalListener, task_status: TaskStatus[None]
) -> None:
    told = ""
    tried = False

    def started() -> None:
        nonlocal tried
        if not tried:
            task_status.started()
        tried = True

    while True:
        try:
            gone = await _begin(journal, intake, keys.start)
            started()
            told = ""
            await _read_on(journal, intake, None if keys.units else gone)
            continue
        except OSError as exc:
            if str(exc) != told:
                log.error("listener %s cannot read the journal: %s",  # noqa: TRY400
                          intake.listener, exc)  # fmt: skip
            told = str(exc)
            started()  # as ready as it can be
        await trio.sleep(RETRY_SECONDS)


async def _begin(journal: Journal, intake: Intake, start: str) -> str | None:
    """Seek where an earlier run in this process stopped, else where the key `start` says.

    Returns the cursor of the entry that was read last, if that is no longer there.
    """
    await intake.positions.load()
    progress = intake.positions.source(SOURCE)
    cursor = (progress.read or {}).get("cursor")
    if isinstance(cursor, str) and (start == "resume" or not progress.recalled):
        return None if await journal.seek_cursor(cursor) else cursor
    if start != "now":
        progress.repeating &= start == "resume"
        await journal.seek_boot()
    elif cursor := await journal.seek_end():
        progress.start_at({"cursor": cursor})
    return None


async def _read_on(journal: Journal, intake: Intake, gone: str | None) -> None:
    """Read and put, until it had to wait so long that entries may have been vacuumed meanwhile."""
    progress = intake.positions.source(SOURCE)
    clock = intake.host.clock
    while True:
        began = clock.now()
        await intake.room()
        if clock.now() - began > WAITED_SECONDS_MAX and progress.read:
            return
        turn = await journal.read(TURN_ENTRIES, TURN_OCTETS)
        if gone and turn.entries:
            _count_missing(gone, turn.entries[0].cursor, intake)
            gone = None
        _put(turn, intake, progress)
        if turn.ended:
            progress.repeating = False
            await journal.news(NEWS_SECONDS_MAX)


def _count_missing(gone: str, next_cursor: str, intake: Intake) -> None:
    """What was vacuumed before it was read."""
    number = missing(gone, next_cursor)
    if number is None:
        log.error("listener %s: the journal is another one, what the old one had is not read",
                  intake.listener)  # fmt: skip
    elif number:
        intake.router.ledger.removed(intake.account, number)


def _put(turn: JournalTurn, intake: Intake, progress: Progress) -> None:
    """Cancelled between the read and this, nothing is lost: the position has not moved."""
    if turn.damaged:
        intake.refuse(turn.damaged, Refusal.DAMAGED)
        log.error("listener %s: %d entries of the journal are damaged",
                  intake.listener, turn.damaged)  # fmt: skip
    if not turn.entries:
        return
    host = intake.host.name.encode()
    messages = [message(it.fields, it.usec, host) for it in turn.entries]
    octets = sum(len(it.fields.get("MESSAGE", b"")) for it in turn.entries)
    if progress.repeating:
        intake.account.repeats_possible += len(messages)
    with progress.taking({"cursor": turn.entries[-1].cursor}) as receipt:
        paid = receipt if intake.acknowledges else None
        intake.put(messages, ["local"] * len(messages), octets=octets, receipt=paid)
