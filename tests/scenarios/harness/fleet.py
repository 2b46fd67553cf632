"""A fleet that sends: a process, for what a relay takes is more than its tests' process can give.

`python -m tests.scenarios.harness.fleet TRANSPORT PORT RATE SECONDS`. Each sender has an address of
its own. Prints when it is ready, waits for a line, sends, and prints how many messages it has sent.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench.pace import pace
from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.process import ROOT

SENDERS = 200
OCTETS = 256
BURST = 200  # messages: 4 ms at 50,000/s
CARD = b"4111-1111-1111-1111"
PRIORITIES = (11, 13, 14, 15)
PROGRAMS = (b"app", b"db", b"chatty")


def address(sender: int) -> str:
    """Every tenth is of another network."""
    return f"127.{0 if sender % 10 else 1}.7.{sender + 1}"


def messages() -> Sequence[bytes]:
    """One of each kind: every priority with every program; every fourth has a card number."""
    rows = [
        b"<%d>1 2026-11-23T07:28:45.123456Z web01.example.net %b 4711 - - %b "
        % (priority, program, CARD if priority == PRIORITIES[0] else b"GET /index.html")
        for priority in PRIORITIES
        for program in PROGRAMS
    ]
    return [row.ljust(OCTETS, b".") for row in rows]


@dataclass(frozen=True, slots=True)
class Sent:
    messages: int
    seconds: float


@contextmanager
def fleet(transport: str, port: int, rate: int, seconds: float) -> Iterator[Callable[[], Sent]]:
    """One that is ready to send: call it, and it has."""
    module = ("-m", "tests.scenarios.harness.fleet", transport, port, rate, seconds)
    process = subprocess.Popen(
        [sys.executable, *map(str, module)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def send() -> Sent:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"\n")
        process.stdin.flush()
        return Sent(**json.loads(process.stdout.readline()))

    try:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        yield send
    finally:
        process.kill()
        process.communicate()


def main() -> None:
    transport, port, rate = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    seconds = float(sys.argv[4])
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with ExitStack() as stack:
        sends = []
        for sender in range(SENDERS):
            sock = stack.enter_context(socket.socket(type=kind))
            sock.bind((address(sender), 0))
            sock.connect((HOST, port))
            sends.append(sock.send if transport == "udp" else sock.sendall)
        print("ready", flush=True)
        sys.stdin.readline()
        began = time.monotonic()
        sent = _send(sends, rate, began + seconds, b"" if transport == "udp" else b"\n")
        print(json.dumps({"messages": sent, "seconds": time.monotonic() - began}), flush=True)
        sys.stdin.readline()


def _send(
    sends: Sequence[Callable[[bytes], object]], rate: int, end: float, terminator: bytes
) -> int:
    """Each sender in turn, one message a call, so that it has all kinds in time."""
    texts = [message + terminator for message in messages()]
    total = 0

    def send(start: int, stop: int) -> None:
        nonlocal total
        for number in range(start, stop):
            sends[number % SENDERS](texts[number // SENDERS % len(texts)])
        total = stop
        if time.monotonic() > end:
            raise TimeoutError

    try:
        pace(int(rate * 1e6), rate, BURST, send)
    except TimeoutError:
        return total
    raise AssertionError("a million seconds are over")


if __name__ == "__main__":
    main()
