"""What a host keeps on its disk, with its faults, and the ports through which it is reached.

Written is not yet durable: a power cut takes what was not synced, in any part; `kill -9` takes
nothing. Files that lines are appended to outlive the power cut as they are, for simplicity.
"""

import errno
import io
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, TypeVarTuple

import trio

from relay.system.hops import Hops
from relay.system.ports import File

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

LINES_MAX = 64  # of one append: a hop takes what it takes


@dataclass(slots=True, eq=False)
class Node:
    """A file; `durable` is what a power cut leaves of it."""

    content: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    unsynced: list[tuple[int, bytes]] = field(default_factory=list)  # writes at their offsets

    def write(self, data: bytes | bytearray, offset: int) -> None:
        if len(self.content) < offset:
            self.content += bytes(offset - len(self.content))
        self.content[offset : offset + len(data)] = data
        self.unsynced.append((offset, bytes(data)))

    def truncate(self, size: int) -> None:
        del self.content[size:]
        self.unsynced = [(at, data[: max(0, size - at)]) for at, data in self.unsynced]
        self.durable = self.durable[:size]

    def sync(self) -> None:
        self.durable = bytes(self.content)
        self.unsynced.clear()

    def lose(self, chance: random.Random) -> None:
        """A power cut: of the writes that were not synced any may have reached the disk."""
        content = bytearray(self.durable)
        for offset, data in self.unsynced:
            if chance.random() < 0.5:
                part = data[: chance.randrange(len(data) + 1)] if chance.random() < 0.3 else data
                content += bytes(max(0, offset - len(content)))
                content[offset : offset + len(part)] = part
        self.content = content
        self.sync()


@dataclass(slots=True, eq=False)
class Storage:
    """One host's disk; it outlives the processes."""

    chance: random.Random
    sometimes: Counter[str]
    room: int | None = None  # octets that may still be written; None: any number
    error: int = 0  # what every write says now
    sync_errors: int = 0  # so many syncs fail
    files: dict[str, Node] = field(default_factory=dict)  # that lines are appended to
    rotated: list[tuple[str, Node]] = field(default_factory=list)
    page: Node = field(default_factory=Node)
    directories: dict[str, "Contents"] = field(default_factory=dict)

    def charge(self, octets: int) -> None:
        """Octets are about to be written: is there room?"""
        if self.error:
            self.sometimes[f"disk says {errno.errorcode[self.error]}"] += 1
            raise OSError(self.error, os.strerror(self.error))
        if self.room is not None:
            if octets > self.room:
                self.sometimes["disk full"] += 1
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self.room -= octets

    def check_sync(self) -> None:
        if self.sync_errors:
            self.sync_errors -= 1
            self.sometimes["sync fails"] += 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def rotate(self, path: str) -> None:
        if path in self.files:
            self.rotated.append((path, self.files.pop(path)))

    def heal(self) -> None:
        self.room, self.error, self.sync_errors = None, 0, 0

    def cut_power(self) -> None:
        self.page.lose(self.chance)
        for contents in self.directories.values():
            contents.lose(self.chance)


@dataclass(slots=True, eq=False)
class Contents:
    """A directory: names as they are, and as a power cut may leave them."""

    nodes: dict[str, Node] = field(default_factory=dict)
    durable: dict[str, Node] = field(default_factory=dict)
    held: object = None  # the process that holds it
    removed: bool = False

    def lose(self, chance: random.Random) -> None:
        self.held = None
        names = sorted(self.nodes.keys() | self.durable.keys())
        after: dict[str, Node] = {}
        for name in names:
            old, new = self.durable.get(name), self.nodes.get(name)
            node = old if old is new or chance.random() < 0.5 else new
            if node is not None:
                node.lose(chance)
                after[name] = node
        self.nodes, self.durable = after, dict(after)


@dataclass(slots=True, eq=False)
class SimulatedDisk:
    """A pipe's way to the disk: the real hops, on simulated threads."""

    storage: Storage
    limiter: trio.CapacityLimiter
    _hops: Hops = field(init=False)

    def __post_init__(self) -> None:
        self._hops = Hops(self.limiter)

    async def open_append(self, base: str, path: str, *, mode: int) -> File:
        await self._hops.run(self.storage.charge, 0)
        node = self.storage.files.setdefault(f"{base}/{path}", Node())
        return SimulatedFile(self.storage, f"{base}/{path}", node, self._hops)

    async def work(self, function: Callable[[*Ts], T], *args: *Ts) -> T:
        return await self._hops.run(function, *args)

    async def write_stdout(self, data: bytes) -> int:
        raise AssertionError("nobody is told to write there")

    def abandon(self) -> None:
        self._hops.abandon()


@dataclass(slots=True, eq=False)
class SimulatedFile:
    storage: Storage
    path: str
    node: Node
    hops: Hops
    closed: bool = False

    async def append(self, texts: Sequence[bytes], *, sync: bool = False) -> int:
        assert not self.closed
        return await self.hops.run(self._append, b"".join(texts), sync)

    async def replaced(self) -> bool:
        return await self.hops.run(lambda: self.storage.files.get(self.path) is not self.node)

    async def close(self) -> None:
        assert not self.closed
        self.closed = True
        await self.hops.run(lambda: None)

    def _append(self, text: bytes, sync: bool) -> int:
        written = 0
        for line in io.BytesIO(text).readlines()[:LINES_MAX]:
            try:
                self.storage.charge(len(line))
            except OSError:
                if not written:
                    raise
                self.storage.sometimes["short write"] += 1
                break
            self.node.content += line
            written += len(line)
        if sync:
            self.storage.check_sync()
            self.node.sync()
        return written


@dataclass(frozen=True, slots=True)
class SimulatedPage:
    """The crash page's file: it is in the page cache at once, on the disk some day."""

    storage: Storage
    is_dead: Callable[[], bool]

    def read(self) -> bytes:
        return bytes(self.storage.page.content)

    def write(self, offset: int, data: bytes) -> None:
        if not self.is_dead():
            self.storage.page.write(data, offset)


@dataclass(slots=True, eq=False)
class SimulatedDirectory:
    """A spool's directory, for one process."""

    storage: Storage
    name: str
    process: object
    is_dead: Callable[[], bool]
    identities: random.Random

    @property
    def _contents(self) -> Contents:
        if self.is_dead():
            raise OSError(errno.EIO, "the process was killed")
        return self.storage.directories.setdefault(self.name, Contents())

    def open(self) -> None:
        contents = self._contents
        if self.storage.error:
            self.storage.charge(0)
        if contents.held not in (None, self.process):
            raise BlockingIOError(errno.EAGAIN, "another process has it")
        contents.held = self.process

    def new_identity(self) -> bytes:
        return self.identities.randbytes(16)

    def sizes(self) -> Mapping[str, int]:
        return {name: len(node.content) for name, node in self._contents.nodes.items()}

    def others(self) -> list[str]:
        return []

    def open_file(self, name: str) -> "SimulatedRandomFile":
        if name not in self._contents.nodes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return SimulatedRandomFile(self, self._contents.nodes[name])

    def create(self, name: str) -> "SimulatedRandomFile":
        assert name not in self._contents.nodes
        self.storage.charge(0)
        node = self._contents.nodes[name] = Node()
        return SimulatedRandomFile(self, node)

    def unlink(self, name: str) -> None:
        if name not in self._contents.nodes:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        node = self._contents.nodes.pop(name)
        if self.storage.room is not None:
            self.storage.room += len(node.content)

    def sync(self) -> None:
        self.storage.check_sync()
        self._contents.durable = dict(self._contents.nodes)

    def probe(self) -> None:
        self.storage.charge(0)
        self.storage.check_sync()

    def set_aside(self, name: str) -> None:
        self.storage.sometimes["a segment is set aside"] += 1
        self.unlink(name)

    def quarantine(self, name: str, data: bytes) -> None:
        self.storage.sometimes["quarantine"] += 1

    def close(self) -> None:
        if not self.is_dead() and self._contents.held is self.process:
            self._contents.held = None

    def check(self) -> None:
        assert self._contents is not None


@dataclass(slots=True, eq=False)
class SimulatedRandomFile:
    directory: SimulatedDirectory
    node: Node

    def read(self, octets: int, offset: int) -> bytes:
        self.directory.check()
        return bytes(self.node.content[offset : offset + octets])

    def write(self, data: bytes | bytearray, offset: int) -> None:
        self.directory.check()
        storage = self.directory.storage
        grows = max(0, offset + len(data) - len(self.node.content))
        try:
            storage.charge(grows)
        except OSError:
            if storage.room:  # a part of it is there
                self.node.write(data[: storage.chance.randrange(len(data))], offset)
            raise
        self.node.write(data, offset)

    def truncate(self, size: int) -> None:
        self.directory.check()
        self.node.truncate(size)

    def allocate(self, size: int) -> None:
        self.directory.check()
        room = self.directory.storage.room
        if room is not None and size - len(self.node.content) > room:
            self.directory.storage.charge(size)

    def sync(self) -> None:
        self.directory.check()
        self.directory.storage.check_sync()
        self.node.sync()

    def close(self) -> None: ...
