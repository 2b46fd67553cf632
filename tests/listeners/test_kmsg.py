"""The kmsg listener, on a kernel log with a small ring and on the real one."""

import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from relay.core.account import Confirmation
from relay.core.bounds import Bounds
from relay.core.position import Place, Positions
from relay.listeners.kmsg import KmsgListener
from relay.system.ports import Endpoint
from tests.core.test_position import Store
from tests.listeners.conftest import Rig
from tests.system.test_kernel_log import real, write


@dataclass(slots=True, eq=False)
class Kernel:
    """A kernel's log whose ring holds so many records; it knows what was overwritten."""

    ring_max: int = 1000
    boot_id: str = "boot-1"
    now_usec: int = 1_000_000
    records: deque[tuple[int, bytes]] = field(default_factory=deque)
    next: int = 0

    def log(self, *texts: str, priority: int = 6, flags: str = "-") -> None:
        for text in texts:
            self.now_usec += 10
            line = f"{priority},{self.next},{self.now_usec},{flags};{text}\n"
            self.records.append((self.next, line.encode()))
            self.next += 1
            if len(self.records) > self.ring_max:
                self.records.popleft()

    def open(self) -> "KernelReader":
        return KernelReader(self)


@dataclass(slots=True, eq=False)
class KernelReader:
    """As /dev/kmsg: each descriptor has its own place, and is moved on when it is overtaken."""

    kernel: Kernel
    place: int = 0
    closed: bool = False
    address: str = "/dev/kmsg"

    @property
    def boot_id(self) -> str:
        return self.kernel.boot_id

    def receive(self, records_max: int, octets_max: int) -> tuple[Sequence[bytes], bool]:
        found = [line for sequence, line in self.kernel.records if sequence >= self.place]
        taken = found[:records_max]
        self.place = self.kernel.next - len(found) + len(taken)
        return taken, len(taken) < records_max

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while self.place >= self.kernel.next:
            await trio.sleep(0.001)

    def clock_ns(self) -> int:
        return self.kernel.now_usec * 1000

    def adjust(self, endpoint: Endpoint) -> None: ...

    def close(self) -> None:
        self.closed = True


@dataclass(slots=True, eq=False)
class Process:
    """One process of the relay that reads the kernel's log, and what it had in its ring."""

    rig: Rig
    positions: Positions

    @asynccontextmanager
    async def running(self, kernel: Kernel, **keys: object) -> AsyncIterator[Rig]:
        listener = KmsgListener.model_validate({"type": "kmsg", **keys})
        self.rig.sockets[:] = [kernel.open()]
        intake = self.rig.intake(listener)
        intake.positions = self.positions
        async with trio.open_nursery() as nursery:

            async def run(*, task_status: trio.TaskStatus[None]) -> None:
                await listener.run(self.rig.sockets, intake, task_status=task_status)

            await nursery.start(run)
            yield self.rig
            intake.drain_by[0] = trio.current_time() + 5
            intake.draining.set()
        self.rig.check()


def process(store: Store | None = None, *, overflow: str = "block") -> Process:
    bounds = Bounds(1 << 20, 1 << 30, overflow)  # type: ignore[arg-type]
    return Process(Rig(bounds=bounds), Positions("kmsg-in", store))


def kept(process: Process) -> Place | None:
    return process.positions.source("kernel").kept


async def deliver(rig: Rig) -> list[bytes]:
    """All that waits, delivered; the last word of each message."""
    found = []
    with rig.channel.lease() as lease:
        while rig.channel.held().memory:
            batches = await lease.lend()
            found += [m.rsplit(b" ", 1)[-1] for batch in batches for m in batch.messages]
            lease.settle(sum(map(len, batches)), Confirmation.CONFIRMED)
    return found


async def test_a_record_becomes_an_rfc5424_message_of_the_kernel() -> None:
    kernel, p = Kernel(), process()
    kernel.log("NET: Registered protocol family 10", priority=4)
    async with p.running(kernel) as rig:
        await rig.texts(1)
    (message,) = rig.held()
    assert message.startswith(b"<4>1 2")
    assert message.endswith(b"Z relay.example.net kernel - - - NET: Registered protocol family 10")
    assert rig.account.received_octets == len(kernel.records[0][1])


async def test_facility_kern_is_the_kernels_here() -> None:
    kernel, p = Kernel(), process()
    kernel.log("a", priority=2)
    kernel.log("cron[7]: b", priority=78)
    async with p.running(kernel) as rig:
        await rig.texts(2)
    assert [message.partition(b">")[0] for message in rig.held()] == [b"<2", b"<78"]


async def test_records_have_the_time_when_the_kernel_wrote_them() -> None:
    """By its own clock; one that runs ahead of ours is of now."""
    kernel, p = Kernel(), process()
    kernel.log("early")
    kernel.now_usec += 7_000_000
    kernel.log("late")
    kernel.now_usec -= 3_500_000
    async with p.running(kernel) as rig:
        await rig.texts(2)
    early, late = (float(m.split(b"T")[1][6:15]) for m in rig.held())
    assert (late - early) % 60 == pytest.approx(3.5, abs=0.01)


async def test_fragments_of_a_line_are_one_message() -> None:
    kernel, p = Kernel(), process()
    kernel.log("first ")
    kernel.log("half", flags="c")
    async with p.running(kernel) as rig:
        await rig.texts(1)
    (message,) = rig.held()
    assert message.endswith(b" first half")


async def test_what_was_overwritten_unread_is_counted_and_told() -> None:
    kernel, p = Kernel(ring_max=10), process()
    kernel.log("0")
    async with p.running(kernel) as rig:
        assert await rig.texts(1) == [b"0"]
        kernel.log(*map(str, range(1, 101)))
        assert (await rig.texts(11))[1:] == [b"%d" % n for n in range(91, 101)]
        assert rig.ledger.losses.due(0.0) == ["dropped 90 kernel messages, buffer full"]
    assert rig.account.kernel_dropped == 90
    assert rig.account.received + rig.account.kernel_dropped == kernel.next


async def test_a_full_pipe_that_keeps_leaves_records_to_the_kernel_and_loses_none_of_its_own() -> (
    None
):
    kernel, p = Kernel(ring_max=10), process()
    p.rig = rig = Rig(bounds=Bounds(2, 1 << 20, "block"))
    async with p.running(kernel):
        kernel.log("0", "1")
        with trio.fail_after(5):
            while not rig.channel.full:
                await trio.sleep(0.001)
        kernel.log(*map(str, range(2, 52)))
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert rig.account.received == 2
        assert await deliver(rig) == [b"0", b"1"]
        with trio.fail_after(5):
            while rig.account.received < 12:
                await trio.sleep(0.001)
        await deliver(rig)
    assert rig.account.kernel_dropped == 40
    assert sum(rig.channel.account.dropped.values()) == 0


async def test_it_goes_on_where_it_left_off_in_the_same_boot() -> None:
    kernel, store = Kernel(), Store()
    first = process(store)
    kernel.log("a", "b")
    async with first.running(kernel) as rig:
        await rig.texts(2)
    assert await deliver(rig) == [b"a", b"b"]
    await first.positions.save(ended=True)
    kernel.log("c")
    second = process(store)
    async with second.running(kernel) as rig:
        assert await rig.texts(1) == [b"c"]
    assert rig.account.received == 1
    assert rig.account.repeats_possible == rig.account.kernel_dropped == 0


async def test_after_a_kill_nothing_is_missing_and_repeats_are_counted() -> None:
    """What a keeping pipe had not secured is read again, and what it had since the last save."""
    kernel, store = Kernel(), Store()
    killed = process(store)
    kernel.log("a")
    async with killed.running(kernel) as rig:
        await rig.texts(1)
        assert await deliver(rig) == [b"a"]
        await killed.positions.save()
        kernel.log("b", "c")
        await rig.texts(2)
        assert await deliver(rig) == [b"b", b"c"]  # and nobody has saved the position
        kernel.log("d")
        await rig.texts(1)
    kernel.log("e")
    second = process(store)
    async with second.running(kernel) as rig:
        assert await rig.texts(4) == [b"b", b"c", b"d", b"e"]
        assert rig.account.repeats_possible == 4
        kernel.log("f")
        await rig.texts(5)
    assert rig.account.repeats_possible == 4


async def test_what_was_overwritten_while_nobody_ran_is_counted() -> None:
    kernel, store = Kernel(ring_max=10), Store()
    first = process(store)
    kernel.log("a")
    async with first.running(kernel) as rig:
        await rig.texts(1)
    await deliver(rig)
    await first.positions.save(ended=True)
    kernel.log(*"0123456789", *"0123456789")
    second = process(store)
    async with second.running(kernel) as rig:
        await rig.texts(10)
    assert rig.account.kernel_dropped == 10


async def test_another_boot_is_read_from_its_beginning() -> None:
    kernel, store = Kernel(), Store()
    first = process(store)
    kernel.log("a", "b", "c")
    async with first.running(kernel) as rig:
        await rig.texts(3)
    await deliver(rig)
    await first.positions.save(ended=False)
    kernel = Kernel(boot_id="boot-2")
    kernel.log("x")
    second = process(store)
    async with second.running(kernel) as rig:
        assert await rig.texts(1) == [b"x"]
    assert rig.account.kernel_dropped == rig.account.repeats_possible == 0
    await deliver(rig)
    assert kept(second) == {"boot": "boot-2", "sequence": 1}


async def test_without_a_boot_id_no_position_is_believed() -> None:
    kernel, store = Kernel(boot_id=""), Store()
    for _ in range(2):
        p = process(store)
        if not kernel.next:
            kernel.log("a")
        async with p.running(kernel) as rig:
            assert await rig.texts(1) == [b"a"]
        await deliver(rig)
        await p.positions.save(ended=True)


async def test_start_at_boot_reads_everything_that_there_is() -> None:
    kernel, store = Kernel(), Store()
    kernel.log("a")
    for _ in range(2):
        p = process(store)
        async with p.running(kernel, start="boot") as rig:
            assert await rig.texts(1) == [b"a"]
        await deliver(rig)
        await p.positions.save(ended=True)
        assert rig.account.repeats_possible == 0


async def test_start_now_passes_what_was_there_over_and_counts_from_then_on() -> None:
    kernel, store = Kernel(ring_max=10), Store()
    kernel.log(*map(str, range(30)))
    p = process(store)
    async with p.running(kernel, start="now") as rig:
        kernel.log(*map(str, range(30, 50)))
        assert await rig.texts(10) == [b"%d" % n for n in range(40, 50)]
    assert rig.account.kernel_dropped == 10
    assert rig.account.received == 10


@pytest.mark.parametrize(("start", "owed"), [("resume", 2), ("boot", 0), ("now", 0)])
async def test_only_what_the_next_process_goes_back_for_is_owed_to_it(
    start: str, owed: int
) -> None:
    """A crash costs the rest, and the pipe's book says so."""
    kernel, p = Kernel(), process(Store())
    async with p.running(kernel, start=start) as rig:
        kernel.log("a", "b")
        await rig.texts(2)
    assert rig.channel.held().at_risk == 2 - owed


@pytest.mark.parametrize("start", ["resume", "boot", "now"])
async def test_a_restart_in_the_same_process_goes_on_whatever_the_start(start: str) -> None:
    kernel, p = Kernel(), process(Store())
    kernel.log("a")
    async with p.running(kernel, start=start) as rig:
        with trio.fail_after(5):
            kernel.log("b")
            while rig.account.received < (1 if start == "now" else 2):
                await trio.sleep(0.001)
    kernel.log("c")
    received = rig.account.received
    async with p.running(kernel, start=start) as rig:
        await rig.texts(received + 1)
    assert rig.account.received == received + 1
    assert (await deliver(rig))[-2:] == [b"b", b"c"]


async def test_the_stop_reads_what_the_kernel_has_and_keeps_the_position_in_front_of_the_rest() -> (
    None
):
    kernel, p = Kernel(), process(Store())
    kernel.log("a", "b")
    async with p.running(kernel) as rig:
        pass
    assert rig.account.received == 2
    assert kept(p) is None
    assert await deliver(rig) == [b"a", b"b"]
    assert kept(p) == {"boot": "boot-1", "sequence": 2}


@pytest.mark.parametrize(("start", "received"), [("resume", 1), ("now", 2)])
async def test_a_stop_waits_no_longer_than_it_may_for_a_full_pipe(
    caplog: pytest.LogCaptureFixture, start: str, received: int
) -> None:
    """Then the rest is for the next process, or for nobody: that is dropped, and counted."""
    caplog.set_level("INFO", "relay")
    kernel, p = Kernel(), process(Store())
    p.rig = rig = Rig(bounds=Bounds(1, 1 << 20, "block"))
    listener = KmsgListener.model_validate({"type": "kmsg", "start": start})
    rig.sockets[:] = [kernel.open()]
    intake = rig.intake(listener)
    intake.positions = p.positions
    async with trio.open_nursery() as nursery:

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            await listener.run(rig.sockets, intake, task_status=task_status)

        await nursery.start(run)
        kernel.log("a")
        await rig.texts(1)
        kernel.log("b")
        intake.drain_by[0] = trio.current_time() + 0.05
        intake.draining.set()
    assert rig.account.received == received
    unread = "listener in leaves kernel messages unread" in caplog.text
    assert unread == (start == "resume")
    assert sum(rig.channel.account.dropped.values()) == received - 1


async def test_what_is_no_record_is_forwarded_as_it_came_and_counted() -> None:
    kernel, p = Kernel(), process()
    kernel.records.append((0, b"\xffno record\n"))
    kernel.next = 1
    async with p.running(kernel) as rig:
        await rig.texts(1)
    (message,) = rig.held()
    assert message.startswith(b"<13>1 ")
    assert message.endswith(b" relay.example.net - - - - \xffno record")
    assert rig.account.invalid_headers == 1


async def test_without_a_device_it_waits_for_the_stop() -> None:
    listener = KmsgListener(type="kmsg")
    rig = Rig()
    intake = rig.intake(listener)
    intake.draining.set()
    await listener.run([], intake, task_status=trio.TASK_STATUS_IGNORED)


async def test_the_real_log_is_read(rig: Rig) -> None:
    real().close()
    word = secrets.token_hex(8)
    async with rig.running(KmsgListener(type="kmsg", start="now")):
        write(f"relay-test[77]: {word}")
        assert word.encode() in await rig.texts(1)
    assert any(b" relay-test 77 - - " + word.encode() in message for message in rig.held())
    assert rig.account.kernel_dropped == 0
