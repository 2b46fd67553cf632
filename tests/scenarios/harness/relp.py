"""RELP peers written for tests: a sender that knows what was answered, and a receiver with moods.

Frames are `TXNR SP COMMAND SP DATALEN [SP DATA] LF` (https://www.rsyslog.com/doc/relp.html).
"""

import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Literal, Self

from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.waiting import SECONDS_MAX

WINDOW = 128
OFFERS = b"relp_version=0\nrelp_software=test\ncommands=syslog"

# What a receiver does with messages: answers them; takes them and says nothing; refuses the first
# of them; answers pairs of them in the wrong order; answers a number that nobody has used.
Mood = Literal["well", "silent", "refusing", "backwards", "confused"]


@dataclass(frozen=True, slots=True)
class Frame:
    number: int
    command: bytes
    data: bytes


def encode(number: int, command: bytes, data: bytes = b"") -> bytes:
    return b"%d %b %d%b%b\n" % (number, command, len(data), b" " if data else b"", data)


def frames(stream: BinaryIO) -> Iterator[Frame]:
    """Whole frames until the end of the connection, or until it breaks in one."""
    with suppress(ConnectionResetError):
        while head := _words(stream):
            number, command, octets = head
            data = stream.read(octets) if octets else b""
            if len(data) < octets or (octets and stream.read(1) != b"\n"):
                return
            yield Frame(number, command, data)


def _words(stream: BinaryIO) -> tuple[int, bytes, int] | None:
    """Number, command and length, and the separator after them."""
    words: list[bytes] = []
    word = b""
    while len(words) < 3:
        octet = stream.read(1)
        if not octet:
            return None
        if octet in b" \n":
            words.append(word)
            word = b""
        else:
            word += octet
    return int(words[0]), words[1], int(words[2])


class RelpSender:
    """Sends messages in windows; `answered` are those that the relay is responsible for."""

    def __init__(self, port: int) -> None:
        self.answered: list[bytes] = []
        self._port = port

    def send(self, messages: Sequence[bytes]) -> bool:
        """True when all are answered; False as soon as the connection breaks.

        Raises:
            AssertionError: an answer is none that may come.
        """
        try:
            with socket.create_connection((HOST, self._port), timeout=SECONDS_MAX) as sock:
                self._send(sock, messages)
        except (ConnectionError, EOFError):
            return False
        return True

    def _send(self, sock: socket.socket, messages: Sequence[bytes]) -> None:
        answers = frames(sock.makefile("rb"))
        sock.sendall(encode(1, b"open", OFFERS))
        _expect(answers, 1)
        for start in range(0, len(messages), WINDOW):
            window = messages[start : start + WINDOW]
            first = start + 2
            sock.sendall(
                b"".join([encode(first + at, b"syslog", it) for at, it in enumerate(window)])
            )
            for at, message in enumerate(window):
                _expect(answers, first + at)
                self.answered.append(message)


def _expect(answers: Iterator[Frame], number: int) -> None:
    answer = next(answers, None)
    if answer is None or answer.command == b"serverclose":
        raise EOFError
    assert (answer.number, answer.command, answer.data[:3]) == (number, b"rsp", b"200"), answer


@dataclass(slots=True, eq=False)
class RelpReceiver:
    """Keeps every message it gets, in order, whatever it answers; serves while inside."""

    mood: Mood = "well"
    well: int = 0  # so many messages are answered well before the mood begins: windows grow
    port: int = field(default_factory=free_port)
    messages: list[bytes] = field(default_factory=list)
    opened: list[int] = field(default_factory=list)  # of each session: messages that came before
    news: threading.Condition = field(default_factory=threading.Condition)
    _open: set[socket.socket] = field(default_factory=set)
    _server: socketserver.ThreadingTCPServer | None = None
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        receiver = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                receiver.serve(self.connection)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True

        self._server = Server((HOST, self.port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server
        assert self._thread
        self._server.shutdown()
        self._thread.join()
        self.cut()
        self._server.server_close()  # and waits for its threads

    def cut(self) -> None:
        """Break off all sessions."""
        with self.news:
            for sock in self._open:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def wait_for(self, count: int, seconds_max: float = SECONDS_MAX) -> None:
        """Until so many messages have come, those that came again included."""
        with self.news:
            came = self.news.wait_for(lambda: len(self.messages) >= count, seconds_max)
            assert came, f"{len(self.messages)} of {count} messages came"

    def serve(self, sock: socket.socket) -> None:
        with self.news:
            self._open.add(sock)
        pair: list[int] = []
        try:
            for frame in frames(sock.makefile("rb")):
                for answer in self._answers(frame, pair):
                    sock.sendall(answer)
                if frame.command == b"close":
                    return
        except OSError:
            pass  # cut
        finally:
            with self.news:
                self._open.discard(sock)

    def _answers(self, frame: Frame, pair: list[int]) -> Iterator[bytes]:
        with self.news:
            if frame.command == b"open":
                self.opened.append(len(self.messages))
                yield encode(frame.number, b"rsp", b"200 OK\n" + OFFERS)
            elif frame.command == b"close":
                yield encode(frame.number, b"rsp")
            else:
                self.messages.append(frame.data)
                self.news.notify_all()
                yield from self._answer(frame.number, pair)

    def _answer(self, number: int, pair: list[int]) -> Iterator[bytes]:
        yes = b"200 OK"
        if self.mood == "well" or len(self.messages) <= self.well:
            yield encode(number, b"rsp", yes)
        elif self.mood == "refusing":
            self.mood = "well"
            yield encode(number, b"rsp", b"500 not now")
        elif self.mood == "confused":
            self.mood = "well"
            yield encode(number + 100_000, b"rsp", yes)
        elif self.mood == "backwards":
            pair.append(number)
            if len(pair) == 2:
                yield b"".join([encode(each, b"rsp", yes) for each in reversed(pair)])
                pair.clear()
