"""`relay run` as a process: signals from its first line to its last, exit codes, stderr."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.cli.conftest import TEXT, Process, write


def wait_for(process: Process, text: str) -> str:
    """Read stderr up to a line with this text."""
    assert process.process.stderr
    read = ""
    while text not in read:
        line = process.process.stderr.readline().decode()
        assert line, read
        read += line
    return read


def test_it_says_where_its_state_is_and_stops_on_sigterm(tmp_path: Path) -> None:
    process = Process("run", "--config", write(tmp_path))
    log = wait_for(process, "started with")
    assert f"state in {tmp_path}/state\n" in log
    assert (tmp_path / "state").is_dir()
    process.signal(signal.SIGTERM)
    code, out, err = process.end()
    assert (code, out) == (0, "")
    assert "stopping on signal 15" in err
    assert err.endswith("exiting\n")


def test_interrupt_stops_it_too(tmp_path: Path) -> None:
    process = Process("run", "--config", write(tmp_path))
    wait_for(process, "started with")
    process.signal(signal.SIGINT)
    assert process.end()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_start_waits_until_it_can_be_obeyed(
    tmp_path: Path, number: signal.Signals
) -> None:
    process = Process("run", "--config", write(tmp_path))
    process.wait_until_blocked(number)
    process.signal(number)
    if number == signal.SIGHUP:
        wait_for(process, "configuration read again")
        process.signal(signal.SIGTERM)
    code, _, err = process.end()
    assert code == 0, err


def test_a_reload_with_mistakes_keeps_what_there_is(tmp_path: Path) -> None:
    path = write(tmp_path)
    process = Process("run", "--config", path)
    wait_for(process, "started with")
    Path(path).write_text("[relay]\nnaem = 1\n")
    process.signal(signal.SIGHUP)
    log = wait_for(process, "the configuration before it stays")
    assert f"error {path}:2: relay.naem: unknown key" in log
    process.signal(signal.SIGTERM)
    assert process.end()[0] == 0


def test_an_invalid_configuration_is_told_before_anything_starts(tmp_path: Path) -> None:
    path = write(tmp_path, text=TEXT.replace("type", "tipe"))
    code, out, err = Process("run", "--config", path).end()
    assert (code, out) == (2, "")
    assert err.count("\n") >= 3
    assert all(line.startswith(f"{path}:") for line in err.splitlines())
    assert not (tmp_path / "state").exists()


def test_a_state_dir_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = TEXT.replace("DIR/state", "DIR/file/state")
    code, out, err = Process("run", "--config", write(tmp_path, text=text)).end()
    assert (code in (1, 2), out) == (True, "")
    assert err.count("\n") == 1
    assert "file" in err


def test_commands_other_than_run_can_be_ended() -> None:
    reader, writer = os.pipe()
    process = Process("send", "--udp", "127.0.0.1:9", stdin=reader)
    try:
        process.wait_until_blocked(signal.SIGTERM)
        process.wait_until_blocked(signal.SIGTERM, blocked=False)
        process.signal(signal.SIGTERM)
        assert process.end()[0] == -signal.SIGTERM
    finally:
        os.close(reader)
        os.close(writer)


def test_a_stderr_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    process = Process("run", "--config", write(tmp_path), stderr=writer)
    try:
        while not (tmp_path / "log.sock").exists():
            assert process.process.poll() is None
            time.sleep(0.01)
        process.signal(signal.SIGTERM)
        assert process.end()[0] == 0
    finally:
        os.close(reader)
        os.close(writer)


def test_garbage_is_looked_for_when_the_relay_runs_and_not_in_the_program(tmp_path: Path) -> None:
    code = (
        "import gc, sys, trio; from relay.__main__ import main\n"
        "trio.run = lambda *_: print(gc.isenabled(), gc.get_freeze_count() > 10_000)\n"
        f"sys.argv[1:] = ['run', '--config', {write(tmp_path)!r}]\n"
        "main()"
    )
    assert Process(code=code).end()[:2] == (0, "True True\n")


def start_with(fault: str, *arguments: str) -> tuple[int, str, str]:
    """Of `relay run`, where its first import has this fault."""
    code = (
        "import sys; from relay.__main__ import main\n"
        "class Faulty:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'relay.cli.run':\n"
        f"            raise {fault}\n"
        "sys.meta_path.insert(0, Faulty())\n"
        f"sys.argv[1:] = {['run', *arguments]!r}\n"
        "main()"
    )
    return Process(code=code).end()


def test_an_interrupt_before_anything_runs_leaves_no_traceback() -> None:
    code, _, err = start_with("KeyboardInterrupt")
    assert (code, err) == (130, "")


def test_help_is_had_from_a_broken_installation() -> None:
    code, out, _ = start_with("ImportError('broken')", "--help")
    assert code == 0
    assert "--log-level" in out


def test_garbage_is_looked_for_by_other_commands() -> None:
    code = (
        "import gc, sys; from relay.__main__ import main\n"
        "sys.argv[1:] = ['completion', 'bash']\n"
        "try: main()\n"
        "except SystemExit: print(gc.isenabled())"
    )
    _, out, _ = Process(code=code).end()
    assert out.splitlines()[-1] == "True"


def test_an_admin_server_that_hangs_does_not_keep_the_process(tmp_path: Path) -> None:
    code = (
        "import trio, relay.cli.run as run\n"
        "async def hang(relay):\n"
        "    with trio.CancelScope(shield=True):\n"
        "        await trio.sleep(60)\n"
        "run.serve_admin = hang\n"
        f"run.run({write(tmp_path)!r}, 'info')\n"
    )
    process = Process(code=code)
    wait_for(process, "started with")
    began = time.monotonic()
    process.signal(signal.SIGTERM)
    exit_code, _, err = process.end()
    assert exit_code == 0
    assert 0.9 < time.monotonic() - began < 5
    assert err.endswith("exiting\n")


def test_a_reader_who_has_seen_enough_ends_it_quietly() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = Process("schema", stdout=writer)
    os.close(writer)
    code, _, err = process.end()
    assert (code, err) == (1, "")
