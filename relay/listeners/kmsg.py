"""The kernel's own log, through /dev/kmsg. What the kernel overwrote unread is counted exactly."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Self, cast

import trio
from trio_typing import TaskStatus

from relay.core.batch import TURN_OCTETS
from relay.core.component import ListenerKeys
from relay.core.intake import Intake
from relay.core.position import Progress
from relay.core.values import Path
from relay.listeners.pause import Pause
from relay.system.ports import Endpoint, KernelLog, Socket, Touch
from relay.wire.kmsg import Record, join, message, parse
from relay.wire.priority import DEFAULT

log = logging.getLogger("relay.listener")

TURN_RECORDS = 1024
PAUSE_SECONDS_MAX = 0.005
SOURCE = "kernel"


class KmsgListener(ListenerKeys):
    """The keys of a `kmsg` listener."""

    type: Literal["kmsg"]
    path: Path = "/dev/kmsg"
    """The device."""
    start: Literal["resume", "boot", "now"] = "resume"
    """Where to begin: where Relay left off in this boot, with the oldest record, or the next."""

    @property
    def local(self) -> bool:
        return False  # every record has its host; and facility kern is the kernel's here

    @property
    def acknowledges(self) -> bool:
        # Nobody is told, but the position moves as if somebody was. Of what the next process will
        # not go back for, a crash is to be counted.
        return self.start == "resume"

    def touches(self) -> Sequence[Touch]:
        return (Touch("read", self.path),)

    def endpoints(self) -> Sequence[Endpoint]:
        return [Endpoint("kmsg", self.path)]

    async def run(
        self,
        sockets: Sequence[Socket],
        intake: Intake,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        if not sockets:  # it cannot be opened now; the supervisor tries again
            await intake.draining.wait()
            return
        device = cast("KernelLog", sockets[0])
        passed = None
        if self.start == "now" and not intake.positions.loaded:
            passed = pass_over(device)
        task_status.started()  # what comes from now on waits in the kernel's buffer
        start = Start(self.start == "resume", passed)
        with trio.CancelScope() as receiving:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_receive, device, intake, start)
                await intake.draining.wait()
                receiving.cancel()
        await _drain(device, intake, start)


class Start(NamedTuple):
    """Where the first run in this process begins."""

    resume: bool  # where an earlier process left off, if that was in this boot
    sequence: int | None  # else with this record; None: with the oldest


def pass_over(device: KernelLog) -> int | None:
    """Read all that there is now, for nobody; the sequence number behind it."""
    sequence = None
    ended = False
    while not ended:
        data, ended = device.receive(TURN_RECORDS, TURN_OCTETS)
        if data and (newest := parse(data[-1])):
            sequence = newest.sequence + 1
    return sequence


async def _receive(device: KernelLog, intake: Intake, start: Start) -> None:
    await intake.positions.load()
    reading = Reading.of(device, intake, start)
    pause = Pause(PAUSE_SECONDS_MAX, TURN_RECORDS)
    clock = intake.host.clock
    while True:
        await device.readable()
        began = clock.now()
        await intake.room()
        records, octets, _ = reading.turn()
        if seconds := pause.after(records, octets, began, clock.now()):
            await trio.sleep(seconds)


async def _drain(device: KernelLog, intake: Intake, start: Start) -> None:
    """The stop: what the kernel has now. What there is no time for, the next process reads."""
    with trio.move_on_at(intake.drain_by[0]):
        await intake.positions.load()
    if not intake.positions.loaded:
        return
    reading = Reading.of(device, intake, start)
    ended = False
    while not ended:
        await trio.lowlevel.checkpoint()
        with trio.move_on_at(intake.drain_by[0]) as patience:
            await intake.room()
        if patience.cancelled_caught and start.resume:
            log.info("listener %s leaves kernel messages unread", intake.listener)
            return
        _, _, ended = reading.turn()


@dataclass(slots=True, eq=False, repr=False)
class Reading:
    """How far the kernel's log is read.

    Invariant, between turns: every record below `expected` was put, passed over, or counted as
    overwritten, once.
    """

    device: KernelLog
    intake: Intake
    progress: Progress
    expected: int | None  # sequence number of the next record; None: of whichever is the oldest

    @classmethod
    def of(cls, device: KernelLog, intake: Intake, start: Start) -> Self:
        """From where an earlier run in this process stopped, else from this start."""
        progress = intake.positions.source(SOURCE)
        place = progress.read or {}
        sequence = place.get("sequence")
        same_boot = bool(device.boot_id) and place.get("boot") == device.boot_id
        if same_boot and isinstance(sequence, int) and (start.resume or not progress.recalled):
            return cls(device, intake, progress, sequence)
        if place or not start.resume:
            progress.repeating = False  # of another boot, or read again because it is wanted
        if start.sequence is not None:
            progress.start_at({"boot": device.boot_id, "sequence": start.sequence})
        return cls(device, intake, progress, start.sequence)

    def turn(self) -> tuple[int, int, bool]:
        """Read, and put; nothing awaits. Records, their octets, and whether these were all."""
        data, ended = self.device.receive(TURN_RECORDS, TURN_OCTETS)
        octets = sum(map(len, data))
        records, overwritten = self._new(data)
        if overwritten:
            self.intake.router.ledger.kernel_overwrote(self.intake.account, overwritten)
        if data:
            self._put(records, octets)
        if ended:
            self.progress.repeating = False
        return len(data), octets, ended

    def _new(self, data: Iterable[bytes]) -> tuple[list[Record], int]:
        """What is above the position, and how many records are missing in it."""
        new: list[Record] = []
        missing = 0
        for each in data:
            record = parse(each)
            if record is None:
                self.intake.account.invalid_headers += 1
                usec = self.device.clock_ns() // 1000
                new.append(Record(DEFAULT, -1, usec, False, b"", each.rstrip(b"\n"), ()))
                continue
            expected = record.sequence if self.expected is None else self.expected
            if record.sequence >= expected:
                missing += record.sequence - expected
                self.expected = record.sequence + 1
                new.append(record)
        return new, missing

    def _put(self, records: Sequence[Record], octets: int) -> None:
        intake = self.intake
        place = {"boot": self.device.boot_id, "sequence": self.expected or 0}
        with self.progress.taking(place) as receipt:
            if not records:
                return
            messages = self._messages(records)
            if self.progress.repeating:
                intake.account.repeats_possible += len(messages)
            paid = receipt if intake.acknowledges else None
            intake.put(messages, ["local"] * len(messages), octets=octets, receipt=paid)

    def _messages(self, records: Iterable[Record]) -> list[bytes]:
        host = self.intake.host.name.encode()
        now = self.intake.host.clock.wall_ns()
        start = now - self.device.clock_ns()  # of the kernel's clock
        # That clock is not disciplined as ours is: no record is of the future.
        return [message(it, min(start + it.usec * 1000, now), host) for it in join(records)]
