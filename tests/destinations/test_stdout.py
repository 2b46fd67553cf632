import errno
import os

import pytest
import trio
import trio.testing

from relay.destinations.stdout import StdoutDestination
from tests.destinations.conftest import MakeRig
from tests.destinations.fakes import FakeDisk, FakeNetwork

KEYS = StdoutDestination(type="stdout")
MESSAGES = [b"<13>message %d" % n for n in range(10)]
LINES = b"".join(message + b"\n" for message in MESSAGES)
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_one_line_each(make_rig: MakeRig, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    rig = make_rig()
    rig.put(*MESSAGES)
    rig.put(b"<13>one\ntwo\x1b")
    async with rig.delivering(KEYS):
        await rig.delivered()
    assert capfdbinary.readouterr().out == LINES + b"<13>one#012two#033\n"
    assert rig.sent() == len(MESSAGES) + 1


async def test_partial_writes_are_continued(make_rig: MakeRig) -> None:
    disk = FakeDisk()
    disk.stdout_answers.extend([5, 20, 1, 1, 30])
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*MESSAGES)
    async with rig.delivering(KEYS):
        await rig.delivered()
    assert disk.stdout == LINES


async def test_cut_line_is_never_followed_by_another(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    """Whole lines are settled; the one that was cut comes again, on a line of its own."""
    disk = FakeDisk()
    disk.stdout_answers.extend([20, FULL, FULL])
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*MESSAGES)
    async with rig.delivering(KEYS):
        await rig.until(lambda: rig.account.failures == 1)
        assert rig.account.down_reason == "standard output: No space left on device"
        assert rig.sent() == 1
        await rig.delivered()
    assert disk.stdout == LINES[:20] + b"\n" + LINES[len(MESSAGES[0]) + 1 :]
    assert rig.sent() == len(MESSAGES)


async def test_failure_between_lines_leaves_no_trace(
    make_rig: MakeRig, autojump_clock: trio.testing.MockClock
) -> None:
    disk = FakeDisk()
    disk.stdout_answers.extend([2 * (len(MESSAGES[0]) + 1), FULL])
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*MESSAGES)
    async with rig.delivering(KEYS):
        await rig.delivered()
    assert disk.stdout == LINES
    assert rig.account.failures == 1


async def test_two_pipes_do_not_mix_their_lines(make_rig: MakeRig) -> None:
    disk = FakeDisk()
    disk.stdout_answers.extend([7] * 1000)
    rigs = [make_rig(FakeNetwork(), disk) for _ in range(2)]
    async with rigs[0].delivering(KEYS), rigs[1].delivering(KEYS):
        for rig in rigs:
            rig.put(*MESSAGES)
        for rig in rigs:
            await rig.delivered()
    assert sorted(disk.stdout.splitlines()) == sorted(2 * MESSAGES)


@pytest.mark.parametrize("ticks", range(20))
async def test_cancelled_at_any_await_nothing_is_lost_or_written_twice(
    ticks: int, make_rig: MakeRig
) -> None:
    disk = FakeDisk()
    disk.stdout_answers.extend([10] * 1000)
    rig = make_rig(FakeNetwork(), disk)
    rig.put(*MESSAGES[:4])
    rig.put(*MESSAGES[4:])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, KEYS)
        for _ in range(ticks):
            await trio.lowlevel.cancel_shielded_checkpoint()
        nursery.cancel_scope.cancel()
    async with rig.delivering(KEYS):
        await rig.delivered()
    assert disk.stdout == LINES
