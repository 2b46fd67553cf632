"""Ports whose other side is the test. `test_fakes.py` holds them to what the real ones do."""

import errno
import io
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import trio

from relay.system.ports import (
    Connection,
    ConnectionBroken,
    DatagramSender,
    File,
    ReadySet,
    Service,
    Unreachable,
)

T = TypeVar("T")


class FakeConnection:
    """Takes `room` octets, then blocks; `None` takes all.

    Its peer's kernel has acknowledged the first `acknowledged` octets; `None`: all that was taken.
    """

    def __init__(self, room: int | None = None, *, acknowledged: int | None = None) -> None:
        self.room = room
        self.acknowledged = acknowledged
        self.silent = 0.0
        self.looks = 0  # calls of `unacknowledged`
        self.taken = bytearray()
        self.half_closed = False
        self.closed = False
        self._said: deque[bytes] = deque()
        self._fault = ""
        self._news = trio.lowlevel.ParkingLot()

    # -- the peer's side

    def take(self, octets: int | None) -> None:
        """Make room for so many octets more; `None`: without end."""
        self.room = None if octets is None else (self.room or 0) + octets
        self._news.unpark_all()

    def say(self, data: bytes) -> None:
        self._said.append(data)
        self._news.unpark_all()

    def end(self) -> None:
        self.say(b"")

    def reset(self) -> None:
        self._fault = "Connection reset by peer"
        self._news.unpark_all()

    # -- the port

    @property
    def peer(self) -> str:
        return "192.0.2.9"

    def receive(self, octets_max: int) -> bytes | None:
        self._check()
        if not self._said:
            return None
        if not self._said[0]:
            return b""
        data = self._said.popleft()
        if data[octets_max:]:
            self._said.appendleft(data[octets_max:])
        return data[:octets_max]

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        self._check()
        assert not self.half_closed
        data = b"".join(buffers)[: self.room]
        self.taken += data
        if self.room is not None:
            self.room -= len(data)
        return len(data)

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while not (self._said or self._fault):
            await self._news.park()

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.room == 0 and not self._fault:
            await self._news.park()

    def unacknowledged(self) -> int:
        assert not self.closed
        self.looks += 1
        if self.acknowledged is None:
            return 0
        return len(self.taken) + self.half_closed - self.acknowledged

    def silent_seconds(self) -> float:
        self._check()
        return self.silent

    def hung_up(self) -> bool:
        return bool(self._fault) or b"" in self._said

    def half_close(self) -> bool:
        assert not self.closed
        if not self._fault:
            self.half_closed = True
        return self.half_closed

    def seal(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def _check(self) -> None:
        assert not self.closed
        if self._fault:
            raise ConnectionBroken(self._fault)


class FakeSender:
    """Answers each datagram as the script says: taken, no room, an error. Then takes all."""

    def __init__(self, *answers: bool | OSError) -> None:
        self.sent: list[bytes] = []
        self.closed = False
        self._answers = deque(answers)

    def send(self, message: bytes) -> bool:
        assert not self.closed
        answer = self._answers.popleft() if self._answers else True
        if isinstance(answer, OSError):
            raise answer
        if answer:
            self.sent.append(message)
        return answer

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self.closed = True


class FakeNetwork:
    """Each attempt to connect gets the next of the script; after it, there is no answer."""

    def __init__(self, *script: FakeConnection | FakeSender | Unreachable) -> None:
        self.addresses: list[tuple[str, int]] = [("192.0.2.9", 514)]
        self.hosts: dict[str, list[tuple[str, int]]] = {}  # by HOST:PORT, where they differ
        self.records: list[Service] = []
        self.seconds = 0.0  # for which the records are valid
        self.failure: Unreachable | None = None
        self.tried: list[object] = []
        self._script = deque(script)

    def add(self, *script: FakeConnection | FakeSender | Unreachable) -> None:
        self._script.extend(script)

    async def resolve(
        self, address: str, *, kind: Literal["tcp", "udp"]
    ) -> Sequence[tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        if self.failure:
            raise self.failure
        found = self.hosts.get(address, self.addresses)
        if not found:
            raise Unreachable(f"{address.partition(':')[0]}: Name or service not known")
        return found

    async def services(self, name: str) -> tuple[Sequence[Service], float]:
        await trio.lowlevel.checkpoint()
        if not self.records:
            raise Unreachable(f"{name}: there is no SRV record")
        return self.records, self.seconds

    async def connect(self, address: tuple[str, int]) -> Connection:
        return await self._connection(address)

    async def connect_datagram(self, address: tuple[str, int]) -> DatagramSender:
        return await self._sender(address)

    async def connect_unix(self, path: str) -> Connection:
        return await self._connection(path)

    async def connect_unix_datagram(self, path: str) -> DatagramSender:
        return await self._sender(path)

    def ready_set(self) -> ReadySet:
        raise AssertionError("no destination needs it")

    async def _connection(self, target: object) -> FakeConnection:
        answer = await self._next(target)
        assert isinstance(answer, FakeConnection)
        return answer

    async def _sender(self, target: object) -> FakeSender:
        answer = await self._next(target)
        assert isinstance(answer, FakeSender)
        return answer

    async def _next(self, target: object) -> FakeConnection | FakeSender:
        self.tried.append(target)
        await trio.lowlevel.checkpoint()
        if not self._script:
            await trio.sleep_forever()
        answer = self._script.popleft()
        if isinstance(answer, Unreachable):
            raise answer
        return answer


class FakeDisk:
    """Files in memory with `room` octets for all; `None` is a disk without end.

    One append takes at most `lines_max`. As with the real one, a cancelled call runs to its end and
    is no checkpoint for cancellation.
    """

    def __init__(self, room: int | None = None, lines_max: int | None = None) -> None:
        self.room = room
        self.lines_max = lines_max
        self.files: dict[str, FakeFile] = {}
        self.faults: dict[str, OSError] = {}  # what opening this path says
        self.opened: list[str] = []
        self.open = 0
        self.open_max = 0
        self.looks = 0  # calls of `replaced`
        self.appends: list[int] = []  # octets of each call
        self.stdout = bytearray()
        self.stdout_answers: deque[int | OSError] = deque()  # octets taken, or an error

    def content(self, path: str) -> bytes:
        return bytes(self.files[path].content)

    async def work(self, function: Callable[..., T], *args: object) -> T:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return function(*args)

    async def open_append(self, base: str, path: str, *, mode: int) -> File:
        await trio.lowlevel.cancel_shielded_checkpoint()
        self.opened.append(f"{base}/{path}")
        if path in self.faults:
            raise self.faults[path]
        self.open += 1
        self.open_max = max(self.open_max, self.open)
        return FakeHandle(self, path, self.files.setdefault(path, FakeFile()))

    async def write_stdout(self, data: bytes) -> int:
        await trio.lowlevel.cancel_shielded_checkpoint()
        answer = self.stdout_answers.popleft() if self.stdout_answers else len(data)
        if isinstance(answer, OSError):
            raise answer
        self.stdout += data[:answer]
        return min(answer, len(data))


class FakeFile:
    """What stands on the disk, whatever it is called."""

    def __init__(self) -> None:
        self.content = bytearray()


class FakeHandle:
    def __init__(self, disk: FakeDisk, path: str, file: FakeFile) -> None:
        self._disk = disk
        self._path = path
        self._file = file
        self._closed = False

    async def append(self, texts: Sequence[bytes], *, sync: bool = False) -> int:
        assert all(text.endswith(b"\n") for text in texts)
        assert not self._closed
        self._disk.appends.append(sum(map(len, texts)))
        await trio.lowlevel.cancel_shielded_checkpoint()
        written = 0
        for line in io.BytesIO(b"".join(texts)).readlines()[: self._disk.lines_max]:
            if self._disk.room is not None:
                if len(line) > self._disk.room:
                    break
                self._disk.room -= len(line)
            self._file.content += line
            written += len(line)
        await trio.lowlevel.cancel_shielded_checkpoint()
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return written

    async def replaced(self) -> bool:
        await trio.lowlevel.cancel_shielded_checkpoint()
        self._disk.looks += 1
        return self._disk.files.get(self._path) is not self._file

    async def close(self) -> None:
        await trio.lowlevel.cancel_shielded_checkpoint()
        assert not self._closed
        self._closed = True
        self._disk.open -= 1
