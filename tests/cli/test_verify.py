"""relay verify: what a file proves, and its exit code."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.cli.conftest import Execute

EPOCH = "5f3ac0de9b1f2a44"
LATER = "5f3ac0de9b1f2a45"


def stamped(
    numbers: Iterable[int], upstream: str = "edge01/hub", epoch: str = EPOCH
) -> list[bytes]:
    return [
        b"<13>1 2026-11-23T07:28:45Z h app - - "
        + f'[relay@32473 hop="{upstream}/{epoch}/{number}"] x'.encode()
        for number in numbers
    ]


def lines(messages: Iterable[bytes]) -> bytes:
    return b"".join(message + b"\n" for message in messages)


def counted(messages: Iterable[bytes]) -> bytes:
    return b"".join(b"%d %b" % (len(message), message) for message in messages)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "received.log"


@pytest.mark.parametrize("framed", [lines, counted])
def test_a_whole_file_is_fine_in_any_order(
    execute: Execute, file: Path, framed: Callable[[Iterable[bytes]], bytes]
) -> None:
    file.write_bytes(framed(stamped([5, 3, 4, 8, 7, 6])))
    result = execute("verify", str(file))
    assert (result.exit_code, result.stderr) == (0, "")
    head, row = result.stdout.splitlines()
    assert head.split() == [
        "UPSTREAM", "EPOCH", "MESSAGES", "FIRST", "LAST", "GAPS", "MISSING", "DUPLICATES",
    ]  # fmt: skip
    assert row.split() == ["edge01/hub", EPOCH, "6", "3", "8", "0", "0", "0"]


def test_gaps_and_duplicates_are_told_exactly(execute: Execute, file: Path) -> None:
    received = [*range(100), *range(107, 500), *range(501, 1000), 10, 11]
    other = stamped([1, 2, 3], "edge02/hub")
    file.write_bytes(lines([*stamped(received), *other, b"<13>no record"]))
    result = execute("verify", str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1:] == [
        f"edge01/hub  {EPOCH}       994      0   999     2        8           2",
        f"edge02/hub  {EPOCH}         3      1     3     0        0           0",
        "edge01/hub: missing 8: 100 to 106, 500",
        "edge01/hub: received again 2: 10 to 11",
        "1 messages without a hop record",
    ]


def test_json_has_every_range(execute: Execute, file: Path) -> None:
    file.write_bytes(lines(stamped([*range(0, 100, 2), 4, 4])))
    result = execute("verify", str(file), "--json")
    assert result.exit_code == 1
    (epoch,) = json.loads(result.stdout)["epochs"]
    assert epoch["missing"] == [[number, number] for number in range(1, 99, 2)]
    assert epoch["duplicates"] == [[4, 4], [4, 4]]
    assert (epoch["messages"], epoch["first"], epoch["last"]) == (52, 0, 98)


def test_an_epoch_that_goes_on_is_nothing_to_tell(execute: Execute, file: Path) -> None:
    file.write_bytes(lines([*stamped([1, 2]), *stamped([3, 4], epoch=LATER)]))
    result = execute("verify", str(file))
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 3


@pytest.mark.parametrize("first", [1, 2, 4])
def test_an_epoch_that_begins_anew_is_told(execute: Execute, file: Path, first: int) -> None:
    file.write_bytes(lines([*stamped([1, 2]), *stamped([first, first + 1], epoch=LATER)]))
    result = execute("verify", str(file))
    assert result.exit_code == 0
    assert result.stdout.splitlines()[3:] == [
        f"edge01/hub: numbers begin anew in epoch {LATER}: what was lost before is not known"
    ]


@pytest.mark.parametrize("content", [b"", b"<13>a\n<13>b\n"])
def test_a_file_without_records_proves_nothing(
    execute: Execute, file: Path, content: bytes
) -> None:
    file.write_bytes(content)
    result = execute("verify", str(file))
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "no message has a hop record: this proves nothing"


def test_what_is_cut_off_at_the_end_is_told(execute: Execute, file: Path) -> None:
    file.write_bytes(counted(stamped([1, 2]))[:-5])
    result = execute("verify", "--framing", "octet", str(file))
    assert result.stdout.splitlines()[-1] == "1 messages cut off by the end of the file"
