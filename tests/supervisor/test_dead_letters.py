"""The pipe of the dead letters in a whole relay: made, kept, and ended after the one it is for."""

import socket

from relay.core.account import Drop
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>1 2026-11-24T07:45:25Z web01 app - - - %b\n"
LARGE = b"x" * 400_000  # more than a unix datagram socket takes, 208 KiB by default

# A file cannot be made where a file has the name of a directory.
REFUSING = """
[destinations.files]
type = "file"
base = "DIR"
path = "DIR/{program}/log"
[pipes.files]
from = "net"
to = "files"
"""
LETTERS = REFUSING + 'dead_letter = "ring"\n'
NAME = "files.dead-letter"


def spoil(bench: Bench) -> None:
    (bench.directory / "app").write_bytes(b"")


def letters(bench: Bench) -> list[bytes]:
    ring = bench.relay.rings.rings.get("ring")
    lines = list(ring.lines) if ring else []
    return [bytes(line) for line in lines if b" dead-letter - pipe=files " in line]


async def test_what_is_refused_arrives_at_the_other_destination(bench: Bench) -> None:
    spoil(bench)
    async with bench.running(BASE + LETTERS) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % b"1" + LINE % b"2")
            await bench.until(lambda: len(letters(bench)) == 2)
        assert b"destination=files reason=refused" in letters(bench)[0]
        assert b"/app" in letters(bench)[0].split(b" message=")[0]  # which path it was
        refusing, kept = relay.ledger.pipes["files"], relay.ledger.pipes[NAME]
        assert refusing.dropped[Drop.REFUSED] == refusing.dead_letters == kept.received == 2
        assert not relay.ledger.losses.pending


async def test_the_key_comes_and_goes_with_a_reload(bench: Bench) -> None:
    spoil(bench)
    async with bench.running(BASE + REFUSING) as relay:
        refusing = relay.ledger.pipes["files"]
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % b"1")
            await bench.until(lambda: refusing.dropped[Drop.REFUSED] == 1)
            assert refusing.dead_letters == 0
            await bench.reload(BASE + LETTERS)
            assert NAME in relay.pipes
            sock.sendall(LINE % b"2")
            await bench.until(lambda: len(letters(bench)) == 1)
            await bench.reload(BASE + REFUSING)
            await bench.until(lambda: NAME not in relay.retiring)
            sock.sendall(LINE % b"3")
            await bench.until(lambda: refusing.dropped[Drop.REFUSED] == 3)
        assert refusing.dead_letters == relay.ledger.pipes[NAME].received == 1


async def test_a_removed_pipe_ends_before_the_one_of_its_letters(bench: Bench) -> None:
    """The destination is away when both are removed, comes back, and refuses what is left."""
    text = BASE.replace('"1s"', '"20s"').replace(
        'type = "memory"', 'type = "memory"\nsize = "4MiB"'
    )
    text = text.replace('type = "tcp"', 'type = "tcp"\nframing = "lf"\nmessage_max = "1MiB"')
    agent = LETTERS.replace(
        'type = "file"\nbase = "DIR"\npath = "DIR/{program}/log"',
        'type = "unix"\npath = "DIR/agent.sock"',
    )
    async with bench.running(text + agent) as relay:
        refusing = relay.ledger.pipes["files"]
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % LARGE)
            await bench.until(lambda: refusing.held().messages == 1)
        await bench.reload(text)
        assert {"files", NAME} <= set(relay.retiring)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as program:
            program.bind(str(bench.directory / "agent.sock"))
            await bench.until(lambda: not relay.retiring)
        assert sum(relay.ledger.pipes[NAME].dropped.values()) == 0
        assert refusing.dropped[Drop.TOO_LARGE] == refusing.dead_letters == 1
        assert len(letters(bench)) == 1


async def test_a_stop_waits_for_the_letters_of_what_it_drains(bench: Bench) -> None:
    spoil(bench)
    async with bench.running(BASE + LETTERS) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(b"".join(LINE % (b"%d" % n) for n in range(500)))
    assert relay.ledger.pipes["files"].dead_letters == 500
    kept = relay.ledger.pipes[NAME]
    assert (kept.received, sum(kept.delivered.values())) == (500, 500)
