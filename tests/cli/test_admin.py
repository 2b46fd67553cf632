"""`relay ledger` and `relay memory` against a relay that runs."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from relay.cli.client import ADDRESS, admin_address
from relay.cli.failure import Failure
from relay.cli.table import ledger_text
from tests.cli.conftest import TEXT, Execute, Process, free_port, write


def send(execute: Execute, running: Path, *arguments: str) -> None:
    result = execute("send", "--unix", f"{running}/log.sock", "--rfc", "raw", *arguments)
    assert result.exit_code == 0


def config(running: Path) -> str:
    return f"{running}/relay.toml"


def lines_of(execute: Execute, running: Path, *arguments: str) -> list[str]:
    result = execute("memory", "recent", "--config", config(running), *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.splitlines()


def wait_for_line(execute: Execute, running: Path, text: str) -> None:
    while not any(line.endswith(text) for line in lines_of(execute, running, "--lines", "5")):
        time.sleep(0.01)


def test_the_ring_is_shown_whole_or_its_end(execute: Execute, running: Path) -> None:
    send(execute, running, "--count", "1000", "numbered")
    wait_for_line(execute, running, "seq=1000")
    lines = lines_of(execute, running)
    ends = [line.rsplit(" ", 1)[1] for line in lines if "numbered" in line]
    assert ends == [f"seq={n}" for n in range(1, 1001)]
    assert lines_of(execute, running, "-n", "3") == lines[-3:]
    assert lines_of(execute, running, "-n", "0") == []
    assert lines_of(execute, running, "-n", "600") == lines[-600:]


def test_following_shows_what_comes(execute: Execute, running: Path) -> None:
    send(execute, running, "before")
    wait_for_line(execute, running, "before")
    follower = Process("memory", "recent", "-f", "-n", "1", "--config", config(running))
    process = follower.process
    assert process.stdout
    assert process.stdout.readline().endswith(b"before\n")
    send(execute, running, "--count", "2", "after")
    assert process.stdout.readline().endswith(b"after seq=1\n")
    assert process.stdout.readline().endswith(b"after seq=2\n")
    follower.signal(signal.SIGINT)
    code, out, err = follower.end()
    assert (code, out, err.strip()) == (130, "", "")


def test_the_rings_are_listed(execute: Execute, running: Path) -> None:
    result = execute("memory", "--config", config(running))
    assert result.exit_code == 0
    head, *rows = result.stdout.splitlines()
    assert re.fullmatch(r"NAME +LINES +BYTES +SIZE +OVERWRITTEN", head)
    assert re.fullmatch(r"recent\*? +\d+ +\d+ +1048576 +\d+", rows[0])


def test_reading_and_clearing(execute: Execute, running: Path) -> None:
    """Exactly what was shown is taken away."""
    send(execute, running, "--count", "700", "cleared")
    wait_for_line(execute, running, "cleared seq=700")
    lines = lines_of(execute, running)
    assert lines_of(execute, running, "--clear") == lines
    assert lines_of(execute, running) == []
    send(execute, running, "kept")
    wait_for_line(execute, running, "kept")
    result = execute("memory", "recent", "--discard", "--config", config(running))
    assert (result.exit_code, result.stdout) == (0, "1 lines of recent cleared\n")
    assert lines_of(execute, running) == []


def test_overflow_is_marked_and_told_until_it_is_cleared(execute: Execute, running: Path) -> None:
    """As OpenBSD's `syslogc -o`, and its list with an asterisk."""
    execute("memory", "recent", "--discard", "--config", config(running))
    assert lines_of(execute, running, "--overflowed") == []
    send(execute, running, "--count", "20", "x" * 60_000)
    while True:
        result = execute("memory", "recent", "--overflowed", "--config", config(running))
        if result.exit_code:
            break
        time.sleep(0.01)
    assert (result.exit_code, result.stdout) == (1, "recent has overflowed\n")
    listed = execute("memory", "--config", config(running)).stdout.splitlines()[1]
    assert listed.startswith("recent* ")
    lines_of(execute, running, "--clear")
    assert lines_of(execute, running, "--overflowed") == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--clear"], "which memory destination? give its NAME"),
        (["-f"], "which memory destination? give its NAME"),
        (["recent", "--clear", "-f"], "--clear goes with neither --follow nor --lines"),
        (["recent", "--discard", "-n", "1"], "--discard goes with neither --follow nor --lines"),
    ],
)
def test_what_does_not_go_together(execute: Execute, arguments: list[str], text: str) -> None:
    result = execute("memory", *arguments)
    assert (result.exit_code, result.stderr) == (2, f"relay: {text}\n")


def test_the_ledger_is_a_table(execute: Execute, running: Path) -> None:
    send(execute, running, "--count", "2", "hello")
    result = execute("ledger", "--config", config(running))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert re.match(r"PIPE +TO +STATE +RECEIVED", lines[0])
    assert re.match(r"look +recent +up +\d+ ", lines[1])
    assert re.match(r"LISTENER +STATE +RECEIVED", lines[3])
    assert re.match(r"programs +bound +\d+ ", lines[4])
    assert lines[1].endswith(" 0")
    assert len(lines[0]) == len(lines[1])


def test_the_ledger_in_json(execute: Execute, running: Path) -> None:
    result = execute("ledger", "--config", config(running), "--json")
    assert json.loads(result.stdout)["totals"]["residual"] == 0


def test_a_ring_that_is_not_there(execute: Execute, running: Path) -> None:
    result = execute("memory", "nosuch", "--config", config(running))
    expected = "relay: no memory destination 'nosuch' (there are: recent)\n"
    assert (result.exit_code, result.stderr) == (1, expected)


def test_nobody_answers(execute: Execute) -> None:
    port = free_port()
    result = execute("ledger", "--admin", f"127.0.0.1:{port}")
    expected = f"relay: admin server at 127.0.0.1:{port}: connection refused\n"
    assert (result.exit_code, result.stderr) == (1, expected)


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:1234", "127.0.0.1:1234"),
        ("0.0.0.0:1234", "127.0.0.1:1234"),
        ("*:1234", "127.0.0.1:1234"),
        ("[::]:1234", "[::1]:1234"),
        ("[::1]:1234", "[::1]:1234"),
    ],
)
def test_the_address_is_that_of_the_configuration(
    tmp_path: Path, listen: str, address: str
) -> None:
    assert admin_address(write(tmp_path, listen)) == address


def test_without_a_valid_configuration_it_is_the_default(tmp_path: Path) -> None:
    assert admin_address(str(tmp_path / "none.toml")) == ADDRESS
    assert admin_address(write(tmp_path, "nonsense")) == ADDRESS


def test_the_unix_socket_comes_first_where_there_is_one(running: Path) -> None:
    assert admin_address(config(running)) == f"unix:{running}/admin/relay.sock"


def test_over_tcp_a_ring_is_read_and_not_cleared(execute: Execute, running: Path) -> None:
    admin = json.loads(addresses_of(running))[0]
    result = execute("memory", "recent", "--discard", "--admin", admin)
    expected = "relay: over TCP nothing can be changed: use the unix socket ([admin] listen)\n"
    assert (result.exit_code, result.stderr) == (1, expected)
    assert execute("memory", "recent", "-n", "0", "--admin", admin).exit_code == 0


def addresses_of(running: Path) -> str:
    found = re.search(r"^listen = (\[.*\])$", Path(config(running)).read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_nobody_answers_on_the_unix_socket(execute: Execute, tmp_path: Path) -> None:
    result = execute("ledger", "--admin", f"unix:{tmp_path}/none")
    expected = f"relay: admin server at unix:{tmp_path}/none: no such file or directory\n"
    assert (result.exit_code, result.stderr) == (1, expected)


@pytest.mark.parametrize("key", ['token_file = "token"', 'tls = { certificate = "c", key = "k" }'])
def test_who_asks_for_more_than_commands_have_is_asked_on_the_unix_socket(
    tmp_path: Path, key: str
) -> None:
    listen = '["127.0.0.1:1", "unix:DIR/none"]'.replace("DIR", str(tmp_path))
    text = TEXT.replace("ADMIN", f"ADMIN\n{key}")
    assert admin_address(write(tmp_path, listen, text)) == f"unix:{tmp_path}/none"
    with pytest.raises(Failure, match="commands need a unix socket"):
        admin_address(write(tmp_path, "127.0.0.1:1", text))


def test_check_tells_what_is_open_and_what_cannot_be_read(execute: Execute, tmp_path: Path) -> None:
    text = TEXT.replace("ADMIN", f'ADMIN\ntoken_file = "{tmp_path}/token"')
    path = write(tmp_path, "0.0.0.0:1", text)
    found = execute("check", "--config", path).stdout
    assert "warning: admin server on 0.0.0.0:1: its token is sent in clear text" in found
    assert f"TCP: token_file {tmp_path}/token: no such file or directory" in found
    found = execute("check", "--config", write(tmp_path, "[::]:1")).stdout
    assert "warning: admin server on [::]:1: whoever reaches it reads metrics" in found
    for address in ("127.0.0.1:1", "[::1]:1", "localhost:1"):
        assert "admin server on" not in execute("check", "-c", write(tmp_path, address)).stdout


@pytest.mark.parametrize(
    ("listen", "text"), [("off", "switches the admin server off"), ("fd:x", "give --admin")]
)
def test_where_nobody_can_be_asked(tmp_path: Path, listen: str, text: str) -> None:
    with pytest.raises(Failure, match=text):
        admin_address(write(tmp_path, listen))


def test_a_residual_is_marked(execute: Execute, running: Path) -> None:
    books = json.loads(execute("ledger", "--config", config(running), "--json").stdout)
    books["pipes"]["look"]["residual"] = -3
    books["pipes"]["look"]["dropped"]["full"] = 7
    books["pipes"]["look"]["dead_letters"] = 2
    books["totals"]["residual"] = 2
    lines = ledger_text(json.dumps(books).encode()).splitlines()
    assert lines[1].endswith(" !-3")
    assert "pipe look: dropped 7 full" in lines
    assert "pipe look: handed 2 of these over to look.dead-letter" in lines
    assert lines[-1].endswith(" !2")
