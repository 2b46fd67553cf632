"""`relay spool list`, `cat`, `verify` and `export`: nothing on disk changes, whoever has it."""

import errno
import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from relay.core.account import PipeAccount
from relay.spool.cursor import newest
from relay.spool.page import CrashPage
from relay.spool.store import Store
from relay.system.directory import SystemDirectory
from relay.system.drop_counts import boot_id
from relay.system.page_file import SystemPageFile
from relay.wire.framing import Framer, FramingCounts
from tests.cli.conftest import Execute, write
from tests.cli.spools import BEGAN_NS, batch, fill, flip, numbers


def files(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


# -- list


def test_list_says_what_each_spool_holds(execute: Execute, state: Path) -> None:
    fill(state, "siem", 10, 30, settled=12)
    fill(state, "empty")
    result = execute("spool", "list", "--state-dir", str(state), "--json")
    assert result.exit_code == 0
    empty, siem = json.loads(result.stdout)
    assert empty["held"] == 0
    assert empty["oldest"] is None
    assert (siem["pipe"], siem["state"], siem["held"]) == ("siem", "idle", 18)
    assert (siem["first"], siem["next"], siem["segments"]) == (12, 30, 1)
    assert siem["oldest"] == "2026-11-18T11:06:50.000Z"
    table = execute("spool", "list", "--state-dir", str(state)).stdout.splitlines()
    assert table[0].split() == [
        "PIPE", "STATE", "HELD", "BYTES", "SEGMENTS", "FIRST", "NEXT", "OLDEST"
    ]  # fmt: skip
    assert table[2].split()[:3] == ["siem", "idle", "18"]


def test_list_tells_orphans_from_what_is_configured(execute: Execute, tmp_path: Path) -> None:
    fill(tmp_path / "state", "look", 5)
    fill(tmp_path / "state", "gone", 5)
    config = write(tmp_path)
    views = json.loads(execute("spool", "list", "--config", config, "--json").stdout)
    assert {view["pipe"]: view["state"] for view in views} == {"gone": "orphan", "look": "idle"}
    warnings = execute("check", "--config", config).stdout
    assert "warning: spool of pipe gone: 5 messages, and there is no such pipe" in warnings
    assert "spool of pipe look" not in warnings


def test_a_spool_that_a_process_has_is_in_use_and_can_be_read(
    execute: Execute, state: Path
) -> None:
    path = fill(state, "siem", 10)
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    store.append([(10, batch(10, 12))])
    before = files(state)
    view = json.loads(execute("spool", "list", "--state-dir", str(state), "--json").stdout)[0]
    assert (view["state"], view["held"]) == ("in use", 12)
    result = execute("spool", "cat", "siem", "--state-dir", str(state))
    assert numbers(result.stdout) == [*range(12)]
    assert files(state) == before
    store.commit()
    store.close()


def test_what_is_out_of_the_ordinary_is_told_and_left(execute: Execute, state: Path) -> None:
    path = fill(state, "siem", 10)
    (path / "notes.txt").write_text("mine")
    (path / "link").symlink_to("/etc/passwd")
    segment = next(path.glob("*.seg"))
    with segment.open("ab") as file:
        file.write(b"\xa5" * 77)
    before = files(state)
    result = execute("spool", "list", "--state-dir", str(state))
    assert result.exit_code == 0
    assert "pipe siem: 77 octets of an unfinished write were cut off" in result.stdout
    assert "notes.txt is none of ours" in result.stdout
    assert "link is none of ours" in result.stdout
    assert files(state) == before


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_a_crash_page_that_is_no_file_is_neither_followed_nor_waited_for(
    kind: str, execute: Execute, state: Path
) -> None:
    path = fill(state, "siem", 10, settled=2)
    page = CrashPage(file := SystemPageFile.open(str(state)), boot_id())
    cursor = newest((path / "cursor").read_bytes())
    assert cursor
    page.take_lost("siem", 0, cursor.store)
    page.slot("siem").write(PipeAccount("siem", received=1), next_number=10, head=9)
    file.close()
    real = state / "crash-page"
    options = ("--state-dir", str(state))
    assert numbers(execute("spool", "cat", "siem", *options).stdout) == [9]
    real.rename(state / "elsewhere")
    if kind == "fifo":
        os.mkfifo(real)
    elif kind == "link":
        real.symlink_to(state / "elsewhere")
    else:
        real.mkdir()
    assert numbers(execute("spool", "cat", "siem", *options).stdout) == [*range(2, 10)]
    result = execute("spool", "purge", "siem", "--yes", *options)
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


def test_no_state_directory_has_no_spools(execute: Execute, tmp_path: Path) -> None:
    assert execute("spool", "list", "--state-dir", str(tmp_path)).stdout == "no spools\n"
    result = execute("spool", "list", "--state-dir", str(tmp_path / "nowhere"))
    assert result.exit_code == 2
    assert result.stderr == f"relay: {tmp_path}/nowhere is no directory\n"


def test_a_spool_that_is_a_link_is_not_followed(execute: Execute, state: Path) -> None:
    elsewhere = fill(state.parent / "other", "siem", 10)
    (state / "spool").mkdir(parents=True)
    (state / "spool" / "siem").symlink_to(elsewhere)
    assert execute("spool", "list", "--state-dir", str(state)).stdout == "no spools\n"
    result = execute("spool", "cat", "siem", "--state-dir", str(state))
    assert result.exit_code == 1
    assert "no spool of pipe siem" in result.stderr


# -- cat


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), range(12, 30)),
        (("--from", "0"), range(30)),
        (("--from", "20"), range(20, 30)),
        (("--to", "20"), range(12, 21)),
        (("--from", "3", "--to", "4"), range(3, 5)),
        (("--limit", "2"), range(12, 14)),
        (("-n", "0"), range(0)),
        (("--from", "25", "--to", "24"), range(0)),
        (("--from", "1000"), range(0)),
        (("--since", "2026-11-18T11:06:50Z"), range(12, 30)),
        (("--since", "2026-11-18T11:06:51Z"), range(20, 30)),
        (("--until", "2026-11-18T11:06:59Z"), range(12, 20)),
        (("--until", "2026-11-18T11:06:39+00:00"), range(0)),
    ],
)
def test_cat_prints_what_is_selected(
    options: Sequence[str], expected: range, execute: Execute, state: Path
) -> None:
    fill(state, "siem", 10, 20, 30, settled=12)
    result = execute("spool", "cat", "siem", "--state-dir", str(state), *options)
    assert result.exit_code == 0
    assert numbers(result.stdout) == [*expected]


def test_cat_can_say_where_a_message_is_from(execute: Execute, state: Path) -> None:
    fill(state, "siem", 2)
    arguments = ("spool", "cat", "siem", "--state-dir", str(state), "-n", "1")
    assert execute(*arguments, "--long").stdout == (
        "0 2026-11-18T11:06:40.000Z net 192.0.2.1 <13>0\n"
    )
    assert json.loads(execute(*arguments, "--json").stdout) == {
        "number": 0, "received": "2026-11-18T11:06:40.000Z", "listener": "net",
        "sender": "192.0.2.1", "message": "<13>0",
    }  # fmt: skip


def test_no_message_breaks_out_of_its_line(execute: Execute, state: Path) -> None:
    path = fill(state, "siem")
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    hostile = batch(0, 1)
    messages = [b"<13>one\n<13>two\x1b[2J\xff"]
    store.append([(0, type(hostile).of(messages, ["a b\n"], "net", BEGAN_NS))])
    store.commit()
    store.close()
    arguments = ("spool", "cat", "siem", "--state-dir", str(state))
    assert execute(*arguments).stdout == "<13>one#012<13>two#033[2J#377\n"
    assert execute(*arguments, "-l").stdout.split(" ")[3] == "a#040b#012"
    assert "message_base64" in json.loads(execute(*arguments, "--json").stdout)


def test_damage_is_told_in_its_place_and_the_rest_printed(execute: Execute, state: Path) -> None:
    path = fill(state, "siem", 10, 20, 30)
    segment = next(path.glob("*.seg"))
    flip(segment, segment.read_bytes().index(b"<13>15"))
    result = execute("spool", "cat", "siem", "--state-dir", str(state))
    assert result.exit_code == 1
    assert numbers(result.stdout) == [*range(10), *range(20, 30)]
    assert "relay: spool of pipe siem: messages 10 to 19 (10) are damaged" in result.stderr
    assert not (path / "quarantine").exists()


@pytest.mark.parametrize("options", [("--since", "soon"), ("--from", "-1"), ("--limit", "x")])
def test_a_selection_that_is_none_is_a_mistake(
    options: Sequence[str], execute: Execute, state: Path
) -> None:
    fill(state, "siem", 10)
    result = execute("spool", "cat", "siem", "--state-dir", str(state), *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert len(result.stderr.splitlines()) <= 4


# -- verify


def test_verify_reads_everything(execute: Execute, state: Path) -> None:
    fill(state, "siem", 10, 20, 30, settled=12)
    result = execute("spool", "verify", "--state-dir", str(state))
    assert result.exit_code == 0
    assert result.stdout == "siem: sound; 18 messages held, 12 delivered and still there\n"


def test_what_was_never_written_is_no_damage(execute: Execute, state: Path) -> None:
    """Numbers that were delivered before the disk took them: holes that the cursor has passed."""
    path = fill(state, "siem", 5)
    store = Store.open(SystemDirectory(str(path)), octets_max=1 << 20)
    store.append([(5, batch(5, 8)), (12, batch(12, 20))])
    store.commit()
    store.settle(15)
    store.save_cursor(sync=False)
    store.close()
    printed = execute("spool", "cat", "siem", "--from", "0", "--state-dir", str(state))
    assert (printed.exit_code, printed.stderr) == (0, "")
    assert numbers(printed.stdout) == [*range(5, 8), *range(12, 20)]
    result = execute("spool", "verify", "siem", "--state-dir", str(state), "--json")
    [found] = json.loads(result.stdout)
    assert (found["sound"], found["damaged_delivered"], found["remarks"]) == (True, 0, [])


@pytest.mark.parametrize(("settled", "held", "delivered"), [(0, 10, 0), (15, 5, 5), (20, 0, 10)])
def test_verify_counts_damage_of_what_is_held_and_of_what_has_left(
    settled: int, held: int, delivered: int, execute: Execute, state: Path
) -> None:
    path = fill(state, "siem", 10, 20, 30, settled=settled)
    segment = next(path.glob("*.seg"))
    flip(segment, segment.read_bytes().index(b"<13>15"))
    result = execute("spool", "verify", "siem", "--state-dir", str(state), "--json")
    (view,) = json.loads(result.stdout)
    assert (view["damaged_held"], view["damaged_delivered"]) == (held, delivered)
    assert (view["sound"], result.exit_code) == (not held, 1 if held else 0)
    assert "messages 10 to 19 (10) are damaged" in view["remarks"][0]


# -- export


def test_export_writes_frames_that_any_listener_takes(execute: Execute, state: Path) -> None:
    fill(state, "siem", 10, 20)
    out = state.parent / "siem.octet"
    result = execute("spool", "export", "siem", str(out), "--state-dir", str(state))
    assert result.stdout == f"20 messages of pipe siem written to {out}\n"
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    framer = Framer("octet", message_max=8192, frame_max=8192, counts=FramingCounts())
    assert framer.feed(out.read_bytes()) == [b"<13>%d" % number for number in range(20)]
    assert not list(state.parent.glob("*.part"))


def test_export_replaces_nothing_unless_told(execute: Execute, state: Path) -> None:
    fill(state, "siem", 3)
    out = state.parent / "out"
    out.write_text("precious")
    arguments = ("spool", "export", "siem", str(out), "--state-dir", str(state), "--format", "lf")
    result = execute(*arguments)
    assert result.exit_code == 1
    assert result.stderr == f"relay: {out} exists already (--force replaces it)\n"
    assert out.read_text() == "precious"
    assert execute(*arguments, "--force").exit_code == 0
    assert numbers(out.read_text()) == [0, 1, 2]


def test_export_goes_to_stdout_for_a_dash(execute: Execute, state: Path) -> None:
    fill(state, "siem", 3)
    arguments = ("spool", "export", "siem", "-", "--state-dir", str(state), "--format", "lf")
    assert numbers(execute(*arguments).stdout) == [0, 1, 2]


def test_an_export_with_damage_says_so_and_has_the_rest(execute: Execute, state: Path) -> None:
    path = fill(state, "siem", 10, 20)
    segment = next(path.glob("*.seg"))
    flip(segment, segment.read_bytes().index(b"<13>15"))
    out = state.parent / "out"
    arguments = ("spool", "export", "siem", str(out), "--state-dir", str(state), "--format", "lf")
    assert execute(*arguments).exit_code == 1
    assert numbers(out.read_text()) == [*range(10)]


def test_a_file_that_cannot_be_made_is_one_line(execute: Execute, state: Path) -> None:
    fill(state, "siem", 3)
    out = state.parent / "nowhere" / "out"
    result = execute("spool", "export", "siem", str(out), "--state-dir", str(state))
    assert (result.exit_code, len(result.stderr.splitlines())) == (1, 1)


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_what_a_killed_export_has_left_is_in_nobody_s_way(
    options: Sequence[str], execute: Execute, state: Path
) -> None:
    fill(state, "siem", 3)
    out = state.parent / "out"
    arguments = ("spool", "export", "siem", str(out), "--state-dir", str(state), *options)

    def killed(*_: object) -> None:
        raise SystemExit

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", killed)
        patch.setattr(os, "unlink", lambda _: None)
        execute(*arguments)
    assert not out.exists()
    assert len([*state.parent.glob(".out.*.part")]) == 1
    out.with_name("out.part").write_text("of somebody")
    assert execute(*arguments).exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert out.with_name("out.part").read_text() == "of somebody"


@pytest.mark.parametrize("error", [errno.EPERM, errno.EOPNOTSUPP])
def test_export_works_where_there_are_no_hard_links(
    error: int, execute: Execute, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stick with vfat, for one; what somebody else has put there meanwhile stays."""
    fill(state, "siem", 3)
    out, taken = state.parent / "out", state.parent / "taken"

    def link(_: str, new: str) -> None:
        if new == str(taken):
            taken.write_text("precious")
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "link", link)
    options = ("--state-dir", str(state), "--format", "lf")
    assert execute("spool", "export", "siem", str(out), *options).exit_code == 0
    assert numbers(out.read_text()) == [0, 1, 2]
    result = execute("spool", "export", "siem", str(taken), *options)
    assert (result.exit_code, result.stderr) == (1, f"relay: {taken}: file exists\n")
    assert taken.read_text() == "precious"
    assert not [*state.parent.glob(".*.part")]
