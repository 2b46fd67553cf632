"""Messages to a program's standard input, one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, NoReturn

import trio
from pydantic import Field
from trio_typing import TaskStatus

from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Word
from relay.destinations.lines import LineSession, Manner, Turn
from relay.destinations.session import plain, work_watched
from relay.system.ports import Program
from relay.wire.escape import escape_text

# A program that we end has so long to end by itself when it has read all, and again after SIGTERM.
END_SECONDS_MAX = 1.0


class ProgramDestination(DestinationKeys):
    """The keys of a `program` destination."""

    type: Literal["program"]
    command: Annotated[tuple[Word, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them. A name without `/` is found in `PATH`."""

    @property
    def commands(self) -> Sequence[tuple[str, ...]]:
        return (self.command,)

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        name = self.command[0]
        try:
            program = await outlet.host.local.start(self.command)
        except OSError as fault:
            raise DestinationDown(f"{name}: {plain(fault.strerror or str(fault))}") from fault
        session = LineSession(
            program.stdin, lease, outlet, Manner(outlet.form(self.format)), Turn()
        )
        feeding = _Feeding(program, session, lease)
        try:
            task_status.started()
            await work_watched(feeding.send_lent, program.ended, session.follow)
        except DestinationDown as down:
            reason = await feeding.reason(str(down))
            raise DestinationDown(f"{name}: {reason}") from down
        finally:
            with trio.CancelScope(shield=True):  # each of its waits has a limit
                await feeding.end()


@dataclass(frozen=True, slots=True)
class _Feeding:
    """A program that runs, and what it is given."""

    program: Program
    session: LineSession
    lease: Lease

    async def send_lent(self) -> NoReturn:
        while True:
            await self.session.send(await self.lease.lend())

    async def reason(self, known: str) -> str:
        """Why it takes no more: how it has ended, if it has; and what it has not read."""
        with trio.move_on_after(END_SECONDS_MAX):
            known = await self.program.ended()
        self.session.look()
        unread = self.session.unread
        again = f", {unread} messages come again" if unread else ""
        return escape_text([known.encode("utf-8", "replace")])[0].decode() + again

    async def end(self) -> None:
        """Let it read what it has, and end by itself; or else make it."""
        await self.session.read_out()
        stdin = self.program.stdin
        has_all = not self.session.unread
        if has_all:
            await stdin.close()  # the end of its input
        if not (has_all and await self._ended()):
            self.program.kill(hard=False)
        if not await self._ended():
            self.program.kill(hard=True)
            await self._ended()
        if not has_all:
            self.session.look()  # a last time, before the pipe is gone
            await stdin.close()

    async def _ended(self) -> bool:
        with trio.move_on_after(END_SECONDS_MAX):
            await self.program.ended()
            return True
        return False
