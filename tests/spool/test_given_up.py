"""What a stop books as dropped comes to no second book, although it may be on disk."""

import errno
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
import trio
import trio.testing

from relay.core.account import Drop
from relay.core.backlog import Backlog
from relay.core.bounds import Bounds
from relay.core.channel import Channel
from relay.spool.page import CrashPage
from relay.spool.spool import Spool
from relay.spool.store import Store
from tests.core.parts import check, make_channel, numbered
from tests.spool.parts import FakeDirectory
from tests.spool.test_page import Memory
from tests.spool.test_spool import InlineDisk, take

T = TypeVar("T")


class HungDisk(InlineDisk):
    """Commits hang in their threads, and end when nobody waits for them any more."""

    async def work(self, function: Callable[..., T], *args: object) -> T:
        if function.__name__ == "commit_group":
            try:
                await trio.sleep_forever()
            finally:
                function(*args)
        return await super().work(function, *args)


class KilledDisk(InlineDisk):
    """The process ends when a commit is durable, before anybody hears of it."""

    async def work(self, function: Callable[..., T], *args: object) -> T:
        found = await super().work(function, *args)
        if function.__name__ == "commit_group":
            await trio.sleep_forever()
        return found


@dataclass(eq=False)
class Host:
    """One directory and one crash page, for process after process."""

    directory: FakeDirectory = field(default_factory=FakeDirectory)
    page: Memory = field(default_factory=Memory)
    channel: Channel = field(init=False)
    spool: Spool = field(init=False)

    def start(self) -> Channel:
        """The channel of a new process."""
        self.directory = self.directory.kill()
        self.book = CrashPage(self.page, "boot")
        self.channel = make_channel(Bounds(messages=10, memory=1 << 20))
        first = self.book.known("siem").next
        self.channel.next = first
        self.channel.record = self.book.slot("siem")
        self.give_spool()
        return self.channel

    def give_spool(self, disk: InlineDisk | None = None) -> None:
        if self.channel.backlog is None:
            self.channel.backlog = Backlog("always", 1 << 20)
        self.spool = Spool(
            self.channel, self.directory, disk or InlineDisk(), 1 << 20, 0.02,
            known=lambda: self.book.known("siem"),
            take_lost=lambda found, store: self.book.take_lost("siem", found, store),
        )  # fmt: skip

    @asynccontextmanager
    async def running(self, *, finish: bool = True) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.spool.run)
            await trio.testing.wait_all_tasks_blocked()
            yield
            with trio.move_on_after(1):
                if finish:
                    await self.spool.finish()
            nursery.cancel_scope.cancel()
        check(self.channel)

    def fail(self, *kinds: str) -> None:
        def fault(kind: str, name: str) -> None:
            if kind in kinds and not name.endswith("cursor"):
                raise OSError(errno.EIO, "Input/output error")

        self.directory.fault = fault

    def on_disk(self) -> int:
        """How many messages somebody finds who does not know the page."""
        return Store.open(self.directory.kill(), octets_max=1 << 20).report.messages

    async def next_process(self) -> tuple[list[int], dict[Drop, int]]:
        """What it delivers, and what it drops."""
        self.start()
        async with self.running():
            found = await take(self.channel)
            return found, {reason: n for reason, n in self.channel.account.dropped.items() if n}


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.mark.parametrize("kinds", [("sync",), ("sync", "truncate", "unlink")])
async def test_a_sync_that_fails_at_the_stop(
    kinds: tuple[str, ...], autojump_clock: trio.testing.MockClock, host: Host
) -> None:
    """The frames are written; whether they can be taken back again or not."""
    channel = host.start()
    async with host.running():
        channel.put(numbered(0, 5))
        await trio.sleep(1)
        host.fail(*kinds)
        channel.put(numbered(5, 8))
        await trio.sleep(1)
    assert channel.drop_all(Drop.SHUTDOWN) == 3
    check(channel)
    host.directory.fault = lambda *_: None
    assert host.on_disk() == (8 if "truncate" in kinds else 5)
    assert await host.next_process() == ([*range(5)], {})
    assert await host.next_process() == ([], {})


async def test_a_thread_that_ends_after_the_deadline(
    autojump_clock: trio.testing.MockClock, host: Host
) -> None:
    """It makes all of it durable, and says so in the cursor."""
    channel = host.start()
    async with host.running():
        channel.put(numbered(0, 5))
    host.give_spool(HungDisk())
    async with host.running():
        channel.put(numbered(5, 8))
        await trio.sleep(1)
    assert channel.drop_all(Drop.SHUTDOWN) == 3
    assert host.on_disk() == 8
    assert await host.next_process() == ([*range(5)], {})
    assert await host.next_process() == ([], {})


async def test_a_pipe_that_comes_back_after_it_was_given_up(
    autojump_clock: trio.testing.MockClock, host: Host
) -> None:
    """What it takes then has other numbers, and is found after a crash, however soon."""
    channel = host.start()
    async with host.running():
        channel.put(numbered(0, 2))
        await trio.sleep(1)
        host.fail("sync", "truncate", "unlink")
        channel.put(numbered(2, 5))
        await trio.sleep(1)
    assert channel.drop_all(Drop.REMOVED) == 3
    channel.closing = None
    host.directory.fault = lambda *_: None
    channel.put(numbered(5, 9))
    host.give_spool(KilledDisk())
    async with host.running(finish=False):
        await trio.sleep(1)
    assert await host.next_process() == ([0, 1, *range(5, 9)], {})


async def test_another_spool_that_is_put_in_the_place_of_one_in_use_is_left_alone(
    autojump_clock: trio.testing.MockClock, host: Host
) -> None:
    """Its numbers mean other messages; the next start delivers them."""
    other = Host(FakeDirectory(identities=7))
    other.start()
    async with other.running():
        other.channel.put(numbered(100, 103))
    channel = host.start()
    async with host.running(finish=False):
        channel.put(numbered(0, 5))
        assert await take(channel) == [*range(5)]

        def removed(kind: str, name: str) -> None:
            if kind == "sync" and name.endswith(".seg"):
                raise FileNotFoundError(errno.ENOENT, "removed while it was open")

        host.directory.fault = removed
        host.spool.directory = host.directory = other.directory.kill()
        channel.put(numbered(5, 7))
        await trio.sleep(20)
        assert channel.backlog
        assert "another spool lies there" in channel.backlog.failing
        assert await take(channel) == [5, 6]
    assert await host.next_process() == ([100, 101, 102], {})
