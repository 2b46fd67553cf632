"""RELP with many senders at once: what they cost, and how a stop ends with them."""

import resource
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import total
from tests.scenarios.harness.messages import numbered
from tests.scenarios.harness.relp import OFFERS, Frame, RelpReceiver, encode, frames
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import SECONDS_MAX, until

CROWD = 2000  # connections
CONNECTION_OCTETS_MAX = 16 << 10  # of the relay's memory that one may cost
BUSY = 20
WINDOW = 1000  # messages that one of the busy has out

CONFIG = """
[listeners.net]
type = "relp"
listen = ["127.0.0.1:@net@"]

[destinations]
file = { type = "file", path = "@directory@/out.log" }
next = { type = "relp", address = "127.0.0.1:@next@" }

[pipes.forward]
from = "net"
to = "@to@"
spool = "always"
"""


@dataclass(slots=True, eq=False)
class Greedy:
    """Sends as fast as it is read, and waits for no answer; runs while inside."""

    sock: socket.socket
    answered: int = 0

    @contextmanager
    def sending(self) -> Iterator[None]:
        threads = [threading.Thread(target=each) for each in (self._send, self._hear)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self.sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()
            self.sock.close()

    def _send(self) -> None:
        number = 2
        try:
            self.sock.sendall(encode(1, b"open", OFFERS))
            while True:
                window = [encode(number + at, b"syslog", b"<13>greedy") for at in range(WINDOW)]
                self.sock.sendall(b"".join(window))
                number += WINDOW
        except OSError:
            pass  # shut down

    def _hear(self) -> None:
        with suppress(ConnectionResetError):
            while data := self.sock.recv(1 << 16):
                self.answered += data.count(b"200 OK\n")


def test_two_thousand_senders_are_cheap_and_heard_beside_a_greedy_one(prepare: Prepare) -> None:
    """Each is answered for one message while a sender that never waits is served as well.

    How fair a turn is, is in the tests of the listener.
    """
    relay = prepare(CONFIG, {"to": "file"})
    relay.start()
    with _descriptors(CROWD + 500), _crowd(relay.port("net"), 100):
        before = relay.resident_octets
        with _crowd(relay.port("net"), CROWD) as crowd:
            _ask_all(crowd, 2)
            cost = relay.resident_octets - before
            print(f"{cost / CROWD:.0f} octets of memory a connection")
            greedy = Greedy(connected(relay.port("net")))
            with greedy.sending():
                until(lambda: greedy.answered > WINDOW, "the greedy one is at it")
                before = greedy.answered
                _ask_all(crowd, 3)
                until(lambda: greedy.answered > before + WINDOW, "it is still at it")
                failed = relay.ledger()["listeners"]["net"]["connections"]["failed"]
        assert not any(failed.values())
        assert relay.stop() == 0
    assert cost <= CROWD * CONNECTION_OCTETS_MAX


@contextmanager
def _descriptors(count: int) -> Iterator[None]:
    """This process may have so many beside the usual ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count)), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextmanager
def _crowd(port: int, count: int) -> Iterator[Sequence[socket.socket]]:
    """So many connections that have opened their sessions."""
    crowd = [connected(port) for _ in range(count)]
    try:
        _ask_all(crowd, 1, b"open", OFFERS)
        yield crowd
    finally:
        for sock in crowd:
            sock.close()


def _ask_all(
    crowd: Sequence[socket.socket],
    number: int,
    command: bytes = b"syslog",
    data: bytes = b"<13>modest",
) -> None:
    """One transaction each, all at once; returns when all are answered."""
    for sock in crowd:
        sock.sendall(encode(number, command, data))
    for sock in crowd:
        with sock.makefile("rb") as stream:
            answer = next(frames(stream))
            assert (answer.number, answer.data[:3]) == (number, b"200"), answer


@dataclass(slots=True, eq=False)
class Busy:
    """Has a window of messages out all the time, until the relay ends the session."""

    port: int
    messages: Sequence[bytes]
    sent: int = 0
    answered: list[bytes] = field(default_factory=list)
    end: str = "nothing is said"

    def run(self) -> None:
        try:
            with connected(self.port) as sock:
                sock.sendall(encode(1, b"open", OFFERS))
                answers = frames(sock.makefile("rb"))
                assert next(answers).number == 1
                self._send_on(sock)
                while self._hear(next(answers)):
                    self._send_on(sock)
                self.end = "closed" if not sock.recv(1) else "more is said"
        except (OSError, StopIteration) as fault:
            self.end = f"{type(fault).__name__} {fault}"

    def _send_on(self, sock: socket.socket) -> None:
        """Fill the window when half of it is answered."""
        if self.sent - len(self.answered) <= WINDOW // 2:
            part = self.messages[self.sent : len(self.answered) + WINDOW]
            first = self.sent + 2
            sock.sendall(b"".join([encode(first + n, b"syslog", it) for n, it in enumerate(part)]))
            self.sent += len(part)

    def _hear(self, frame: Frame) -> bool:
        """False when it is the goodbye, and nothing else may come."""
        if frame.command == b"serverclose":
            return False
        assert (frame.number, frame.data[:3]) == (len(self.answered) + 2, b"200"), frame
        self.answered.append(self.messages[len(self.answered)])
        return True


def test_a_stop_in_the_middle_of_windows_answers_exactly_what_is_durable(prepare: Prepare) -> None:
    """Twenty senders have windows out when the relay is stopped; nobody takes what it holds.

    Each hears the answers that are due, `serverclose`, and a clean end. What the next process finds
    on disk is what was answered: nothing more, and nothing less.
    """
    relay = prepare(CONFIG, {"to": "next"})
    relay.start()
    busy = [Busy(relay.port("net"), numbered(200_000, f"s{n}")) for n in range(BUSY)]
    threads = [threading.Thread(target=each.run) for each in busy]
    for thread in threads:
        thread.start()
    until(lambda: all(len(each.answered) > WINDOW for each in busy), "all are at it")
    assert relay.stop() == 0
    for thread in threads:
        thread.join(SECONDS_MAX)
    assert [each.end for each in busy] == ["closed"] * BUSY
    answered = [message for each in busy for message in each.answered]
    assert any(each.sent > len(each.answered) for each in busy), "windows were out"
    relay.start()
    books = relay.until(lambda it: it["pipes"]["forward"]["recovered"], "the spool is open")
    assert books["pipes"]["forward"]["recovered"] == len(answered)
    with RelpReceiver(port=relay.port("next")) as receiver:
        relay.until(lambda it: not total(it["pipes"]["forward"]["held"]), "all is delivered")
        assert relay.stop() == 0
    assert sorted(receiver.messages) == sorted(answered)
