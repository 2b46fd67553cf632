"""Terminals, people, programs: what is slow, stopped or dies on this machine harms nobody else."""

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.destinations.pty import Pty
from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.dev_log import cannot_mount
from tests.scenarios.harness.locked_in import give_terminals
from tests.scenarios.harness.messages import numbered, numbers, stream, told
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import connected, send_all
from tests.scenarios.harness.waiting import until

MESSAGES = 50_000

BESIDE_TCP = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
siem = { type = "tcp", address = "127.0.0.1:@siem@", framing = "lf" }
console = { type = "console", path = "@console@", wait_max = "500ms" }

[pipes.siem]
from = "*"
to = "siem"
spool = "never"

[pipes.console]
from = "net"
to = "console"
messages = 2000
overflow = "drop-oldest"
"""


@pytest.fixture
def terminal() -> Iterator[Pty]:
    terminal = Pty()
    yield terminal
    terminal.close()


def _shown(terminal: Pty) -> list[bytes]:
    return terminal.read().split(b"\r\n")


def test_a_stopped_terminal_delays_nobody(prepare: Prepare, terminal: Pty) -> None:
    """The console is stopped with ^S while 50,000 messages go to it and to a collector.

    The collector has all of them as soon as it ever would. The console drops what is too old or too
    much, counts it and tells it; after ^Q it shows what comes then.
    """
    sent = numbered(MESSAGES)
    with StreamReceiver() as siem:
        relay = prepare(BESIDE_TCP, {"siem": siem.port, "console": terminal.path})
        relay.start()
        relay.until(_both_up, "both are reached")
        terminal.stop()
        with relay.watched():
            began = time.monotonic()
            send_all(relay.port("net"), [stream(sent, "lf")])
            siem.wait_octets(len(stream(sent, "lf")))
            took = time.monotonic() - began
            assert relay.ledger()["pipes"]["console"]["delivered"]["sent"] == 0
            books = relay.until(_console_gave_up, "what the console does not take is dropped")
        console = books["pipes"]["console"]
        assert console["received"] == MESSAGES
        assert console["dropped"]["expired"] > 0
        assert total(console["dropped"]) == MESSAGES
        assert took < 10  # a second, when nobody else works here

        terminal.go()
        relay.until(lambda books: books["pipes"]["console"]["state"] != "stalled", "it goes on")
        send_all(relay.port("net"), [stream(numbered(1, "b"), "lf")])
        until(lambda: any(b"from=b" in line for line in _shown(terminal)), "it is shown")
        assert relay.stop() == 0
        siem.wait_ended()
        assert numbers(siem.messages)["a"] == list(range(MESSAGES))
        news = told(siem.messages)
        assert news["console", "expired"] == console["dropped"]["expired"]
        assert news.get(("console", "oldest"), 0) == console["dropped"]["oldest"]


def _both_up(books: Books) -> bool:
    return all(books["pipes"][name]["state"] == "up" for name in ("siem", "console"))


def _console_gave_up(books: Books) -> bool:
    return total(books["pipes"]["console"]["held"]) == 0


EMULATOR = """
import os, sys
master, slave = os.openpty()
print(os.ttyname(slave), flush=True)
with open(sys.argv[1], "wb", buffering=0) as screen:
    while True:
        screen.write(os.read(master, 4096))
"""


def test_a_terminal_whose_other_side_stands_still_has_everything_later(
    prepare: Prepare, tmp_path: Path
) -> None:
    """The program that shows the terminal is stopped, more comes than a terminal holds, it goes on.

    Within `wait_max` nothing is lost, and no line is cut.
    """
    screen = tmp_path / "screen"
    with subprocess.Popen(
        [sys.executable, "-c", EMULATOR, screen], stdout=subprocess.PIPE
    ) as emulator:
        assert emulator.stdout
        path = emulator.stdout.readline().decode().strip()
        config = BESIDE_TCP.replace("500ms", "30s")
        with StreamReceiver() as siem:
            relay = prepare(config, {"siem": siem.port, "console": path})
            relay.start()
            emulator.send_signal(signal.SIGSTOP)
            lines = [b"<13>1 - h app - - - %04d " % n + b"x" * 900 for n in range(100)]
            send_all(relay.port("net"), [stream(lines, "lf")])
            siem.wait_octets(len(stream(lines, "lf")))
            held = relay.ledger()["pipes"]["console"]["held"]
            assert total(held) > 50
            emulator.send_signal(signal.SIGCONT)
            relay.until(_console_gave_up, "everything is shown")
            assert relay.stop() == 0
        wanted = b"\r\n".join(lines)
        until(lambda: wanted in screen.read_bytes().replace(b"\r\r\n", b"\r\n"), "all the lines")
        emulator.kill()


TO_PEOPLE = """
[listeners.log]
type = "unix"
path = "log.sock"

[destinations]
everybody = { type = "users", users = "*" }
operators = { type = "users", users = ["root", "alice"] }

[pipes.everybody]
from = "*"
to = "everybody"
match = { severity = "emerg" }

[pipes.operators]
from = "*"
to = "operators"
match = { facility = "local5", severity = "err" }
"""
UTMP = struct.Struct("=hxxi32s4s32s308x")  # utmp(5) on x86-64, as far as it matters
USER_PROCESS = 7


@pytest.mark.skipif(bool(cannot_mount()), reason=cannot_mount())
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="utmp is laid out otherwise here")
def test_people_see_what_concerns_them(prepare: Prepare, tmp_path: Path) -> None:
    """Three people are logged in, and logger(1) speaks: to two by name, and to all.

    utmp is that of a mount namespace, in which the relay runs. What nobody is there for is no loss.
    """
    people = {name: Pty() for name in ("root", "alice", "bob")}
    utmp = tmp_path / "utmp"
    utmp.write_bytes(
        b"".join(
            UTMP.pack(USER_PROCESS, os.getpid(), it.path[5:].encode(), b"", name.encode())
            for name, it in people.items()
        )
    )
    for it in people.values():
        os.chmod(it.path, 0o620)
        give_terminals(it.path)
    script = 'mount -t tmpfs tmpfs /run && ln -s "$0" /run/utmp && exec "$@"'
    private = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script)
    relay = prepare(TO_PEOPLE, launcher=(*private, str(utmp)))
    relay.start()
    _logger(relay, "local5.err", "disk is failing")
    until(lambda: all(b"disk is failing" in _text(people[it]) for it in ("root", "alice")), "both")
    _logger(relay, "local5.emerg", "power is failing")
    until(lambda: all(b"power is failing" in _text(it) for it in people.values()), "everybody")
    until(lambda: _text(people["alice"]).count(b"power is failing") == 2, "as one of both")
    assert b"Message from relay@" in _text(people["bob"])
    assert _text(people["bob"]).count(b"failing") == 1
    utmp.write_bytes(b"")
    _logger(relay, "local5.err", "nobody there")
    books = relay.until(lambda books: books["pipes"]["operators"]["unseen"] == 1, "nobody saw it")
    pipe = books["pipes"]["operators"]
    assert (pipe["delivered"]["sent"], total(pipe["dropped"]), total(pipe["held"])) == (3, 0, 0)
    assert relay.stop() == 0
    for it in people.values():
        it.close()


def _text(terminal: Pty) -> bytes:
    return terminal.read()


def _logger(relay: RelayProcess, priority: str, text: str) -> None:
    path = relay.directory / "log.sock"
    subprocess.run(["logger", "--socket", path, "-p", priority, text], check=True)


TO_PROGRAM = """
[relay]
drain_max = "10s"

[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.program]
type = "program"
command = ["sh", "-c", "@script@", "sh", "@directory@"]

[pipes.program]
from = "net"
to = "program"
"""

READS_A_HUNDRED = """
    echo $$ >> $1/pids; n=0;
    while [ $n -lt 100 ] && read -r line; do
        printf '%s\\n' \\"$line\\" >> $1/read; n=$((n + 1));
    done
"""
READS_ALL = "echo $$ >> $1/pids; exec cat >> $1/read"
READS_NOTHING = "echo $$ >> $1/pids; while :; do sleep 0.05; done"


def _script(text: str) -> str:
    return " ".join(text.split())


def _pids(relay: RelayProcess) -> Sequence[int]:
    path = relay.directory / "pids"
    return [int(it) for it in path.read_text().split()] if path.exists() else []


def _alive(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_program_that_ends_again_and_again_costs_nothing(prepare: Prepare) -> None:
    """It reads a hundred lines and ends; what it has left in its pipe goes to the next one.

    Each message is read once, in order, and the books say how many came again.
    """
    sent = numbered(450)
    relay = prepare(TO_PROGRAM, {"script": _script(READS_A_HUNDRED)})
    relay.start()
    with relay.watched():
        send_all(relay.port("net"), [stream(sent, "octet")])
        books = relay.until(_all_delivered, "all is read")
    assert books["pipes"]["program"]["retried"] >= 250 + 150 + 50
    assert books["pipes"]["program"]["failures"] == 4
    assert relay.stop() == 0
    assert "sh: ended with status 0, 150 messages come again; next try in" in relay.log
    lines = (relay.directory / "read").read_bytes().splitlines()
    assert numbers(lines) == {"a": list(range(450))}
    assert len(_pids(relay)) == 5
    assert not any(map(_alive, _pids(relay)))


def _all_delivered(books: Books) -> bool:
    return bool(books["pipes"]["program"]["delivered"]["acked"] == 450)


def test_a_program_has_read_everything_when_the_relay_has_stopped(prepare: Prepare) -> None:
    sent = numbered(20_000)
    relay = prepare(TO_PROGRAM, {"script": READS_ALL})
    relay.start()
    send_all(relay.port("net"), [stream(sent, "octet")])
    relay.until(lambda books: books["pipes"]["program"]["received"] == 20_000, "all is there")
    assert relay.stop() == 0
    lines = (relay.directory / "read").read_bytes().splitlines()
    assert numbers(lines) == {"a": list(range(20_000))}
    [process] = _pids(relay)
    assert not _alive(process)


@pytest.mark.parametrize("killed", [True, False])
def test_no_program_outlives_the_relay(prepare: Prepare, killed: bool) -> None:
    """Neither a stop nor kill -9 leaves one behind that minds nothing but signals."""
    relay = prepare(TO_PROGRAM, {"script": READS_NOTHING})
    relay.start()
    until(lambda: _pids(relay), "it runs")
    [process] = _pids(relay)
    assert _alive(process)
    if killed:
        relay.kill()
    else:
        assert relay.stop() == 0
    until(lambda: not _alive(process), "it has ended")


TO_PIPE = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.pipe]
type = "fifo"
path = "@directory@/pipe"
mode = "0600"

[pipes.program]
from = "net"
to = "pipe"
"""


def test_a_named_pipe_waits_for_its_reader(prepare: Prepare) -> None:
    """Nobody reads at first: messages are held, and the state told once. Then cat has them all."""
    sent = numbered(20_000)
    relay = prepare(TO_PIPE)
    relay.start()
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(sent[:10_000], "octet"))
        relay.until(
            lambda books: (
                books["pipes"]["program"]["failures"] > 2
                and books["pipes"]["program"]["received"] == 10_000
            ),
            "nobody reads",
        )
        with (relay.directory / "read").open("wb") as out:
            reader = subprocess.Popen(["cat", relay.directory / "pipe"], stdout=out)
        sender.sendall(stream(sent[10_000:], "octet"))
        relay.until(lambda books: books["pipes"]["program"]["delivered"]["acked"] == 20_000, "all")
    assert relay.log.count("nobody reads it") == 1
    assert relay.stop() == 0
    assert reader.wait(30) == 0
    lines = (relay.directory / "read").read_bytes().splitlines()
    assert numbers(lines) == {"a": list(range(20_000))}
