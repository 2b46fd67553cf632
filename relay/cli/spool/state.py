"""A state directory from outside: its spools and its crash page, looked at or changed."""

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from relay.cli.failure import Failure
from relay.core.account import PipeAccount
from relay.spool.page import NO_STORE, CrashPage
from relay.spool.rewinding import rewind
from relay.spool.salvage import Salvaging
from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from relay.system.drop_counts import boot_id
from relay.system.flock import is_held
from relay.system.owner import become_owner
from relay.system.page_file import SystemPageFile
from relay.system.ports import Directory
from relay.system.snapshot import SnapshotDirectory
from relay.system.spool_paths import spool_names, spool_path

OCTETS_MAX = 1 << 50  # who only looks has no limit, and neither has who makes it smaller
PAGE_OCTETS_MAX = 16 << 20
LOOKS_MAX = 5  # at a spool whose segments go while they are looked at


@dataclass(frozen=True, slots=True)
class CopiedPage:
    """The crash page as it is now, for whoever only looks."""

    content: bytes

    def read(self) -> bytes:
        return self.content

    def write(self, offset: int, data: bytes) -> None:
        pass  # the file stays as it is


@dataclass(frozen=True)
class State:
    """`pipes` are those configured; None: not known."""

    path: str
    pipes: Collection[str] | None = None

    def spools(self) -> Sequence[str]:
        return spool_names(self.path)

    def is_in_use(self, pipe: str) -> bool:
        return is_held(os.path.join(spool_path(self.path, pipe), "lock"))

    def is_orphan(self, pipe: str) -> bool:
        return self.pipes is not None and pipe not in self.pipes

    def need(self, pipe: str) -> None:
        """Raises `Failure` when there is no such spool."""
        if pipe not in self.spools():
            known = ", ".join(self.spools()) or "none"
            raise Failure(
                f"no spool of pipe {pipe} in {os.path.abspath(self.path)} (there: {known})"
            )

    @contextmanager
    def look(self, pipe: str) -> Iterator[Store]:
        """The spool as a start would find it now. Nothing on disk changes.

        Raises:
            Failure: it cannot be read.
        """
        self.need(pipe)
        store = self._snapshot(pipe, LOOKS_MAX)
        try:
            yield store
        finally:
            store.close()

    @contextmanager
    def change(self) -> Iterator["Change"]:
        """Hold the state directory, which no relay may use meanwhile.

        Raises:
            Failure: a relay is running there, or it cannot be held.
        """
        with self.held() as file:
            yield Change(self, CrashPage(file, self.boot))

    @contextmanager
    def held(self) -> Iterator[SystemPageFile]:
        """Hold the state directory and change nothing. Raises as `change`."""
        assert self.boot  # known before we are another user, who may read less
        try:
            become_owner(os.path.join(self.path, "spool"))
            file = SystemPageFile.open(self.path)
        except BlockingIOError as exc:
            where = os.path.abspath(self.path)
            raise Failure(f"a relay is running with {where}: stop it first") from exc
        except OSError as exc:
            raise Failure(f"{self.path}: {(exc.strerror or str(exc)).lower()}") from exc
        try:
            yield file
        finally:
            file.close()

    def forget_page(self) -> None:
        """Read it again when it is needed next."""
        vars(self).pop("page", None)

    @cached_property
    def page(self) -> CrashPage:
        """What the crash page says at this moment; nothing where it cannot be read."""
        try:
            content = _regular(os.path.join(self.path, "crash-page"))
        except OSError:
            content = b""
        return CrashPage(CopiedPage(content), self.boot)

    @cached_property
    def boot(self) -> str:
        return boot_id()

    def _snapshot(self, pipe: str, looks: int) -> Store:
        """Look again when a segment goes while it is looked at: a relay delivers."""
        try:
            directory = SnapshotDirectory(spool_path(self.path, pipe))
            return open_store(self.page, pipe, Salvaging(directory))
        except FileNotFoundError as exc:
            if looks > 1:
                return self._snapshot(pipe, looks - 1)
            raise _failed(pipe, exc) from exc
        except OSError as exc:
            raise _failed(pipe, exc) from exc


@dataclass(frozen=True, slots=True)
class Change:
    """Changes spools while no relay runs; the crash page says the same afterwards."""

    state: State
    page: CrashPage
    lost: dict[str, int] = field(default_factory=dict)  # what a crash has cost, by pipe

    @contextmanager
    def spool(self, pipe: str, octets_max: int = OCTETS_MAX) -> Iterator[Store]:
        """The spool, to be changed; what is done to it lasts when this is left without a fault.

        Raises:
            Failure: another process has it, or the disk fails.
        """
        self.state.need(pipe)
        try:
            store = open_store(self.page, pipe, SystemDirectory(spool_path(self.state.path, pipe)),
                               octets_max)  # fmt: skip
        except OSError as exc:
            raise _failed(pipe, exc) from exc
        self._take(pipe, store.report.messages, store.identity)
        try:
            yield store
            store.save_cursor(sync=True)
            held = store.messages(store.settled, store.next)
            self._write(pipe, held, store.settled, store.next)
        except OSError as exc:
            raise _failed(pipe, exc) from exc
        finally:
            store.close()

    def rewind(self, pipe: str, first: int) -> int:
        """Have what has left from this number on delivered again; returns how many messages.

        Raises:
            Failure: another process has the spool, or the disk fails.
        """
        self.state.need(pipe)
        directory = SystemDirectory(spool_path(self.state.path, pipe))
        try:
            done = rewind(directory, first, known=self.page.known(pipe))
        except OSError as exc:
            raise _failed(pipe, exc) from exc
        self._take(pipe, done.held, done.store)
        self._write(pipe, done.held + done.messages, done.first, done.next)
        return done.messages

    def give_up(self, pipe: str, store: Store, next_number: int) -> None:
        """What its spool gets from now on below this number is not delivered, if we end here."""
        held = store.messages(store.settled, store.next)
        self._write(pipe, held, store.settled, next_number, end=store.next)

    def disown(self, pipe: str, next_number: int) -> None:
        """Nothing is said of the spool of this pipe any more: it goes to another one."""
        self._take(pipe, 0, NO_STORE)
        self._write(pipe, 0, next_number, next_number)

    def adopt(self, pipe: str, identity: bytes, *, held: int, head: int, next_number: int) -> None:
        """This pipe has the spool that has this name now, instead of its own."""
        self._take(pipe, 0, identity)
        self._write(pipe, held, head, next_number)

    def _take(self, pipe: str, found: int, identity: bytes) -> None:
        lost = self.page.take_lost(pipe, found, identity)
        self.lost.setdefault(pipe, lost)

    def _write(
        self, pipe: str, held: int, head: int, next_number: int, end: int | None = None
    ) -> None:
        """What the next start will take for the book of the process before it."""
        lost = self.lost[pipe]
        self.page.slot(pipe).write(
            PipeAccount(pipe, received=held + lost),
            next_number=next_number,
            head=head,
            at_risk=lost,
            end=end,
        )
        if self.page.is_broken:
            raise Failure(f"{self.state.path}: the crash page cannot be written")


def _regular(path: str) -> bytes:
    """The content of a file that is one: no link is followed, no pipe waited for."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(number, "rb") as file:
        return file.read(PAGE_OCTETS_MAX) if stat.S_ISREG(os.fstat(number).st_mode) else b""


def open_store(
    page: CrashPage, pipe: str, directory: Directory, octets_max: int = OCTETS_MAX
) -> Store:
    """As a start opens it. Raises `OSError`: see `Store.open`."""
    return Store.open(directory, octets_max=octets_max, known=page.known(pipe))


def _failed(pipe: str, fault: OSError) -> Failure:
    if isinstance(fault, BlockingIOError):
        return Failure(f"spool of pipe {pipe} is in use by another process")
    return Failure(f"spool of pipe {pipe}: {(fault.strerror or str(fault)).lower()}")
