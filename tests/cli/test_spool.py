"""`relay spool` on a state directory that no relay uses."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from relay.cli.commands import cli
from relay.system.page_file import SystemPageFile
from tests.cli.conftest import Execute, write
from tests.core.parts import RECEIVED_NS, make_batch
from tests.spool.real import content, fill, open_store, segments, spoil

SECOND = 10**9
STAMP = "2026-11-23T07:45:25.000Z"

Run = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The directory of spools of a configuration in which only `look` is a pipe."""
    write(tmp_path)
    path = tmp_path / "state" / "spool"
    path.mkdir(parents=True)
    return path


@pytest.fixture
def run(execute: Execute, state: Path) -> Run:
    """A subcommand on the configuration of that directory."""

    def run(command: str, *arguments: str, **extra: bytes) -> Result:
        config = str(state.parents[1] / "relay.toml")
        return execute("spool", command, *arguments, "--config", config, **extra)

    return run


def talk(path: Path) -> None:
    """Three batches, a second apart; some text must not break out of its line."""
    store = open_store(path)
    for place, messages in enumerate(((b"<13>a", b"<13>b\nb"), (b"<13>\x1b[2J",), (b"<13>\xff",))):
        received_ns = RECEIVED_NS + place * SECOND
        store.append([(store.next, make_batch(*messages, received_ns=received_ns))])
    store.commit()
    store.save_cursor(sync=True)
    store.close()


# -- list


def test_every_spool_has_a_line(run: Run, state: Path) -> None:
    fill(state / "look", *[5] * 20, settled=30)
    fill(state / "old", 3)
    result = run("list")
    assert result.exit_code == 0
    head, look, old = result.stdout.splitlines()
    assert head.split() == [
        "PIPE", "STATE", "OLDEST", "MESSAGES", "OCTETS", "SEGMENTS", "FIRST", "NEXT",
    ]  # fmt: skip
    octets = sum(len(it.read_bytes()) for it in segments(state / "look"))
    count = len(segments(state / "look"))
    expected = ["look", "idle", STAMP, "70", str(octets), str(count), "30", "100"]
    assert look.split() == expected
    assert old.split()[:4] == ["old", "orphan", STAMP, "3"]


def test_one_in_use_is_shown_as_that(run: Run, state: Path) -> None:
    store = open_store(state / "old")
    store.append([(0, make_batch(b"a"))])
    store.commit()
    [found] = json.loads(run("list", "--json").stdout)
    assert (found["state"], found["messages"]) == ("in use", 1)
    store.close()
    [found] = json.loads(run("list", "--json").stdout)
    assert found["state"] == "orphan"


def test_with_the_directory_alone_no_pipe_is_known(execute: Execute, state: Path) -> None:
    fill(state / "old", 3)
    result = execute("spool", "list", "--state-dir", str(state.parent), "--json")
    [found] = json.loads(result.stdout)
    assert (found["pipe"], found["state"]) == ("old", "idle")
    assert found["path"] == str(state / "old")


def test_what_is_odd_is_told(run: Run, state: Path) -> None:
    fill(state / "odd", 3)
    (state / "odd" / "notes\n").touch()
    with segments(state / "odd")[0].open("ab") as file:
        file.write(b"torn")
    (state / "odd" / "cursor").write_bytes(b"\xff" * 8192)
    os.chmod(state / "odd", 0o700)
    lines = run("list").stdout.splitlines()
    assert lines[3:] == [
        "odd: no whole cursor: the next start delivers all that is on disk again",
        "odd: 4 octets of an unfinished write, never confirmed",
        "odd: 'notes\\n' is none of its files",
    ]


def test_one_that_cannot_be_read_hides_no_other(run: Run, state: Path) -> None:
    fill(state / "good", 3)
    (state / "odd").mkdir()
    os.mkfifo(state / "odd" / "00000000000000000000.seg")
    (state / "odd" / "cursor").mkdir()
    fill(state / "zoo", 1)
    (state / "zoo" / "cursor").unlink()
    (state / "zoo" / "cursor").symlink_to("/etc/passwd")
    result = run("list")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.stdout.splitlines()[1:4]] == ["good", "odd", "zoo"]


def test_there_may_be_none(run: Run, state: Path) -> None:
    assert run("list").stdout == f"no spool in {state.parent}\n"
    assert run("verify").stdout == f"no spool in {state.parent}\n"
    assert json.loads(run("list", "--json").stdout) == []


# -- cat


def test_a_message_is_a_line_and_stays_in_it(run: Run, state: Path) -> None:
    talk(state / "old")
    result = run("cat", "old")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["<13>a", "<13>b#012b", "<13>#033[2J", "<13>#377"]


def test_with_what_is_known_of_it(run: Run, state: Path) -> None:
    talk(state / "old")
    first, *_, last = run("cat", "old", "--meta").stdout.splitlines()
    assert first == f"0 {STAMP} 192.0.2.1 net <13>a"
    assert last == "3 2026-11-23T07:45:27.000Z 192.0.2.1 net <13>#377"


def test_as_json_nothing_is_lost(run: Run, state: Path) -> None:
    talk(state / "old")
    lines = [json.loads(line) for line in run("cat", "old", "--json").stdout.splitlines()]
    assert lines[1] == {
        "number": 1, "received": STAMP, "sender": "192.0.2.1", "listener": "net",
        "message": "<13>b\nb",
    }  # fmt: skip
    assert base64.b64decode(lines[3]["message_base64"]) == b"<13>\xff"


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ([], range(36, 100)),
        (["--all"], range(32, 100)),
        (["--from", "90"], range(90, 100)),
        (["--from", "33", "--to", "37"], range(33, 38)),
        (["--to", "37"], range(36, 38)),
        (["--limit", "4"], range(36, 40)),
        (["-n", "1", "--from", "50"], range(50, 51)),
        (["--from", "100"], range(0)),
        (["--to", "3"], range(0)),
        (["--since", "2026-11-23T07:45:25Z"], range(36, 100)),
        (["--since", "2026-11-23T07:45:26"], range(0)),
        (["--since", "2026-11-23T08:45:25.000+01:00", "--until", "2026-11-24"], range(36, 100)),
        (["--until", "2026-11-23T07:45:25Z"], range(0)),
        (["--since", "0s"], range(0)),
    ],
)
def test_what_is_selected(run: Run, state: Path, options: list[str], numbers: range) -> None:
    fill(state / "old", *[4] * 25, settled=36)
    result = run("cat", "old", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    assert [int(line.rstrip(".")) for line in result.stdout.splitlines()] == [*numbers]


def test_times_are_those_of_receipt(run: Run, state: Path) -> None:
    talk(state / "old")
    options = ["--since", "2026-11-23T07:45:26Z", "--until", "2026-11-23T07:45:27Z"]
    assert run("cat", "old", *options).stdout == "<13>#033[2J\n"


def test_damage_is_told_in_its_place_and_in_the_exit_code(run: Run, state: Path) -> None:
    fill(state / "old", *[4] * 25)
    name = segments(state / "old")[0].name
    spoil(segments(state / "old")[0], 200)
    result = run("cat", "old")
    assert result.exit_code == 1
    lost = result.stderr.removesuffix("\n")
    assert lost == f"relay: spool of pipe old: messages 0 to 3 cannot be read: in {name}"
    assert len(result.stdout.splitlines()) == 96
    (state / "old" / name).unlink()
    assert "a segment is missing" in run("cat", "old").stderr


def test_who_has_read_enough_is_no_fault(state: Path) -> None:
    fill(state / "old", *[200] * 200)
    config = state.parents[1] / "relay.toml"
    command = f"{sys.executable} -m relay spool cat old -c {config} | head -1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, check=True)
    assert (done.stdout.count(b"\n"), done.stderr) == (1, b"")


# -- verify


def test_a_sound_spool_is_counted(run: Run, state: Path) -> None:
    fill(state / "old", *[5] * 20, settled=32)
    fill(state / "new", 3)
    result = run("verify")
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[0][:5] == ["PIPE", "RESULT", "SEGMENTS", "FRAMES", "MESSAGES"]
    oldest = int(segments(state / "old")[0].stem)
    count = str(len(segments(state / "old")))
    left = 100 - oldest
    assert rows[1] == ["new", "sound", "1", "1", "3", "0", "0", "0"]
    assert rows[2] == ["old", "sound", count, str(left // 5), str(left), "0", "0", "0"]


def test_damage_is_counted_to_the_message(run: Run, state: Path) -> None:
    fill(state / "good", 3)
    fill(state / "old", *[5] * 20)
    first, _, gone, after = segments(state / "old")[:4]
    spoil(first, 200)
    gone.unlink()
    with segments(state / "old")[-1].open("ab") as file:
        file.write(b"torn")
    before = content(state)
    result = run("verify", "old", "good")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    missing = int(after.stem) - int(gone.stem)
    assert lines[1].split()[1] == "damaged"
    assert lines[1].split()[5:] == ["5", str(missing), "4"]
    assert lines[2].split()[:2] == ["good", "sound"]
    assert lines[4] == f"old: messages 0 to 4 cannot be read: in {first.name}"
    a_segment = f"messages {int(gone.stem)} to {int(after.stem) - 1}"
    assert lines[5].startswith(f"old: {a_segment} cannot be read: missing behind 0")
    assert content(state) == before
    [found] = json.loads(run("verify", "old", "--json").stdout)
    assert not found["sound"]
    assert found["damaged"] == [{"first": 0, "messages": 5, "what": f"in {first.name}"}]
    assert found["missing"][0]["messages"] == missing


def test_every_flipped_octet_is_found(run: Run, state: Path) -> None:
    """But for those in the end of the last segment and in what is not used."""
    fill(state / "old", 3, 3)
    [file] = segments(state / "old")
    size = len(file.read_bytes())
    for place in range(64, size, 7):
        spoil(file, place)
        assert run("verify", "old").exit_code == 1, place
        spoil(file, place)
    assert run("verify", "old").exit_code == 0


# -- export


@pytest.mark.parametrize(
    ("options", "content"),
    [
        ([], b"5 <13>a7 <13>b\nb8 <13>\x1b[2J5 <13>\xff"),
        (["--format", "lf"], b"<13>a\n<13>b#012b\n<13>\x1b[2J\n<13>\xff\n"),
        (["--format", "lf", "--from", "1", "--to", "1"], b"<13>b#012b\n"),
    ],
)
def test_a_file_is_written(
    run: Run, state: Path, tmp_path: Path, options: list[str], content: bytes
) -> None:
    talk(state / "old")
    path = tmp_path / "out"
    result = run("export", "old", str(path), *options)
    count = 1 if "--to" in options else 4
    assert (result.exit_code, result.output) == (0, f"exported {count} messages of pipe old\n")
    assert path.read_bytes() == content
    assert path.stat().st_mode & 0o777 == 0o600
    stdout = run("export", "old", "-", *options)
    assert stdout.stdout_bytes == content
    assert stdout.stderr == f"exported {count} messages of pipe old\n"


def test_an_export_in_json_has_a_line_a_message(run: Run, state: Path, tmp_path: Path) -> None:
    talk(state / "old")
    run("export", "old", str(tmp_path / "out"), "--format", "json")
    lines = (tmp_path / "out").read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == [0, 1, 2, 3]


def test_a_file_is_replaced_only_when_that_is_wanted(run: Run, state: Path, tmp_path: Path) -> None:
    talk(state / "old")
    path = tmp_path / "out"
    path.write_bytes(b"mine")
    result = run("export", "old", str(path))
    assert (result.exit_code, result.stderr) == (1, f"relay: {path}: file exists\n")
    assert path.read_bytes() == b"mine"
    assert run("export", "old", str(path), "--force").exit_code == 0
    assert path.read_bytes() != b"mine"


def test_a_damaged_spool_is_exported_as_far_as_it_goes(
    run: Run, state: Path, tmp_path: Path
) -> None:
    fill(state / "old", *[4] * 25)
    spoil(segments(state / "old")[1], 200)
    result = run("export", "old", str(tmp_path / "out"), "--format", "lf")
    assert result.exit_code == 1
    assert len((tmp_path / "out").read_bytes().splitlines()) == 96
    assert "4 messages" not in result.stderr
    assert "cannot be read" in result.stderr


# -- purge, replay, adopt


def test_what_is_thrown_away_is_asked_for_first(run: Run, state: Path) -> None:
    fill(state / "old", *[5] * 20, settled=30)
    before = content(state)
    result = run("purge", "old", stdin=b"n\n")
    assert result.exit_code == 1
    assert "Throw away 70 messages of pipe old, up to number 99? [y/N]" in result.output
    assert result.stderr.endswith("relay: nothing is thrown away\n")
    assert "not confirmed" in run("purge", "old").stderr
    assert content(state) == before
    result = run("purge", "old", stdin=b"y\n")
    assert result.exit_code == 0
    assert result.stdout.endswith("threw away 70 messages (numbers 30 to 99) of pipe old\n")
    assert run("purge", "old").stdout == "pipe old holds nothing of that\n"
    assert segments(state / "old") == []


def test_the_oldest_may_be_thrown_away_alone(run: Run, state: Path) -> None:
    fill(state / "old", *[5] * 20, settled=30)
    result = run("purge", "old", "--to", "51", "--yes")
    assert result.stdout == "threw away 22 messages (numbers 30 to 51) of pipe old\n"
    assert run("cat", "old", "-n", "1").stdout.startswith("52.")
    talk(state / "talk")
    result = run("purge", "talk", "--until", "2026-11-23T07:45:26Z", "--yes")
    assert result.stdout == "threw away 2 messages (numbers 0 to 1) of pipe talk\n"
    result = run("purge", "talk", "--to", "2", "--until", "2027-01-01", "--yes")
    assert result.stdout == "threw away 1 message (number 2) of pipe talk\n"


def test_what_has_left_is_delivered_again(run: Run, state: Path) -> None:
    fill(state / "old", *[5] * 20, settled=34)
    oldest = int(segments(state / "old")[0].stem)
    result = run("replay", "old", "--from", "33")
    assert result.stdout == "the next start delivers 1 message (number 33) of pipe old again\n"
    result = run("replay", "old")
    count = 33 - oldest
    assert result.stdout == (
        f"the next start delivers {count} messages (numbers {oldest} to 32) of pipe old again\n"
    )
    assert run("cat", "old", "-n", "1").stdout.startswith(f"{oldest}.")
    assert run("replay", "old").stdout == "nothing that has left pipe old is still on disk\n"


def test_another_pipe_adopts_a_spool(run: Run, state: Path) -> None:
    fill(state / "old", *[5] * 20, settled=30)
    fill(state / "empty", 7, settled=7)
    for new in ("look", "..", "empty"):
        old = json.loads(run("list", "--json").stdout)
        [name] = [it["pipe"] for it in old if it["messages"]]
        result = run("adopt", name, new)
        assert result.exit_code == 0, result.output
        expected = f"pipe {new} has the spool of pipe {name} now: 70 messages\n"
        assert result.stdout == expected
        assert run("cat", new).stdout.count("\n") == 70
    assert sorted(it.name for it in state.iterdir()) == ["empty"]
    assert run("verify").exit_code == 0


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda state: fill(state / "new", 3), "has a spool of its own that holds 3 messages"),
        (lambda state: (state / "new" / "sub").mkdir(parents=True), "has other files"),
        (lambda state: (state / "new" / "quarantine").mkdir(parents=True), "has other files"),
        (lambda state: (state / "new").symlink_to("/tmp"), "not a directory"),
        (lambda state: (state / "new").touch(), "not a directory"),
    ],
)
def test_a_spool_that_is_something_is_not_replaced(
    run: Run, state: Path, prepare: Callable[[Path], object], text: str
) -> None:
    fill(state / "old", 10)
    prepare(state)
    before = content(state)
    result = run("adopt", "old", "new")
    assert result.exit_code == 1
    assert text in result.stderr
    assert content(state) == before


def test_nothing_is_changed_while_a_relay_runs(run: Run, state: Path) -> None:
    fill(state / "old", *[5] * 20, settled=34)
    page = SystemPageFile.open(str(state.parent))  # as a relay does
    before = content(state)
    for command in (["purge", "old", "--yes"], ["replay", "old"], ["adopt", "old", "new"]):
        result = run(*command)
        expected = f"relay: a relay runs on {state.parent}: stop it first\n"
        assert (result.exit_code, result.stderr) == (1, expected)
    assert content(state) == before
    page.close()


def test_a_spool_that_is_locked_is_not_changed(run: Run, state: Path) -> None:
    store = open_store(state / "old")
    store.append([(0, make_batch(b"a"))])
    store.commit()
    for command in (["purge", "old", "--yes"], ["replay", "old"], ["adopt", "old", "new"]):
        result = run(*command)
        assert result.exit_code == 1
        assert "spool of pipe old: resource temporarily unavailable" in result.stderr
    store.close()


def test_what_root_changes_still_belongs_to_the_relay(state: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    fill(state / "old", *[5] * 20, settled=34)
    for path in (state.parent, state, *state.rglob("*")):
        os.chown(path, 12345, 12345)
    for above in list(state.parents)[:5]:
        above.chmod(0o755)
    (state / "old" / "lock").unlink()
    (state / "old" / "cursor").unlink()
    command = [sys.executable, "-m", "relay", "spool", "purge", "old", "--to", "40", "--yes"]
    config = state.parents[1] / "relay.toml"
    subprocess.run([*command, "-c", str(config)], check=True, capture_output=True)
    assert {it.stat().st_uid for it in (state / "old").iterdir()} == {12345}
    assert (state.parent / "crash-page").stat().st_uid == 12345


# -- orphans


def test_check_names_the_spools_of_pipes_that_are_not_configured(
    execute: Execute, state: Path
) -> None:
    fill(state / "look", 3)
    fill(state / "old", 3)
    fill(state / "empty", 3, settled=3)
    result = execute("check", "--config", str(state.parents[1] / "relay.toml"))
    assert result.exit_code == 0
    octets = len(segments(state / "old")[0].read_bytes())
    assert [line for line in result.stdout.splitlines() if "spool of" in line] == [
        "warning: spool of pipe empty, which is not configured, holds nothing: "
        f"{state / 'empty'} may be removed",
        "warning: spool of pipe old, which is not configured, holds 3 messages "
        f"({octets} octets): see `relay spool`",
    ]


# -- mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["cat"], 2, "relay: missing argument 'PIPE'\n"),
        (["cat", "none"], 1, "relay: no spool of pipe 'none' in DIR/state (there are: look)\n"),
        (["cat", "../spool/look"], 1, "relay: no spool of pipe '../spool/look' in DIR/state"),
        (["cat", "link"], 1, "relay: no spool of pipe 'link' in DIR/state"),
        (["verify", "look", "none"], 1, "relay: no spool of pipe 'none'"),
        (["purge", "none", "--yes"], 1, "relay: no spool of pipe 'none'"),
        (["replay", "none"], 1, "relay: no spool of pipe 'none'"),
        (["adopt", "none", "other"], 1, "relay: no spool of pipe 'none'"),
        (["adopt", "look", "../x"], 2, "relay: a name has 1 to 64 letters"),
        (["adopt", "look", "look"], 2, "relay: the two names are the same\n"),
        (["cat", "look", "--from", "x"], 2, "relay: invalid value for '--from'"),
        (["cat", "look", "--since", "soon"], 2, "relay: --since: expected a time such as"),
        (["cat", "look", "--until", "2026-13-01"], 2, "relay: --until: expected a time such as"),
        (["cat", "look", "--limit", "0"], 2, "relay: invalid value for '--limit'"),
        (["export", "look", "DIR/none/x"], 1, "relay: DIR/none/x: no such file or directory\n"),
        (["export", "look", "x", "--format", "xml"], 2, "relay: invalid value for '--format'"),
        (["list", "--state-dir", "DIR/none"], 2, "relay: DIR/none is not a directory\n"),
        (["list", "--config", "DIR/none"], 2, "DIR/none: cannot be read"),
    ],
)
def test_mistakes_are_one_line(
    execute: Execute, state: Path, arguments: list[str], code: int, text: str
) -> None:
    fill(state / "look", 3)
    (state / "link").symlink_to(state / "look")
    directory = str(state.parents[1])
    arguments = [it.replace("DIR", directory) for it in arguments]
    if "--config" not in arguments and "--state-dir" not in arguments:
        arguments += ["--config", f"{directory}/relay.toml"]
    result = execute("spool", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr.startswith(text.replace("DIR", directory))
    assert result.stderr.count("\n") == 1


def test_a_shell_completes_the_names_of_pipes(state: Path) -> None:
    for name in ("look", "lock", "old"):
        fill(state / name, 1)

    def completed(words: str) -> list[str]:
        environ = {
            "_RELAY_COMPLETE": "bash_complete", "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split(" ")) - 1),
        }  # fmt: skip
        return CliRunner(env=environ).invoke(cli, prog_name="relay").output.split()

    place = f"--config {state.parents[1]}/relay.toml"
    assert completed(f"relay spool cat {place} lo") == ["plain,lock", "plain,look"]
    assert completed("relay spool cat --config /none lo") == []
    assert completed("relay spool re") == ["plain,replay"]
