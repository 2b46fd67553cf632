"""A pipe's spool: the task between its channel and its store. All that touches the disk is hops."""

import errno
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import trio

from relay.core.backlog import Backlog, Lost, Segment
from relay.core.channel import Channel
from relay.core.queue import Entry
from relay.core.receipt import Receipt
from relay.spool.group import Written, commit_group, open_store, take_back, written_by
from relay.spool.patience import Patience
from relay.spool.recovery import Known
from relay.spool.store import Damaged, Store
from relay.system.ports import Directory, Disk

log = logging.getLogger("relay.spool")

T = TypeVar("T")

GROUP_OCTETS = 4 << 20  # of one commit; while it is synced the next group gathers
CURSOR_SECONDS = 1.0  # how old the cursor on disk may be
RETRY_SECONDS = 1.0  # after a fault of the disk, doubling
RETRY_SECONDS_MAX = 10.0
CLOSE_SECONDS_MAX = 0.5  # once the disk has been left behind: it may hang there, too
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(slots=True, eq=False, repr=False)
class Spool:
    """Writes what the channel wants written, in groups, and reads it back.

    Invariants: the store is used by one hop at a time; `ended` is set only when it is closed.
    """

    channel: Channel
    directory: Directory
    disk: Disk
    octets_max: int
    commit_seconds: float
    known: Callable[[], Known]  # of the process before; raises OSError where that has to wait
    take_lost: Callable[[int, bytes], int]  # of so many found in a store, what that held besides
    ending: bool = False
    ended: trio.Event = field(default_factory=trio.Event)
    _store: Store | None = None
    _turn: trio.Lock = field(default_factory=trio.Lock)
    _removed: bool = False  # somebody has taken the directory or a file away
    _suspect: bool = False  # what was written since the last commit may not be on disk
    _saved_head: int = -1
    _last_chance: bool = False  # the end has come: the disk that failed is tried once more
    _owed: Receipt | None = None  # the oldest that was owed when somebody looked last
    _retry_seconds: float = RETRY_SECONDS
    _opening: Patience = field(default_factory=Patience)
    _salvages: bool = False  # it is over: what cannot be read at the start is damage
    _reading: Patience = field(default_factory=Patience)

    async def run(self) -> None:
        """Serve the channel until `finish`, or until a spool that is switched off is empty."""
        while not self.ended.is_set():
            try:
                self._removed = False
                if await self._open():
                    while not self._is_over() and not self._removed:
                        await self._wait_for_work()
                        await self._commit()
                    if self._suspect:
                        await self._hop(take_back, self._store)
                    await self._save_cursor()
            finally:
                with trio.move_on_after(CLOSE_SECONDS_MAX, shield=True):
                    await self._close()
            if self.ending:
                self.ended.set()
            elif self._backlog.mode == "never" and not self._backlog.active:
                self.channel.backlog = None  # nobody has switched it on again, or spilled meanwhile
                self.channel.wake()
                self.ended.set()

    async def finish(self) -> None:
        """Write what is unwritten, save the cursor and close. Cancelled: what is done is done."""
        self.end_soon()
        await self.ended.wait()

    def end_soon(self) -> None:
        """Let `run` do no more than `finish` waits for."""
        self.ending = self._last_chance = True
        if self.channel.backlog is not None:
            self.channel.backlog.work.unpark_all()

    async def read(self, first: int, octets_max: int) -> Sequence[Entry | Lost]:
        """As `core.backlog.Spool`."""
        store = self._store
        if store is None:
            raise OSError("the spool is not open")
        try:
            found = await self._hop(store.read, first, octets_max)
        except FileNotFoundError:  # a segment was taken away: begin anew with what is there
            self._removed = True
            self._backlog.work.unpark_all()
            raise
        except OSError as exc:
            if not self._reading.is_over(exc, trio.current_time(), first):
                raise
            name = await self._hop(store.give_up, first)
            text = "spool of pipe %s: the disk works, and does not give all of %s"
            log.error(text, self.channel.account.name, name)  # noqa: TRY400 - no traceback
            found = await self._hop(store.read, first, octets_max)
        return [
            Lost(it.first, it.messages, it.what)
            if isinstance(it, Damaged)
            else Entry(it.first, it.batch)
            for it in found
        ]

    # -- the start

    async def _open(self) -> bool:
        """Open the store as soon as that is possible; False when the spool has ended before."""
        while not self.ending or self._last_chance:
            self._last_chance = False
            try:
                self._store = store = await self._hop(
                    open_store, self.directory, self.octets_max, self._known(), self._salvages
                )
            except OSError as exc:
                self._salvages = self._opening.is_over(exc, trio.current_time())
                await self._failed(exc)
                continue
            self._suspect = False
            self._salvages = False
            for line in store.report.lines():
                log.warning("spool of pipe %s: %s", self.channel.account.name, line)
            self._tell(store)
            self._note(written_by(store))
            self._recovered()
            await self._take_in(store)
            return True
        return False

    async def _take_in(self, store: Store) -> None:
        """Make what is on disk a part of the channel, if it is not yet."""
        spooling, messages = self.channel.spooling, store.report.messages
        if messages:
            await spooling.make_way()
        lost = self.take_lost(messages, store.identity)
        self._backlog.store = store.identity
        if self._backlog.ready:
            spooling.reopen(self)
            return
        spooling.open(
            self,
            settled=store.settled,
            end=store.next,
            holes=[Segment(first, end, 0) for first, end in store.holes],
            messages=messages,
            lost=lost,
        )
        if self.ending:
            spooling.spill()

    def _known(self) -> Known:
        """What the disk may not know: the channel does, once it has seen it."""
        known, backlog = self.known(), self._backlog
        if not backlog.ready:
            return known
        used = max(known.next, backlog.committed)
        return Known(used, self.channel.head, backlog.given_up, backlog.store, in_use=True)

    # -- writing

    async def _wait_for_work(self) -> None:
        backlog = self._backlog
        with trio.move_on_after(CURSOR_SECONDS):
            while not (backlog.unwritten or backlog.dropped or self.ending):
                await backlog.work.park()
        if not backlog.active and backlog.mode == "overflow" and self._owes_for_long():
            self.channel.spooling.spill()
        # Delivery does not wait for the commit; senders who want an answer do.
        with trio.move_on_after(self.commit_seconds):
            while backlog.unwritten and not (self._is_urgent() or self.ending):
                await backlog.work.park()

    def _owes_for_long(self) -> bool:
        """Whether a sender waits for an answer that the destination does not let us give.

        Memory does not fill up while it waits, so nothing else would bring the disk into play.
        """
        before, self._owed = self._owed, self.channel.debts.oldest
        return self._owed is not None and self._owed is before

    def _is_urgent(self) -> bool:
        """Somebody waits for the disk: a sender for its answer, or the channel for its memory."""
        enough = min(GROUP_OCTETS, self.channel.memory_max // 4)
        return bool(self.channel.debts) or self._backlog.unwritten_octets >= enough

    async def _commit(self) -> None:
        """Write one group. Cancelled: the hop ends, and its result is booked."""
        backlog, store = self._backlog, self._store
        assert store is not None
        self._last_chance = False
        group = self._group()
        head = self.channel.head
        dropped = list(backlog.dropped)
        if not group and not dropped and head == self._saved_head:
            return
        try:
            written = await self._hop(
                commit_group,
                store,
                group,
                head,
                dropped,
                backlog.committed if self._suspect else None,
            )
        except OSError as exc:
            self._tell(store)
            self._suspect = True
            self._removed = exc.errno == errno.ENOENT  # begin anew where it was
            await self._failed(exc, in_vain=bool(dropped))
            return
        self._tell(store)
        self._suspect = False
        self._saved_head = head
        self.channel.spooling.removed(len(dropped))
        self._note(written)
        has_helped = written.committed > backlog.committed
        if written.fault is None:
            self._recovered()
        self.channel.spooling.committed(written.committed, fails=written.fault is not None)
        if written.fault is not None:
            await self._failed(written.fault, in_vain=bool(dropped) and not has_helped)

    def _group(self) -> Sequence[Entry]:
        group: list[Entry] = []
        octets = 0
        for entry in self._backlog.unwritten:
            if group and octets + entry.batch.octets > GROUP_OCTETS:
                break
            group.append(entry)
            octets += entry.batch.octets
        return group

    def _note(self, written: Written) -> None:
        gone = {segment.first for segment in self._backlog.dropped}
        self._backlog.segments = [it for it in written.segments if it.first not in gone]
        self._backlog.octets = sum(it.octets for it in self._backlog.segments)

    def _tell(self, store: Store) -> None:
        for line in store.told:
            log.warning("spool of pipe %s: %s", self.channel.account.name, line)
        store.told.clear()

    async def _failed(self, fault: OSError, *, in_vain: bool = True) -> None:
        """Say so and wait; for what is dropped to make room no longer, unless that was `in_vain`.

        So where somebody else fills the disk, one segment goes with each attempt, and no more.
        """
        reason = fault.strerror or str(fault)
        if not self._backlog.failing:
            text = "spool of pipe %s fails, going on from memory: %s"
            if self.channel.orphan:
                text = "spool of pipe %s cannot be opened, and there is no such pipe: %s"
            log.error(text, self.channel.account.name, reason)
        self.channel.spooling.failed(reason, no_room=fault.errno in NO_ROOM)
        if self.ending:
            return
        with trio.move_on_after(self._retry_seconds):
            while not (self.ending or (self._backlog.dropped and not in_vain)):
                await self._backlog.work.park()
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS_MAX)

    def _recovered(self) -> None:
        if self._backlog.failing:
            log.info("spool of pipe %s works again", self.channel.account.name)
        self._retry_seconds = RETRY_SECONDS

    # -- the end

    def _is_over(self) -> bool:
        backlog = self._backlog
        if self.ending:
            done = not (backlog.unwritten or backlog.dropped)
            return done or bool(backlog.failing and not self._last_chance)
        return backlog.mode == "never" and not backlog.active

    async def _save_cursor(self) -> None:
        store = self._store
        assert store is not None
        store.settle(self.channel.head)
        try:
            await self._hop(lambda: store.save_cursor(sync=True))
        except OSError as exc:
            log.warning("spool of pipe %s: cursor cannot be saved, messages may come twice: %s",
                        self.channel.account.name, exc.strerror or exc)  # fmt: skip

    async def _close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            await self._hop(store.close)

    async def _hop(self, function: Callable[..., T], *args: object) -> T:
        async with self._turn:
            return await self.disk.work(function, *args)

    @property
    def _backlog(self) -> Backlog:
        backlog = self.channel.backlog
        assert backlog is not None
        return backlog
