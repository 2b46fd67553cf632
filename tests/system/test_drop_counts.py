"""Drops of inherited sockets are booked once, however many processes share the socket."""

import socket
from pathlib import Path

import pytest

from relay.system.datagram import SocketDatagramReceiver
from relay.system.drop_counts import FILE_NAME, DropCounts, boot_id
from relay.system.machine import SystemMachine
from relay.system.ports import Endpoint


def flooded() -> socket.socket:
    """A bound socket whose small buffer has dropped something."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.bind(("127.0.0.1", 0))
    flood(sock)
    return sock


def flood(sock: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(100):
            sender.sendto(b"x" * 100, sock.getsockname())


def machine(sock: socket.socket, directory: Path) -> SystemMachine:
    return SystemMachine(inherited={"syslog": [sock]}, drop_counts=DropCounts(str(directory)))


async def test_the_next_process_books_what_was_dropped_between_the_two(tmp_path: Path) -> None:
    with flooded() as sock:
        first = machine(sock, tmp_path)
        (receiver,) = first.open(Endpoint("udp", "fd:syslog"))
        flood(sock)
        booked = receiver.new_kernel_drops()  # type: ignore[union-attr]
        assert booked > 0
        await first.remember()
        receiver.close()
        flood(sock)
        (receiver,) = machine(sock, tmp_path).open(Endpoint("udp", "fd:syslog"))
        assert receiver.new_kernel_drops() == 100  # type: ignore[union-attr]
        receiver.close()


def open_first(subject: SystemMachine) -> SocketDatagramReceiver:
    (receiver,) = subject.open(Endpoint("udp", "fd:syslog"))
    assert isinstance(receiver, SocketDatagramReceiver)
    return receiver


async def test_a_listener_that_reloads_take_away_and_bring_back_goes_on(tmp_path: Path) -> None:
    with flooded() as sock:
        await machine_that_ran(sock, tmp_path)
        subject = machine(sock, tmp_path)
        for _ in range(2):
            receiver = open_first(subject)
            assert receiver.new_kernel_drops() == 0
            flood(sock)
            assert receiver.new_kernel_drops() == 100
            receiver.close()
        flood(sock)
        receiver = open_first(subject)
        assert receiver.new_kernel_drops() == 100
        receiver.close()


async def test_while_the_one_before_still_drains_only_one_counts(tmp_path: Path) -> None:
    with flooded() as sock:
        subject = machine(sock, tmp_path)
        before = open_first(subject)
        flood(sock)
        assert before.new_kernel_drops() == 100
        flood(sock)
        after = open_first(subject)
        assert (before.new_kernel_drops(), after.new_kernel_drops()) == (0, 100)
        before.close()
        assert after.new_kernel_drops() == 0
        after.close()


async def test_what_was_closed_is_kept_for_the_next_process(tmp_path: Path) -> None:
    with flooded() as sock:
        await machine_that_ran(sock, tmp_path)
        receiver = open_first(machine(sock, tmp_path))
        assert receiver.new_kernel_drops() == 0
        receiver.close()


async def machine_that_ran(sock: socket.socket, directory: Path) -> None:
    """A process that books drops, closes its receiver and leaves a file."""
    subject = machine(sock, directory)
    receiver = open_first(subject)
    flood(sock)
    assert receiver.new_kernel_drops() == 100
    receiver.close()
    await subject.remember()


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"boot": 1}', '{"boot": "BOOT", "sockets": {"1": []}}', "\udcff"]
)
def test_a_file_that_says_nothing_is_no_fault(tmp_path: Path, content: str) -> None:
    text = content.replace("BOOT", boot_id())
    (tmp_path / FILE_NAME).write_bytes(text.encode("utf-8", "surrogateescape"))
    with flooded() as sock:
        (receiver,) = machine(sock, tmp_path).open(Endpoint("udp", "fd:syslog"))
        assert receiver.new_kernel_drops() == 0  # type: ignore[union-attr]
        receiver.close()


async def test_a_file_of_another_boot_is_not_believed(tmp_path: Path) -> None:
    with flooded() as sock:
        first = machine(sock, tmp_path)
        assert first.drop_counts is not None
        first.drop_counts.boot = "another"
        (receiver,) = first.open(Endpoint("udp", "fd:syslog"))
        await first.remember()
        receiver.close()
        flood(sock)
        (receiver,) = machine(sock, tmp_path).open(Endpoint("udp", "fd:syslog"))
        assert receiver.new_kernel_drops() == 0  # type: ignore[union-attr]
        receiver.close()


async def test_without_inherited_sockets_no_file_is_written(tmp_path: Path) -> None:
    subject = SystemMachine(drop_counts=DropCounts(str(tmp_path)))
    (receiver,) = subject.open(Endpoint("udp", "127.0.0.1:0"))
    await subject.remember()
    receiver.close()
    assert not list(tmp_path.iterdir())


async def test_a_directory_that_is_gone_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").mkdir()
    with flooded() as sock:
        subject = machine(sock, tmp_path / "state")
        (receiver,) = subject.open(Endpoint("udp", "fd:syslog"))
        (tmp_path / "state").rmdir()
        for _ in range(3):  # once a second
            await subject.remember()
        receiver.close()
    assert caplog.text.count("cannot be kept") == 1


async def test_a_directory_that_comes_later_says_from_where_to_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What was dropped between two processes is booked, also if nobody knew at first since when."""
    there, away = tmp_path / "state", tmp_path / "unmounted"
    there.mkdir()
    with flooded() as sock:
        first = machine(sock, there)
        (receiver,) = first.open(Endpoint("udp", "fd:syslog"))
        assert isinstance(receiver, SocketDatagramReceiver)
        await first.remember()
        receiver.close()
        there.rename(away)
        before = receiver.drops_read
        flood(sock)  # while no process runs
        second = machine(sock, there)
        (receiver,) = second.open(Endpoint("udp", "fd:syslog"))
        assert isinstance(receiver, SocketDatagramReceiver)
        await second.remember()
        assert receiver.new_kernel_drops() == 0
        flood(sock)
        booked = receiver.new_kernel_drops()
        assert booked > 0
        away.rename(there)
        await second.remember()
        booked += receiver.new_kernel_drops()
        assert booked == (receiver.drops_read - before) % 2**32
        receiver.close()
    assert not caplog.text
