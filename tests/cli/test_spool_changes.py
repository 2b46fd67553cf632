"""`relay spool purge`, `replay` and `adopt`: while no relay runs, and the books know."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.core.account import PipeAccount
from relay.spool.page import CrashPage, PipeRecord
from relay.system.drop_counts import boot_id
from relay.system.page_file import SystemPageFile
from tests.cli.conftest import Execute
from tests.cli.spools import fill, numbers


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def held(execute: Execute, state: Path, pipe: str) -> Sequence[int]:
    return numbers(execute("spool", "cat", pipe, "--state-dir", str(state)).stdout)


def book(state: Path, pipe: str, *, held: int, at_risk: int, next_number: int, head: int) -> None:
    """What a process has left on the crash page that was killed."""
    file = SystemPageFile.open(str(state))
    page = CrashPage(file, boot_id())
    page.take_lost(pipe, 0)
    page.slot(pipe).write(
        PipeAccount(pipe, received=held), next_number=next_number, head=head, at_risk=at_risk
    )
    file.close()


def booked(state: Path, pipe: str) -> PipeRecord:
    file = SystemPageFile.open(str(state))
    record = CrashPage(file, boot_id()).believed()[pipe]
    file.close()
    return record


# -- purge


@pytest.mark.parametrize(
    ("options", "gone", "left"),
    [
        ((), 28, range(0)),
        (("--before", "15"), 13, range(15, 30)),
        (("--before", "1"), 0, range(2, 30)),
        (("--before", "1000"), 28, range(0)),
        (("--until", "2026-11-18T11:06:50Z"), 18, range(20, 30)),
        (("--until", "2026-11-18T11:00:00Z"), 0, range(2, 30)),
    ],
)
def test_purge_throws_away_what_is_selected(
    options: Sequence[str], gone: int, left: range, execute: Execute, state: Path
) -> None:
    fill(state, "siem", 10, 20, 30, settled=2)
    result = execute("spool", "purge", "siem", "--state-dir", str(state), "--yes", *options)
    assert (result.exit_code, result.stdout) == (0, f"{gone} messages of pipe siem thrown away\n")
    assert held(execute, state, "siem") == [*left]
    assert booked(state, "siem").held == len(left)
    assert booked(state, "siem").next == 30


def test_purge_asks_first(execute: Execute, state: Path) -> None:
    fill(state, "siem", 10)
    arguments = ("spool", "purge", "siem", "--state-dir", str(state))
    result = execute(*arguments, stdin=b"n\n")
    assert result.exit_code != 0
    assert "Throw 10 messages of pipe siem away?" in result.stderr
    assert held(execute, state, "siem") == [*range(10)]
    assert execute(*arguments, stdin=b"y\n").exit_code == 0
    assert held(execute, state, "siem") == []


def test_while_it_asks_a_relay_may_start(
    execute: Execute, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would have no crash page for as long as it lives; then nothing is thrown away."""
    fill(state, "siem", 10)
    relays: list[SystemPageFile] = []

    def starts(*_: object, **__: object) -> bool:
        relays.append(SystemPageFile.open(str(state)))
        return True

    monkeypatch.setattr("click.confirm", starts)
    result = execute("spool", "purge", "siem", "--state-dir", str(state))
    assert "a relay is running" in result.stderr
    relays[0].close()
    assert held(execute, state, "siem") == [*range(10)]


def test_what_root_changes_still_belongs_to_the_relay(state: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    path = fill(state, "siem", 10)
    for each in (state, *state.rglob("*")):
        os.chown(each, 12345, 12345)
    for above in list(state.parents)[:4]:
        above.chmod(0o755)
    (path / "lock").unlink()
    (path / "cursor").unlink()
    command = [sys.executable, "-m", "relay", "spool", "purge", "siem", "--before", "4", "--yes"]
    subprocess.run([*command, "--state-dir", str(state)], check=True, capture_output=True)
    assert {it.stat().st_uid for it in (state / "crash-page", *path.iterdir())} == {12345}


def test_what_is_purged_is_not_told_as_lost_in_the_crash(execute: Execute, state: Path) -> None:
    """The process before was killed with 14 messages, of which 3 had been in memory alone."""
    fill(state, "siem", 11)
    book(state, "siem", held=14, at_risk=3, next_number=14, head=0)
    execute("spool", "purge", "siem", "--state-dir", str(state), "--yes")
    record = booked(state, "siem")
    assert (record.held, record.at_risk, record.next) == (3, 3, 14)


@pytest.mark.parametrize(
    "command", [("purge", "siem", "-y"), ("replay", "siem"), ("adopt", "siem", "other")]
)
def test_while_a_relay_runs_nothing_is_changed(
    command: Sequence[str], execute: Execute, state: Path
) -> None:
    path = fill(state, "siem", 10)
    file = SystemPageFile.open(str(state))
    before = {each.name: each.read_bytes() for each in path.iterdir()}
    result = execute("spool", *command, "--state-dir", str(state))
    assert result.exit_code == 1
    assert result.stderr == f"relay: a relay is running with {state}: stop it first\n"
    assert before == {each.name: each.read_bytes() for each in path.iterdir()}
    file.close()


# -- replay


def test_replay_brings_back_what_has_left_as_a_whole(execute: Execute, state: Path) -> None:
    """All was delivered when the relay was killed, as the crash page knows."""
    fill(state, "siem", 10, 20, settled=5)
    book(state, "siem", held=0, at_risk=0, next_number=20, head=20)
    result = execute("spool", "replay", "siem", "--state-dir", str(state))
    assert result.stdout == "20 messages will be delivered by pipe siem at the next start\n"
    assert held(execute, state, "siem") == [*range(20)]
    record = booked(state, "siem")
    assert (record.held, record.head, record.next) == (20, 0, 20)


@pytest.mark.parametrize(
    ("options", "again", "expected"),
    [((), 12, range(30)), (("--from", "5"), 7, range(5, 30)), (("--from", "99"), 0, range(12, 30))],
)
def test_replay_delivers_again_what_is_still_there(
    options: Sequence[str], again: int, expected: range, execute: Execute, state: Path
) -> None:
    fill(state, "siem", 10, 20, 30, settled=12)
    result = execute("spool", "replay", "siem", "--state-dir", str(state), *options)
    text = f"{again} messages will be delivered by pipe siem at the next start\n"
    assert (result.exit_code, result.stdout) == (0, text)
    assert held(execute, state, "siem") == [*expected]
    assert booked(state, "siem").head == expected.start


def test_replay_puts_an_export_behind_what_is_held(execute: Execute, state: Path) -> None:
    fill(state, "old", 10, 20)
    fill(state, "siem", 5)
    out = str(state.parent / "old.json")
    options = ("--state-dir", str(state))
    execute("spool", "export", "old", out, "--format", "json", *options)
    assert execute("spool", "replay", "siem", out, *options).exit_code == 0
    assert held(execute, state, "siem") == [*range(5), *range(20)]
    arguments = ("spool", "cat", "siem", *options, "--json", "--from", "15")
    first = json.loads(execute(*arguments).stdout.splitlines()[0])
    assert first == {
        "number": 15, "received": "2026-11-18T11:06:50.000Z", "listener": "net",
        "sender": "192.0.2.1", "message": "<13>10",
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        "<13>text", "{}", "[]", '"text"', "{", '{"received": "x"}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", "message": ""}',
        '{"received": "2026-11-18T11:06:50Z", "listener": 1, "sender": "b", "message": "m"}',
        '{"received": "2026-11-18T11:06:50", "listener": "a", "sender": "b", "message": "m"}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", '
        '"message_base64": "?"}',
    ],
)  # fmt: skip
def test_a_file_that_is_no_export_changes_nothing(line: str, execute: Execute, state: Path) -> None:
    fill(state, "siem", 5)
    good = '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", "message": "m"}'
    path = state.parent / "file"
    path.write_text(f"{good}\n{line}\n")
    result = execute("spool", "replay", "siem", str(path), "--state-dir", str(state))
    assert result.exit_code == 2
    assert result.stderr == f"relay: {path}:2: this line is none of an export in JSON\n"
    assert held(execute, state, "siem") == [*range(5)]


# -- adopt


def test_another_pipe_adopts_a_spool_and_what_the_page_says_of_it(
    execute: Execute, state: Path
) -> None:
    fill(state, "old", 10, 20, settled=3)
    fill(state, "new")
    book(state, "old", held=19, at_risk=2, next_number=22, head=3)
    result = execute("spool", "adopt", "old", "new", "--state-dir", str(state))
    assert result.stdout == "pipe new has the spool of old now, with 17 messages\n"
    assert held(execute, state, "new") == [*range(3, 20)]
    assert not (state / "spool" / "old").exists()
    record = booked(state, "new")
    assert (record.held, record.at_risk, record.next, record.head) == (19, 2, 22, 3)
    assert booked(state, "old").held == 0


def test_files_of_others_are_not_removed_with_an_empty_spool(execute: Execute, state: Path) -> None:
    fill(state, "old", 10)
    mine = fill(state, "new") / "notes.txt"
    mine.write_bytes(b"mine")
    result = execute("spool", "adopt", "old", "new", "--state-dir", str(state))
    assert result.exit_code == 1
    assert "has other files" in result.stderr
    assert mine.read_bytes() == b"mine"
    assert held(execute, state, "old") == [*range(10)]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("old", "full", "spool of pipe full holds 5 messages"),
        ("nope", "new", "no spool of pipe nope"),
        ("old", "old", "a pipe cannot adopt its own spool"),
        ("old", "../../x", "is no name of a pipe"),
        ("old", "kept", "kept has other files"),
    ],
)
def test_what_cannot_be_adopted_stays_where_it_is(
    old: str, new: str, text: str, execute: Execute, state: Path
) -> None:
    fill(state, "old", 10)
    fill(state, "full", 5)
    (fill(state, "kept") / "quarantine").mkdir()
    result = execute("spool", "adopt", old, new, "--state-dir", str(state))
    assert result.exit_code in (1, 2)
    assert text in result.stderr
    assert held(execute, state, "old") == [*range(10)]
    assert held(execute, state, "full") == [*range(5)]
