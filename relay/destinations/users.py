"""Messages to the terminals of those who are logged in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Literal, NoReturn

import trio
from pydantic import AfterValidator, BeforeValidator, Field
from trio_typing import TaskStatus

from relay.core.account import Confirmation, Drop
from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.core.values import Duration, Word, listed, or_one
from relay.destinations.session import all_formatted, plain, wait_for_room
from relay.destinations.terminals import Note, Screen
from relay.system.ports import Login, Touch
from relay.wire.escape import escape_text
from relay.wire.priority import priorities
from relay.wire.timestamp import rfc3339

EVERYBODY = "*"
LEND_MESSAGES = 64  # that is more than anybody reads at once
END = b"\r\n"


def _check_users(users: tuple[str, ...]) -> tuple[str, ...]:
    if EVERYBODY in users and len(users) > 1:
        raise ValueError('"*" is everybody; no other name stands beside it')
    return users


class UsersDestination(DestinationKeys):
    """The keys of a `users` destination."""

    type: Literal["users"]
    users: Annotated[
        tuple[Word, ...],
        BeforeValidator(listed),
        Field(min_length=1, json_schema_extra=or_one),
        AfterValidator(_check_users),
    ]
    """Names of users; "*": everybody, with a line in front that says whom it is from."""
    wait_max: Annotated[Duration, Field(ge=0.1, le=86400)] = 10.0
    """How long a terminal may take nothing before what it was to show is given up."""

    def touches(self) -> Sequence[Touch]:
        places = ("/dev/pts", "/dev/tty*", "/dev/hvc*", "/dev/console")
        return tuple(Touch("device", place, "type") for place in places)

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        await _logins(outlet)
        task_status.started()
        down: DestinationDown | None = None
        async with trio.open_nursery() as nursery:
            try:
                await self._tell_lent(lease, outlet, nursery)
            except DestinationDown as fault:
                down = fault  # the nursery would wrap it in a group
            nursery.cancel_scope.cancel()
        if down is not None:
            raise down

    async def _tell_lent(self, lease: Lease, outlet: Outlet, nursery: trio.Nursery) -> NoReturn:
        screens: dict[str, Screen] = {}
        news = trio.lowlevel.ParkingLot()
        while True:
            batches = await lease.lend(LEND_MESSAGES)
            texts = escape_text(all_formatted(batches, outlet.form(self.format)))
            levels = priorities([message for batch in batches for message in batch.messages])
            notes = [
                Note(text + END, urgent=level % 8 == 0)
                for text, level in zip(texts, levels, strict=True)
            ]
            for login in await _logins(outlet):
                if not {EVERYBODY, login.user}.isdisjoint(self.users):
                    screen = screens.setdefault(login.terminal, self._screen(login, outlet, news))
                    screen.login = login
                    screen.add(notes)
            screens = {path: it for path, it in screens.items() if it.waiting or it.busy}
            for screen in screens.values():
                if not screen.busy:
                    screen.busy = True
                    nursery.start_soon(screen.show, outlet.host.local)
            await _Telling(notes, lease, outlet, self.wait_max, news).decide()

    def _screen(self, login: Login, outlet: Outlet, news: trio.lowlevel.ParkingLot) -> Screen:
        greeting = partial(_greeting, outlet) if EVERYBODY in self.users else bytes
        return Screen(login, greeting, self.wait_max, outlet.account, news)


@dataclass(slots=True, eq=False, repr=False)
class _Telling:
    """The notes of what is lent, until of each is known what has become of it."""

    notes: Sequence[Note]
    lease: Lease
    outlet: Outlet
    wait_max: float
    news: trio.lowlevel.ParkingLot
    gone: int = field(default=0)  # settled or refused

    async def decide(self) -> None:
        """Wait, then settle or refuse them. Cancelled: what was seen is settled.

        Raises:
            DestinationDown: no terminal can be written to.
        """
        try:
            await wait_for_room(self, self.outlet.health)
        finally:
            fault = self._settle()
        if fault:
            raise DestinationDown(fault)

    async def writable(self) -> None:
        """Wait until of all of them is known whether somebody has seen them."""
        await trio.lowlevel.checkpoint()
        while not all(note.decided for note in self.notes):
            await self.news.park()

    def _settle(self) -> str:
        """Settle or refuse those of which it is known, oldest first; returns why not more."""
        account = self.outlet.account
        for note in self.notes:
            if not note.decided:
                break
            self.outlet.health.stalled = note.overdue and not note.seen
            if note.overdue and not note.seen:
                if self.lease.owes:
                    return f"no terminal took anything for {self.wait_max:g} s"
                why = f"no terminal took it within {self.wait_max:g} s"
                self.lease.refuse(1, Drop.EXPIRED, why)
            elif note.fault and not note.seen:
                return note.fault
            else:
                account.unseen += not note.seen
                self.lease.settle(1, Confirmation.SENT)
        return ""


async def _logins(outlet: Outlet) -> Sequence[Login]:
    try:
        return await outlet.host.local.logins()
    except OSError as fault:
        reason = plain(fault.strerror or str(fault))
        raise DestinationDown(
            f"who is logged in is not known: {fault.filename}: {reason}"
        ) from fault


def _greeting(outlet: Outlet) -> bytes:
    """As wall(1): a bell, whom it is from, and when."""
    now = rfc3339(outlet.host.clock.wall_ns(), 0)
    return b"\r\n\aMessage from relay@%b at %b ...\r\n" % (outlet.host.name.encode(), now)
