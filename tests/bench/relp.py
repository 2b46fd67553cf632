"""RELP for generator and sink: as much of the protocol as a measurement needs, at the speed of C.

All messages have one size and no LF, so that frames are counted by their LF, and a piece of many is
made by one formatting: 0.1 µs a message on either side. The row `direct` shows that this does not
limit. Anything unexpected ends the process, and with it the run.
"""

import socket
from collections.abc import Sequence

from tests.bench.load import RELP_PIECE as PIECE
from tests.bench.messages import DISTINCT, OCTETS

WINDOW = 1024  # messages without an answer
READ_OCTETS = 64 << 10
OFFERS = b"relp_version=0\nrelp_software=bench\ncommands=syslog"
ANSWER = b"%d rsp 6 200 OK\n"


class Sender:
    """Sends numbered messages over one connection, a window of them ahead of their answers.

    Invariant: messages sent are `_next - 2`, as the first transaction opens the session.
    """

    def __init__(self, sock: socket.socket, row: Sequence[bytes], *, quick: bool) -> None:
        self._socket = sock
        self._quick = quick  # see `Load`
        self._next = 2
        self._answered = 0
        self._rest = b""  # of an answer that has begun
        self._pieces = [_template(row[at : at + PIECE]) for at in range(0, DISTINCT, PIECE)]
        sock.sendall(frame(1, b"open", OFFERS))
        opened = b""
        while not opened.endswith(b"\n") or opened.count(b"\n") < 3:
            opened += self._receive()
        assert opened.startswith(b"1 rsp "), opened
        assert b" 200 OK" in opened, opened

    def send(self, start: int, stop: int) -> None:
        """The messages with these numbers; returns when all are answered."""
        assert start % PIECE == stop % PIECE == 0, "whole pieces"
        for at in range(start, stop, PIECE):
            while self._unanswered + PIECE > WINDOW:
                self._hear()
            numbers = tuple(range(self._next, self._next + PIECE))
            self._socket.sendall(self._pieces[at % DISTINCT // PIECE] % numbers)
            self._next += PIECE
        while self._unanswered:
            self._hear()

    @property
    def _unanswered(self) -> int:
        return self._next - 2 - self._answered

    def _hear(self) -> None:
        data = self._rest + self._receive()
        whole = data[: data.rfind(b"\n") + 1]
        self._rest = data[len(whole) :]
        answers = whole.count(b"\n")
        assert whole.count(b" rsp 6 200 OK\n") == answers, whole[:200]
        self._answered += answers

    def _receive(self) -> bytes:
        data = self._socket.recv(READ_OCTETS)
        if not data:
            raise ConnectionError("the relay has closed its RELP session")
        if self._quick:  # the kernel forgets it now and then: tcp(7)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data


class Receiver:
    """Takes what a relay sends over one connection, and answers every frame at once."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._next = 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def take(self, data: bytes | bytearray) -> int:
        """Answer what has been read; returns how many messages it completes."""
        if self._next == 1:
            # The frame with the offers comes whole: it is small, and nothing follows it unasked.
            assert data.startswith(b"1 open "), data[:80]
            self._send(frame(1, b"rsp", b"200 OK\n" + OFFERS))
            self._next = 2
            return 0
        messages = data.count(b"\n")
        numbers = tuple(range(self._next, self._next + messages))
        self._send((ANSWER * messages) % numbers)
        self._next += messages
        return messages

    def _send(self, data: bytes) -> None:
        self._socket.setblocking(True)  # a window of answers is less than any send buffer
        self._socket.sendall(data)
        self._socket.setblocking(False)


def frame(number: int, command: bytes, data: bytes) -> bytes:
    return b"%d %b %d %b\n" % (number, command, len(data), data)


def _template(messages: Sequence[bytes]) -> bytes:
    """Frames of these messages, to be formatted with their numbers."""
    return b"".join([b"%%d syslog %d %b\n" % (OCTETS, it.replace(b"%", b"%%")) for it in messages])
