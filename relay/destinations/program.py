"""Messages to a program's standard input, one line each."""

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

READ_SECONDS_MAX = 1.0  # a program that we end has so long to read what it was given,
END_SECONDS_MAX = 1.0  # and so long again to end by itself, after SIGTERM, and after SIGKILL
PAUSE_SECONDS = 0.01  # between two looks at what it has read


class ProgramDestination(DestinationKeys):
    """The keys of a `program` destination."""

    type: Literal["program"]
    command: Annotated[tuple[Word, ...], Field(min_length=1)]
    """The program and its arguments; no shell reads them. A name without `/` is found in `PATH`."""

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
            await work_watched(feeding.send_lent, program.ended)
        except DestinationDown as down:
            reason = await feeding.reason(str(down))
            raise DestinationDown(f"{name}: {reason}{session.take_stock()}") from down
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
        """Why it takes no more: how it has ended, if it has."""
        with trio.move_on_after(END_SECONDS_MAX):
            known = await self.program.ended()
        return escape_text([known.encode("utf-8", "replace")])[0].decode()

    async def end(self) -> None:
        """Let it read what it has, and end by itself; or else make it."""
        with trio.move_on_after(READ_SECONDS_MAX):
            await self._read()
        if not self.program.stdin.unread():
            await self.program.stdin.close()  # the end of its input
            if await self._ended():
                return
        self.program.kill(hard=False)
        if not await self._ended():
            self.program.kill(hard=True)
            await self._ended()
        self.session.take_stock()
        await self.program.stdin.close()

    async def _read(self) -> None:
        stdin = self.program.stdin
        while stdin.unread() and not stdin.hung_up():  # noqa: ASYNC110 - the kernel tells nobody
            await trio.sleep(PAUSE_SECONDS)

    async def _ended(self) -> bool:
        with trio.move_on_after(END_SECONDS_MAX):
            await self.program.ended()
            return True
        return False
