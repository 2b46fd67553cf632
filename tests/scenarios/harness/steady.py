"""A well-behaved sender beside others, and the receiver behind the relay: a process of its own.

`python -m tests.scenarios.harness.steady PORT RATE`. What the relay delivers as lines to `PORT` is
received here, so that one clock says how long each message took. That counts from when it was due:
a sender that was held back is late, and so are its messages.

The first line on stdin names the targets of senders, each of which has one connection and sends
`RATE` messages a second: `tcp:PORT`, `relp:PORT` or `unix:PATH`. `window` is answered by what has
come since the one before. `end` sends no more, and is answered when everything has come, or by what
is missing after 30 seconds.
"""

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.process import ROOT
from tests.scenarios.harness.relp import OFFERS, encode
from tests.scenarios.harness.waiting import SECONDS_MAX

ADDRESS = "127.0.0.2"  # not that of anybody else here
OCTETS = 256
TURN_SECONDS = 0.005
RELP_WINDOW = 1024
NUMBER = re.compile(rb"from=steady_(\w+) seq=(\d+);")


@dataclass(frozen=True, slots=True)
class Window:
    """What has come of one sender in a while."""

    seconds: float
    came: int
    latency_max: float  # seconds
    latency_median: float

    @property
    def rate(self) -> float:
        return self.came / self.seconds


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has come of everything that one sender has sent."""

    sent: int
    missing: int
    again: int
    overtaken: int


class Steady:
    """The process, seen from the test."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int) -> None:
        self.port = port
        self._process = process

    def begin(self, targets: Mapping[str, str]) -> None:
        """Send to these from now on."""
        self._ask(json.dumps(targets))

    def window(self, seconds: float) -> dict[str, Window]:
        """What comes in the seconds from now on, by sender."""
        self._ask("window")
        time.sleep(seconds)
        return {name: Window(**it) for name, it in self._ask("window").items()}

    def end(self) -> dict[str, Outcome]:
        """Nothing more is sent; returns when all has come, or does not come."""
        return {name: Outcome(**it) for name, it in self._ask("end").items()}

    def _ask(self, word: str) -> dict[str, Any]:
        process = self._process
        assert process.stdin
        assert process.stdout
        process.stdin.write(word.encode() + b"\n")
        process.stdin.flush()
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer


@contextmanager
def steady(rate: int) -> Iterator[Steady]:
    """Receives while inside, and sends when it is told to."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(port), str(rate)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout
        assert process.stdout.readline() == b"receiving\n"
        yield Steady(process, port)
    finally:
        process.kill()
        process.communicate()


# -- the process


@dataclass(slots=True, eq=False)
class _Sender:
    """One connection; what it has sent, and what has come of it."""

    name: str
    sock: socket.socket
    relp: bool
    rate: int
    began: float = field(default_factory=time.monotonic)
    sent: int = 0
    unsent: bytearray = field(default_factory=bytearray)
    unanswered: int = 0
    came: Counter[int] = field(default_factory=Counter)
    last: int = -1
    overtaken: int = 0
    latencies: list[float] = field(default_factory=list)  # of this window

    def send(self, now: float) -> None:
        due = int((now - self.began) * self.rate)
        if self.relp:
            due = min(due, self.sent + RELP_WINDOW - self.unanswered)
            self.unanswered += max(0, due - self.sent)
        for number in range(self.sent, due):
            head = b"<134>1 2026-11-23T07:28:45Z h steady - - - "
            text = b"%bfrom=steady_%b seq=%d; " % (head, self.name.encode(), number)
            text = text.ljust(OCTETS, b".")
            self.unsent += encode(number + 2, b"syslog", text) if self.relp else text + b"\n"
        self.sent = max(self.sent, due)
        if self.unsent:
            with suppress(BlockingIOError):
                del self.unsent[: self.sock.send(self.unsent)]

    def hear(self) -> None:
        """Answers of RELP; nobody else says anything."""
        data = self.sock.recv(1 << 20)
        assert data, f"the connection of {self.name} was ended"
        self.unanswered -= data.count(b" rsp ")

    def receive(self, number: int, now: float) -> None:
        self.came[number] += 1
        self.overtaken += number < self.last
        self.last = number
        self.latencies.append(now - self.began - number / self.rate)

    def window(self, seconds: float) -> Window:
        latencies, self.latencies = sorted(self.latencies), []
        if not latencies:
            return Window(seconds, 0, seconds, seconds)
        return Window(seconds, len(latencies), latencies[-1], latencies[len(latencies) // 2])

    def outcome(self) -> Outcome:
        again = self.came.total() - len(self.came)
        return Outcome(self.sent, self.sent - len(self.came), again, self.overtaken)

    @property
    def over(self) -> bool:
        return not self.unsent and len(self.came) == self.sent


class _Process:
    def __init__(self, port: int, rate: int) -> None:
        self._rate = rate
        self._senders: dict[str, _Sender] = {}
        self._selector = selectors.DefaultSelector()
        listening = socket.create_server((HOST, port))
        self._selector.register(listening, selectors.EVENT_READ, lambda: self._accept(listening))
        self._selector.register(sys.stdin, selectors.EVENT_READ, self._command)
        self._window_began = time.monotonic()
        self._ends_at = 0.0

    def run(self) -> None:
        print("receiving", flush=True)
        while True:
            for key, _ in self._selector.select(TURN_SECONDS):
                key.data()
            now = time.monotonic()
            for sender in self._senders.values():
                if not self._ends_at:
                    sender.send(now)
                elif sender.unsent:
                    sender.send(sender.began)
            if self._ends_at and (now > self._ends_at or all(
                it.over for it in self._senders.values()
            )):  # fmt: skip
                self._print({name: it.outcome() for name, it in self._senders.items()})
                sys.stdin.readline()
                return

    def _command(self) -> None:
        line = sys.stdin.readline()
        if line == "end\n":
            self._ends_at = time.monotonic() + SECONDS_MAX
            return
        if line != "window\n":
            self._connect(json.loads(line))
        seconds = time.monotonic() - self._window_began
        self._window_began = time.monotonic()
        self._print({name: it.window(seconds) for name, it in self._senders.items()})

    def _connect(self, targets: Mapping[str, str]) -> None:
        for name, target in targets.items():
            sock = _connected(target)
            sock.setblocking(False)
            sender = _Sender(name, sock, target.startswith("relp"), self._rate)
            self._senders[name] = sender
            self._selector.register(sock, selectors.EVENT_READ, sender.hear)

    def _print(self, answers: Mapping[str, Window | Outcome]) -> None:
        print(json.dumps({name: asdict(it) for name, it in answers.items()}), flush=True)

    def _accept(self, listening: socket.socket) -> None:
        sock, _ = listening.accept()
        rest = bytearray()

        def read() -> None:
            data = sock.recv(1 << 20)
            if not data:
                self._selector.unregister(sock)
                sock.close()
                return
            rest.extend(data)
            whole = rest.rfind(b"\n") + 1
            now = time.monotonic()
            for found in NUMBER.finditer(rest, 0, whole):
                self._senders[found[1].decode()].receive(int(found[2]), now)
            del rest[:whole]

        self._selector.register(sock, selectors.EVENT_READ, read)


def _connected(target: str) -> socket.socket:
    kind, _, where = target.partition(":")
    if kind == "unix":
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(where)
        return sock
    sock = socket.socket()
    sock.bind((ADDRESS, 0))
    sock.connect((HOST, int(where)))
    if kind == "relp":
        sock.sendall(encode(1, b"open", OFFERS))
        assert b" 200 OK" in sock.recv(4096)
    return sock


def main() -> None:
    port, rate = map(int, sys.argv[1:])
    _Process(port, rate).run()


if __name__ == "__main__":
    main()
