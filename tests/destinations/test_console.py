"""Messages to a real terminal, whose other side is the test."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from relay.core.account import Drop
from relay.core.receipt import Receipt
from relay.destinations.console import ConsoleDestination
from tests.core.parts import make_batch, make_receipt
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.pty import Pty

MESSAGES = [b"<13>message %d" % n for n in range(20)]


def lines(*messages: bytes) -> bytes:
    return b"".join(message + b"\r\n" for message in messages)


def console(path: object, **keys: object) -> ConsoleDestination:
    return ConsoleDestination.model_validate({"type": "console", "path": str(path), **keys})


def fill(rig: Rig, octets: int) -> Sequence[bytes]:
    """Put more than a terminal holds that nobody reads (4 KiB, and 15 on its way)."""
    messages = [b"<13>%04d %s" % (n, b"x" * 91) for n in range(octets // 100)]
    for start in range(0, len(messages), 10):
        rig.put(*messages[start : start + 10])
    return messages


async def test_one_line_each_ends_in_cr_and_lf(make_rig: MakeRig, terminal: Pty) -> None:
    rig = make_rig()
    rig.put(*MESSAGES)
    async with rig.delivering(console(terminal.path)):
        await terminal.shows(lines(*MESSAGES))
        await rig.delivered()
        assert rig.account.up
    assert rig.sent() == len(MESSAGES)


async def test_a_message_cannot_move_the_terminal(make_rig: MakeRig, terminal: Pty) -> None:
    rig = make_rig()
    rig.put(b"<13>a\x1b[2J\x07b\r\nc\x9b\xc2\x9b31m\x7f\td\xc3\xa4")
    async with rig.delivering(console(terminal.path)):
        await terminal.shows("<13>a#033[2J#007b#015#012c#233#302#23331m#177\tdä\r\n".encode())


async def test_short_writes_are_continued_at_the_right_octet(
    make_rig: MakeRig, terminal: Pty
) -> None:
    """Four times what the terminal holds, read in small pieces."""
    rig = make_rig()
    messages = fill(rig, 80_000)
    rig.put(b"<13>" + b"y" * 60_000)
    wanted = lines(*messages, b"<13>" + b"y" * 60_000)
    async with rig.delivering(console(terminal.path)):
        with trio.fail_after(20):
            while len(terminal.shown) < len(wanted):
                with suppress(BlockingIOError):
                    terminal.shown += os.read(terminal.master, 777)
                await trio.sleep(0)
        await rig.delivered()
    assert terminal.shown == wanted
    assert not any(rig.account.dropped.values())


async def test_a_stopped_terminal_costs_what_is_older_than_its_time_and_goes_on(
    make_rig: MakeRig, terminal: Pty
) -> None:
    """^S: what it takes nothing of is dropped, counted, and so is what comes until ^Q."""
    rig = make_rig()
    async with rig.delivering(console(terminal.path, wait_max="200ms")):
        rig.put(b"<13>before")
        await terminal.shows(lines(b"<13>before"))
        terminal.stop()
        rig.put(*MESSAGES)
        began = trio.current_time()
        await rig.until(lambda: rig.account.dropped[Drop.EXPIRED] == len(MESSAGES))
        assert trio.current_time() - began >= 0.2
        rig.put(b"<13>while stopped")
        await rig.until(lambda: rig.account.dropped[Drop.EXPIRED] == len(MESSAGES) + 1)
        rig.check()
        terminal.go()
        rig.put(b"<13>behind")
        await terminal.shows(lines(b"<13>before", b"<13>behind"))
        await rig.delivered()
    assert rig.sent() == 2
    assert rig.account.dropped[Drop.EXPIRED] == len(MESSAGES) + 1


async def test_a_line_that_was_cut_is_never_followed_by_another(
    make_rig: MakeRig, terminal: Pty
) -> None:
    """Nobody reads the terminal, so that a line is cut; it is given up."""
    rig = make_rig()
    messages = fill(rig, 60_000)
    async with rig.delivering(console(terminal.path, wait_max="100ms")):
        await rig.until(lambda: rig.account.dropped[Drop.EXPIRED])
        shown = rig.sent()
        terminal.read()
        await rig.until(lambda: not rig.channel.held().messages)
        terminal.wait_for_room()
        rig.put(b"<13>behind")
        await rig.delivered()
    text = terminal.read().split(b"\r\n")
    assert text[:shown] == list(messages[:shown])
    assert messages[shown].startswith(text[shown])
    assert text[shown] != messages[shown]
    assert text[-2:] == [b"<13>behind", b""]


async def test_what_a_sender_waits_for_is_not_dropped(make_rig: MakeRig, terminal: Pty) -> None:
    rig = make_rig()
    rig.channel.bound(type(rig.channel._bounds)(1 << 20, 1 << 30, "block"))
    receipts: list[Receipt] = []
    terminal.stop()
    async with rig.delivering(console(terminal.path, wait_max="100ms")):
        rig.put(b"<13>nobody waits for this")
        await rig.until(lambda: rig.account.dropped[Drop.EXPIRED])
        receipts.append(make_receipt())
        rig.channel.put(make_batch(b"<13>but for this", receipt=receipts[0]))
        await trio.sleep(0.3)
        assert rig.channel.held().messages == 1
        terminal.go()
        await terminal.shows(lines(b"<13>but for this"))
        await rig.delivered()
    assert rig.account.dropped[Drop.EXPIRED] == 1


async def test_what_a_sender_of_another_pipe_waits_for_holds_nothing_up(
    make_rig: MakeRig, terminal: Pty
) -> None:
    """That pipe is in the middle of its turn, for as long as the terminal is stopped."""
    one, other = make_rig(), make_rig()
    one.channel.bound(type(one.channel._bounds)(1 << 20, 1 << 30, "block"))
    terminal.stop()
    destination = console(terminal.path, wait_max="100ms")
    async with one.delivering(destination), other.delivering(destination):
        one.channel.put(make_batch(b"<13>a sender waits", receipt=make_receipt()))
        await trio.sleep(0.05)
        other.put(b"<13>nobody waits")
        await other.until(lambda: other.account.dropped[Drop.EXPIRED])
        terminal.go()
        await one.delivered()
        other.put(b"<13>behind")
        await terminal.shows(lines(b"<13>a sender waits", b"<13>behind"))
        await other.delivered()


async def test_a_hangup_is_down_and_it_is_opened_again(
    make_rig: MakeRig, terminal: Pty, tmp_path: Path, short_pauses: None
) -> None:
    path = tmp_path / "console"
    path.symlink_to(terminal.path)
    rig = make_rig()
    async with rig.delivering(console(path)):
        rig.put(b"<13>one")
        await terminal.shows(lines(b"<13>one"))
        terminal.close()
        rig.put(b"<13>two")
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason.startswith(f"{path}: ")
        again = Pty()
        path.unlink()
        path.symlink_to(again.path)
        await again.shows(lines(b"<13>two"))
        await rig.delivered()
    again.close()
    assert rig.sent() == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [("file", "not a terminal"), ("none", "no such file or directory"), ("pipe", "no such device")],
)
async def test_what_is_no_terminal_is_a_clear_state(
    name: str, reason: str, make_rig: MakeRig, tmp_path: Path, short_pauses: None
) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    rig = make_rig()
    rig.put(b"<13>hello")
    async with rig.delivering(console(tmp_path / name)):
        await rig.until(lambda: rig.account.failures)
        assert rig.account.down_reason.startswith(f"{tmp_path}/{name}: {reason}")
        assert not rig.account.up
    assert rig.channel.held().messages == 1


async def test_two_pipes_do_not_mix_their_lines(make_rig: MakeRig, terminal: Pty) -> None:
    rigs = [make_rig(), make_rig()]
    keys = console(terminal.path)
    async with rigs[0].delivering(keys), rigs[1].delivering(keys):
        messages = [*fill(rigs[0], 30_000), *fill(rigs[1], 30_000)]
        with trio.fail_after(20):
            while len(terminal.shown) < len(lines(*messages)):
                with suppress(BlockingIOError):
                    terminal.shown += os.read(terminal.master, 777)
                await trio.sleep(0.0001)
    assert sorted(terminal.shown.split(b"\r\n")[:-1]) == sorted(messages)


@pytest.mark.parametrize("ticks", range(0, 40, 3))
async def test_cancelled_at_any_await_nothing_is_lost_and_no_line_cut_is_continued(
    ticks: int, make_rig: MakeRig, terminal: Pty
) -> None:
    rig = make_rig()
    messages = fill(rig, 30_000)
    keys = console(terminal.path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.supervise, keys)
        for _ in range(ticks):
            await trio.sleep(0.0005)
        nursery.cancel_scope.cancel()
    async with rig.delivering(keys):
        with trio.fail_after(20):
            while rig.channel.held().messages:
                terminal.read()
                await trio.sleep(0.001)
        await trio.sleep(0.01)
    shown = terminal.read().split(b"\r\n")[:-1]
    assert [line for line in shown if line in set(messages)] == list(messages)
    assert len(shown) <= len(messages) + 1
    assert rig.sent() == len(messages)
