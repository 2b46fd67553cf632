"""The kernel's log: the real one where it may be opened, and a socket that keeps records apart."""

import os
import secrets
import socket
import time

import pytest
import trio

from relay.system.kernel_log import SystemKernelLog
from relay.wire.kmsg import parse

KMSG = "/dev/kmsg"


def real() -> SystemKernelLog:
    try:
        return SystemKernelLog.open(KMSG, "boot")
    except OSError as exc:
        pytest.skip(f"the kernel's log cannot be read here: {exc}")


def write(text: str) -> None:
    try:  # opened anew, since the kernel limits the rate of each descriptor
        with open(KMSG, "w", buffering=1) as file:
            file.write(f"<15>{text}\n")
    except OSError as exc:
        pytest.skip(f"the kernel's log cannot be written here: {exc}")


async def test_the_real_log_gives_records_in_order_and_without_a_gap() -> None:
    log = real()
    text = secrets.token_hex(8)
    write(f"relay-test {text}")
    sequences = []
    found = b""
    ended = False
    with trio.fail_after(10):
        while not ended:
            await log.readable()
            records, ended = log.receive(100, 1 << 18)
            assert len(records) <= 100
            for each in records:
                record = parse(each)
                assert record, each
                sequences.append(record.sequence)
                if text.encode() in record.text:
                    found = record.text
                    assert abs(record.usec * 1000 - log.clock_ns()) < 60e9
    assert found == f"relay-test {text}".encode()
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    log.close()
    log.close()


async def test_a_reader_is_woken_by_the_next_record() -> None:
    log = real()
    while not log.receive(1000, 1 << 20)[1]:
        pass
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.readable)
        await trio.testing.wait_all_tasks_blocked(0.01)
        write("relay-test wakes")
        nursery.cancel_scope.deadline = trio.current_time() + 10
    assert not nursery.cancel_scope.cancelled_caught
    assert any(b"relay-test wakes" in it for it in log.receive(1000, 1 << 20)[0])
    log.close()


def test_a_device_that_is_not_there_says_so() -> None:
    with pytest.raises(OSError, match=r"kmsg /nonexistent/kmsg: No such file"):
        SystemKernelLog.open("/nonexistent/kmsg", "boot")


async def test_a_turn_has_its_bounds_and_a_closed_end_is_no_record() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    log = SystemKernelLog(ours.detach(), "pair", "boot")
    assert log.receive(10, 100) == ([], True)
    for number in range(5):
        theirs.send(b"6,%d,1,-;x" % number)
    assert log.receive(2, 100) == ([b"6,0,1,-;x", b"6,1,1,-;x"], False)
    assert log.receive(10, 10) == ([b"6,2,1,-;x", b"6,3,1,-;x"], False)
    assert log.receive(10, 100) == ([b"6,4,1,-;x"], True)
    theirs.close()
    assert log.receive(10, 100) == ([], True)
    log.close()


async def test_an_overwritten_record_is_passed_over_and_a_lasting_error_told_after_what_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[bytes | OSError] = [BrokenPipeError(32, "x"), b"6,5,1,-;x", OSError(5, "gone"),
                                      OSError(5, "gone")]  # fmt: skip

    def read(number: int, octets: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    log = SystemKernelLog(-1, "fake", "boot")
    monkeypatch.setattr(os, "read", read)
    assert log.receive(10, 100) == ([b"6,5,1,-;x"], False)
    with pytest.raises(OSError, match="gone"):
        log.receive(10, 100)


def test_its_clock_is_the_monotonic_one() -> None:
    before = time.monotonic_ns()
    assert before <= SystemKernelLog(-1, "fake", "boot").clock_ns() <= time.monotonic_ns()
