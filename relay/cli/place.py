"""Where the spools are that a command is about, and what it may do there."""

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from relay.cli.failure import Failure, Mistake
from relay.spool.inspection import Inspection, Item
from relay.spool.page import CrashPage
from relay.system.directory_view import DirectoryView
from relay.system.drop_counts import boot_id
from relay.system.lock_table import lock_holder
from relay.system.owner import become_owner
from relay.system.page_file import PageView, SystemPageFile
from relay.system.spools import spool_names, spool_path

if TYPE_CHECKING:
    from relay.config import Config


@dataclass(frozen=True, slots=True)
class Place:
    """A state directory, and the pipes that the configuration knows; None: nobody has said."""

    state_dir: str
    configured: Collection[str] | None

    @classmethod
    def of(cls, config: str, state_dir: str | None) -> Self:
        """The one that is named, or that of a configuration.

        Raises:
            Failure: the configuration is invalid, or there is no such directory.
        """
        if state_dir is None:
            from relay.cli.configuration import load_or_fail

            return cls.configured_by(load_or_fail(config))
        if not os.path.isdir(state_dir):
            raise Mistake(f"{state_dir} is not a directory")
        return cls(os.path.abspath(state_dir), None)

    @classmethod
    def configured_by(cls, config: "Config") -> Self:
        return cls(os.path.abspath(config.relay.state_dir), config.pipes)

    def names(self) -> Sequence[str]:
        """The pipes that have a spool here.

        Raises:
            Failure: that cannot be seen.
        """
        with failing(os.path.join(self.state_dir, "spool")):
            return spool_names(self.state_dir)

    def path(self, pipe: str) -> str:
        """Where the spool of a pipe is.

        Raises:
            Failure: there is none.
        """
        names = self.names()
        if pipe not in names:
            there = f" (there are: {', '.join(names)})" if names else ""
            raise Failure(f"no spool of pipe {pipe!r} in {self.state_dir}{there}")
        return spool_path(self.state_dir, pipe)

    def is_orphan(self, pipe: str) -> bool:
        return self.configured is not None and pipe not in self.configured

    def holder(self, pipe: str) -> int | None:
        """The process that has this spool."""
        return lock_holder(os.path.join(self.path(pipe), "lock"))

    @contextlib.contextmanager
    def view(self, pipe: str) -> Iterator[tuple[Inspection, DirectoryView]]:
        """Look at a spool, whatever a relay does with it meanwhile.

        Raises:
            Failure: there is none, or it cannot be read.
        """
        directory = DirectoryView(self.path(pipe))
        with contextlib.ExitStack() as stack:
            with failing(_spool(pipe)):
                directory.open()
                stack.callback(directory.close)
                page = CrashPage(PageView(self.state_dir), boot_id(), begin=False)
                record = page.believed().get(pipe)
                inspection = Inspection(directory, settled_min=record.head if record else 0)
                stack.callback(inspection.close)
            yield inspection, directory

    @contextlib.contextmanager
    def stopped(self) -> Iterator[CrashPage]:
        """Keep every relay off this directory, and work on its crash page.

        Raises:
            Failure: one is running, or the page cannot be opened.
        """
        with failing(self.state_dir):
            become_owner(os.path.join(self.state_dir, "spool"))
            try:
                file = SystemPageFile.open(self.state_dir)
            except BlockingIOError as exc:
                raise Failure(f"a relay runs on {self.state_dir}: stop it first") from exc
            try:
                yield CrashPage(file, boot_id(), begin=False)
            finally:
                file.close()


def reading(pipe: str, items: Iterator[Item]) -> Iterator[Item]:
    """These items; that a disk cannot be read ends the command, and nothing else that fails does.

    Raises:
        Failure: it cannot be read.
    """
    with failing(_spool(pipe)):
        yield from items


@contextlib.contextmanager
def failing(what: str) -> Iterator[None]:
    """A disk that fails ends the command with one line."""
    try:
        yield
    except BrokenPipeError:
        raise  # of our output: see `Program`
    except OSError as exc:
        raise Failure(f"{what}: {(exc.strerror or str(exc)).lower()}") from exc


def _spool(pipe: str) -> str:
    return f"spool of pipe {pipe}"
