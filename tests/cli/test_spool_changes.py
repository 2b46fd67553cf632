"""`relay spool purge`, `replay` and `adopt`: while no relay runs, and the books know."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from relay.cli.spool.state import Change, State
from relay.core.account import PipeAccount
from relay.core.batch import Batch
from relay.spool.cursor import newest
from relay.spool.page import CrashPage, PipeRecord
from relay.spool.store import Store
from relay.system.directory import SystemFile
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
    cursor = newest((state / "spool" / pipe / "cursor").read_bytes())
    assert cursor
    page.take_lost(pipe, 0, cursor.store)
    page.slot(pipe).write(
        PipeAccount(pipe, received=held), next_number=next_number, head=head, at_risk=at_risk
    )
    file.close()


def start(state: Path, pipe: str) -> tuple[int, int]:
    """How many messages the next start finds, and how many it tells as lost in a crash."""
    change = Change(State(str(state)), State(str(state)).page)
    if pipe not in change.state.spools():
        return 0, change.page.take_lost(pipe, 0)
    with change.state.look(pipe) as store:
        found = store.report.messages
        return found, change.page.take_lost(pipe, found, store.identity)


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


def test_who_answers_no_after_a_boot_has_changed_nothing(execute: Execute, state: Path) -> None:
    """Not even whose boot the page is of: its records would be believed in this one."""
    fill(state, "siem", 10)
    file = SystemPageFile.open(str(state))
    page = CrashPage(file, "another boot")
    page.take_lost("siem", 0)
    page.slot("siem").write(PipeAccount("siem", received=9), next_number=19, head=10, at_risk=9)
    file.close()
    before = (state / "crash-page").read_bytes()
    result = execute("spool", "purge", "siem", "--state-dir", str(state), stdin=b"n\n")
    assert result.exit_code != 0
    assert (state / "crash-page").read_bytes() == before


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


def test_what_root_changes_still_belongs_to_the_relay() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with TemporaryDirectory() as directory:  # nobody else gets through pytest's own ones
        state = Path(directory)
        path = fill(state, "siem", 10)
        for each in (state, *state.rglob("*")):
            os.chown(each, 12345, 12345)
        (path / "lock").unlink()
        (path / "cursor").unlink()
        command = [sys.executable, "-m", "relay", "spool", "purge", "siem", "--before", "4", "-y"]
        done = subprocess.run(
            [*command, "--state-dir", directory], capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
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


def test_replay_puts_all_of_an_export_back_or_nothing(
    execute: Execute, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever call to the disk fails, it can be done again, and nothing comes twice."""
    fill(state, "old", *range(100, 2_500, 100))
    fill(state, "siem", 5)
    out = str(state.parent / "old.json")
    options = ("--state-dir", str(state))
    execute("spool", "export", "old", out, "--format", "json", *options)
    calls = [0, -1]

    def counted(shipped: object) -> object:
        def call(self: SystemFile, *args: object) -> object:
            calls[0] += 1
            if calls[0] == calls[1]:
                raise OSError(errno.ENOSPC, "No space left on device")
            assert callable(shipped)
            return shipped(self, *args)

        return call

    for name in ("write", "allocate", "sync"):
        monkeypatch.setattr(SystemFile, name, counted(getattr(SystemFile, name)))
    failed, code = 0, 1
    while code:
        calls[:] = [0, failed + 1]
        result = execute("spool", "replay", "siem", out, *options)
        code = result.exit_code
        if code:
            failed += 1
            assert result.stderr == "relay: spool of pipe siem: no space left on device\n"
            calls[1] = -1
            assert start(state, "siem") == (5, 0), failed
    assert failed > 10
    assert held(execute, state, "siem") == [*range(5), *range(2_400)]
    assert start(state, "siem") == (2_405, 0)


def test_replay_on_a_full_disk_leaves_the_room_that_there_was(
    execute: Execute, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(state, "old", *range(100, 20_000, 100))
    path = fill(state, "siem", 5)
    out = str(state.parent / "old.json")
    options = ("--state-dir", str(state))
    execute("spool", "export", "old", out, "--format", "json", *options)
    before, shipped, left = {*path.iterdir()}, SystemFile.write, [100]

    def write(self: SystemFile, data: bytes, offset: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        shipped(self, data, offset)

    monkeypatch.setattr(SystemFile, "write", write)
    assert execute("spool", "replay", "siem", out, *options).exit_code == 1
    assert {*path.iterdir()} == before


@pytest.mark.parametrize("appended", [0, 3])
def test_replay_that_is_killed_has_put_nothing_back(
    appended: int, execute: Execute, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(state, "old", *range(100, 1_000, 100))
    fill(state, "siem", 5)
    out = str(state.parent / "old.json")
    options = ("--state-dir", str(state))
    execute("spool", "export", "old", out, "--format", "json", *options)
    shipped, left = Store.append, [appended]

    def append(self: Store, batches: Sequence[tuple[int, Batch]]) -> None:
        if not left[0]:
            monkeypatch.setattr(Store, "restart_after", lambda *_: None)
            raise Killed
        left[0] -= 1
        shipped(self, batches)

    monkeypatch.setattr(Store, "append", append)
    with pytest.raises(Killed):
        execute("spool", "replay", "siem", out, *options)
    monkeypatch.undo()
    assert start(state, "siem") == (5, 0)
    assert execute("spool", "replay", "siem", out, *options).exit_code == 0
    assert held(execute, state, "siem") == [*range(5), *range(900)]


def test_what_is_put_back_takes_no_more_room_than_it_needs(execute: Execute, state: Path) -> None:
    fill(state, "old", 10)
    fill(state, "siem", 1)
    out = str(state.parent / "old.json")
    options = ("--state-dir", str(state))
    execute("spool", "export", "old", out, "--format", "json", *options)
    execute("spool", "replay", "siem", out, *options)
    for segment in (state / "spool" / "siem").glob("*.seg"):
        assert segment.stat().st_blocks * 512 <= 128 << 10


@pytest.mark.parametrize(
    "line",
    [
        "<13>text", "{}", "[]", '"text"', "{", '{"received": "x"}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", "message": ""}',
        '{"received": "2026-11-18T11:06:50Z", "listener": 1, "sender": "b", "message": "m"}',
        '{"received": "2026-11-18T11:06:50", "listener": "a", "sender": "b", "message": "m"}',
        '{"received": "1969-12-31T23:59:59Z", "listener": "a", "sender": "b", "message": "m"}',
        '{"received": "9999-12-31T23:59:59Z", "listener": "a", "sender": "b", "message": "m"}',
        '{"received": 1795000000, "listener": "a", "sender": "b", "message": "m"}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": null, "message": "m"}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", "message": 1}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", '
        '"message": "\\ud800"}',
        '{"received": "2026-11-18T11:06:50Z", "listener": "%s", "sender": "b", '
        '"message": "m"}' % ("a" * 1025),
        '{"received": "2026-11-18T11:06:50Z", "listener": "a", "sender": "b", '
        '"message_base64": 7}',
        "[" * 100_000, "9" * 5_000, "",
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


def test_a_file_that_is_no_text_changes_nothing(execute: Execute, state: Path) -> None:
    fill(state, "siem", 5)
    path = state.parent / "file"
    path.write_bytes(b"\xff\xfe{}\n")
    result = execute("spool", "replay", "siem", str(path), "--state-dir", str(state))
    assert (result.exit_code, result.stderr) == (2, f"relay: {path} is no export in JSON\n")
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
    assert (record.held, record.at_risk, record.next, record.head) == (17, 0, 22, 3)
    assert start(state, "new") == (17, 0)
    assert start(state, "old") == (0, 2), "what a crash has cost the old pipe, that one tells"


class Killed(BaseException):
    """Nothing after this happens."""


@pytest.mark.parametrize("at", ["disown", "rename", "adopt"])
def test_adopt_that_is_killed_counts_nothing_as_delivered_or_as_lost(
    at: str, execute: Execute, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page said that as many messages of the new pipe had left as the old one holds."""
    fill(state, "old", 10, 20, settled=3)
    fill(state, "new")
    book(state, "old", held=19, at_risk=2, next_number=22, head=3)
    book(state, "new", held=1, at_risk=1, next_number=40, head=39)

    def killed(*_: object, **__: object) -> None:
        raise Killed

    monkeypatch.setattr(os if at == "rename" else Change, at, killed)
    arguments = ("spool", "adopt", "old", "new", "--state-dir", str(state))
    with pytest.raises(Killed):
        execute(*arguments)
    monkeypatch.undo()
    moved = at == "adopt"
    assert start(state, "new") == (17 if moved else 0, 1)
    assert start(state, "old") == (0 if moved else 17, 2)
    if not moved:
        assert execute(*arguments).exit_code == 0
        assert (start(state, "new"), start(state, "old")) == ((17, 1), (0, 2))


def test_a_spool_that_was_moved_by_hand_is_delivered_by_whoever_has_it_now(
    execute: Execute, state: Path
) -> None:
    """The page says of the new name that far more has left: of a spool that is there no more."""
    fill(state, "old", 10, 20, settled=3)
    fill(state, "new", 50, settled=45)
    book(state, "old", held=17, at_risk=0, next_number=20, head=3)
    book(state, "new", held=5, at_risk=0, next_number=50, head=45)
    shutil.rmtree(state / "spool" / "new")
    (state / "spool" / "old").rename(state / "spool" / "new")
    assert held(execute, state, "new") == [*range(3, 20)]
    assert start(state, "new") == (17, 5)


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
