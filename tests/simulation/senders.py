"""Who sends to the relay: real programs with kernels of their own, that meet faults themselves."""

import random
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, count

import trio

from relay.system.ports import ConnectionBroken
from tests.simulation.messages import Parser, encoded, make
from tests.simulation.network import Internet
from tests.simulation.stream import End
from tests.simulation.truth import Truth

RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 20.0  # for the relay's end after ours


@dataclass(slots=True, eq=False)
class Sender:
    """What all senders share. `host` is theirs, or a path of this host's."""

    name: str
    listener: str
    address: str
    host: str
    internet: Internet
    truth: Truth
    chance: random.Random
    sometimes: Counter[str]
    left: int  # messages still to be sent
    burst: int = 10  # at most so many at once
    pause_seconds: float = 0.5  # at most, between bursts
    end: End | None = None  # open now
    finished: bool = False  # everything is said
    is_safe: bool = False  # no fault will cut its connections
    _connections: "count[int]" = field(default_factory=count)

    async def run(self) -> None:
        """Send everything; `finished` when it is said, and answered where there are answers."""
        raise NotImplementedError

    def messages(self, number: int) -> list[bytes]:
        """The next ones, of a source of their own: numbered from 0."""
        number = min(number, self.left)
        self.left -= number
        source = f"{self.name}.{next(self._connections)}"
        made = [make(source, n, self.chance) for n in range(number)]
        for message in made:
            self.truth.say(self.listener, self.host, message)
        return made

    async def pause(self) -> None:
        await trio.sleep(self.pause_seconds * self.chance.random())

    async def connect(self) -> tuple[End, End]:
        while True:
            joined = self.internet.join(self.address, self.host)
            if joined:
                self.end = joined[0]
                return joined
            self.sometimes["sender is refused"] += 1
            await trio.sleep(RETRY_SECONDS * self.chance.random())

    def reset(self) -> None:
        """The sender's process is killed in the middle of something."""
        if self.end and not self.end.closed and self.end.other in self._accepted():
            self.sometimes["sender resets"] += 1
            self.end.closed = self.end.killed = True
            self.end.reset()
            self.end.wake()

    def _accepted(self) -> Sequence[End]:
        acceptor = self.internet.streams.get(self.address)
        return acceptor.accepted if acceptor else ()


class StreamSender(Sender):
    """Sends on streams, a source a connection; what a break takes is gone, as with any sender."""

    async def run(self) -> None:
        while self.left > 0:
            await self.converse(self.messages(self.chance.randint(1, 4 * self.burst)))
            await self.pause()
        self.finished = True

    async def converse(self, messages: Sequence[bytes]) -> None:
        # What is left of a line that is cut is a message in itself: those are for safe senders.
        framing = self.chance.choice(("octet", "lf")) if self.is_safe else "octet"
        mine, its = await self.connect()
        frames = [encoded(message, framing) for message in messages]
        ends = list(accumulate(map(len, frames)))
        taken = [0]

        def note(read: int) -> None:
            for message in messages[taken[0] : (now := bisect_right(ends, read))]:
                self.truth.take(self.listener, message)
            taken[0] = now

        its.on_read = note
        try:
            await self._send(mine, frames)
            mine.half_close()
            with trio.move_on_after(PATIENCE_SECONDS):
                while mine.receive(1000) != b"":
                    await mine.readable()
        except (ConnectionBroken, trio.ClosedResourceError):
            self.sometimes["sender's connection breaks"] += 1
        finally:
            mine.close()

    async def _send(self, end: End, frames: Sequence[bytes]) -> None:
        for burst in _bursts(frames, self.burst, self.chance):
            left = memoryview(b"".join(burst))
            while left:
                part = left[: self.chance.choice((1, 100, 5000, len(left)))]
                sent = end.send([part])
                left = left[sent:]
                if sent < len(part):
                    self.sometimes["sender waits for the relay"] += 1
                    await end.writable()
            await self.pause()
            if end.into.end_arrived:
                return  # the relay stops: what it has not read is lost, as with any sender


def _bursts(
    frames: Sequence[bytes], burst: int, chance: random.Random
) -> Iterator[Sequence[bytes]]:
    at = 0
    while at < len(frames):
        size = chance.randint(1, burst)
        yield frames[at : at + size]
        at += size


class RelpSender(Sender):
    """Sends until each message was answered, again after each break, in order."""

    async def run(self) -> None:
        self.waiting: deque[bytes] = deque()
        while self.left > 0 or self.waiting:
            if not self.waiting:
                self.waiting.extend(self.messages(self.chance.randint(1, 4 * self.burst)))
            try:
                await self._converse(self.chance.choice((1, 10, 128)))
            except (ConnectionBroken, trio.ClosedResourceError):
                self.sometimes["relp sender's session breaks"] += 1
            await self.pause()
        self.finished = True

    async def _converse(self, window: int) -> None:
        mine, its = await self.connect()
        reads = Parser("relp")

        def note(read: int) -> None:
            for frame in reads.feed(bytes(its.into.data[reads.consumed + len(reads.rest) : read])):
                _, command, *data = frame.split(b" ", 2)
                if command == b"syslog":
                    self.truth.take(self.listener, data[0])

        its.on_read = note
        try:
            await self._talk(mine, window)
        finally:
            mine.close()

    async def _talk(self, end: End, window: int) -> None:
        offers = b"relp_version=0\nrelp_software=sender\ncommands=syslog"
        numbers = count(1)
        await self._say(end, b"%d open %d %b\n" % (next(numbers), len(offers), offers))
        parser = Parser("relp")
        answers = 0  # open's is the first
        flying = 0
        with trio.move_on_after(PATIENCE_SECONDS + 100):
            while self.waiting:
                while answers and flying < min(window, len(self.waiting)):
                    message = self.waiting[flying]
                    flying += 1
                    await self._say(
                        end, b"%d syslog %d %b\n" % (next(numbers), len(message), message)
                    )
                await end.readable()
                data = end.receive(10_000)
                if data == b"":
                    return
                for frame in parser.feed(data or b""):
                    if frame.split(b" ")[1] == b"serverclose":
                        return
                    assert frame.split(b" ")[2].startswith(b"200"), f"answered {frame!r}"
                    if answers:
                        assert flying, "more answers than transactions"
                        self.truth.answered[self.waiting.popleft()] += 1
                        flying -= 1
                    answers += 1
            await self._say(end, b"%d close 0\n" % next(numbers))
            while end.receive(1000) != b"":
                await end.readable()

    async def _say(self, end: End, data: bytes) -> None:
        left = memoryview(data)
        while left := left[end.send([left[: self.chance.choice((7, 10_000))]]) :]:
            await end.writable()


class DatagramSender(Sender):
    """Sends datagrams; a unix one waits for room, a UDP one never knows."""

    async def run(self) -> None:
        while self.left > 0:
            for message in self.messages(self.chance.randint(1, self.burst)):
                await self.send(message)
            await self.pause()
        self.finished = True

    async def send(self, message: bytes) -> None:
        while True:
            receiver = self.internet.datagrams.get(self.address)
            if receiver is None or receiver.closed:
                if self.listener == "udp":
                    return
                self.sometimes["sender is refused"] += 1
                await trio.sleep(RETRY_SECONDS)
                continue
            before = receiver.drops
            if receiver.offer(message, self.host):
                self.truth.kernel_drops[self.listener] += receiver.drops - before
                return
            self.sometimes["sender waits for the relay"] += 1
            await receiver.room.park()


SENDERS = {
    "tcp": StreamSender,
    "stream": StreamSender,
    "relp": RelpSender,
    "udp": DatagramSender,
    "unix": DatagramSender,
}
