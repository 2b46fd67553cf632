"""The process that receives: counts octets, and of RELP frames, and looks at nothing else."""

import json
import selectors
import socket
import ssl
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from tests.bench import secure
from tests.bench.generator import HOST
from tests.bench.load import Transport
from tests.bench.messages import OCTETS
from tests.bench.relp import Receiver

READ_OCTETS = 1 << 20
TURN_READS = 256  # of one socket before the others are looked at
QUIET_SECONDS = 3.0  # after the last octet, when no more are being sent
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


@dataclass(frozen=True, slots=True)
class Expected:
    """What is to come, and where."""

    transport: Transport
    octets: int  # all of them; over RELP only those of the messages
    lines: bool = False  # the same in lines: of messages whose sizes only the program knows
    port: int = 0  # 0: any
    timed: bool = False  # the time of each read is reported


def listen(transport: Transport, port: int = 0) -> socket.socket:
    if transport != "udp":
        return socket.create_server((HOST, port))
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.bind((HOST, 0))
    return sock


@dataclass(slots=True)
class Sink:
    """Invariant: `octets` were received between `first` and `last`."""

    listening: socket.socket
    expected: Expected
    context: ssl.SSLContext | None = None  # over TLS
    octets: int = 0
    first: float = 0.0
    last: float = 0.0
    trail: list[tuple[int, float]] = field(default_factory=list)  # how many were there, and when
    sessions: dict[socket.socket, Receiver] = field(default_factory=dict)  # those over RELP
    buffer: bytearray = field(default_factory=lambda: bytearray(READ_OCTETS))

    def receive(self) -> None:
        """Return when all has come, or when nothing more will: a line on stdin tells the end."""
        with selectors.DefaultSelector() as selector:
            self.listening.setblocking(False)
            selector.register(self.listening, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            finishing = False
            while self.octets < self.expected.octets:
                ready = selector.select(QUIET_SECONDS if finishing else None)
                if not ready:
                    return
                for key, _ in ready:
                    if key.fileobj is sys.stdin:
                        selector.unregister(sys.stdin)
                        finishing = True
                    else:
                        self._serve(cast("socket.socket", key.fileobj), selector)

    def _serve(self, sock: socket.socket, selector: selectors.BaseSelector) -> None:
        if sock is self.listening and sock.type == socket.SOCK_STREAM:
            connection, _ = sock.accept()
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
            if self.expected.transport == "relp":
                self.sessions[connection] = Receiver(connection)
        elif not self._read(sock):
            selector.unregister(sock)
            sock.close()

    def _read(self, sock: socket.socket) -> bool:
        """Read what is there; False at the end of a connection."""
        octets = -1
        try:
            for _ in range(TURN_READS):
                octets = sock.recv_into(self.buffer)
                if not octets:
                    break
                self._count(sock, octets)
        except (BlockingIOError, ssl.SSLWantReadError):  # which has nothing left in memory either
            pass
        if octets > 0:
            self.last = time.monotonic()
            self.first = self.first or self.last
        return octets != 0

    def _count(self, sock: socket.socket, octets: int) -> None:
        session = self.sessions.get(sock)
        if session:
            self.octets += session.take(self.buffer[:octets]) * OCTETS
        elif self.expected.lines:
            self.octets += self.buffer.count(b"\n", 0, octets)
        else:
            self.octets += octets
        if self.expected.timed:
            self.trail.append((self.octets, time.monotonic()))


def main() -> None:
    expected = Expected(**json.loads(sys.argv[1]))
    context = secure.server(Path(sys.argv[2])) if expected.transport == "tls" else None
    sink = Sink(listen(expected.transport, expected.port), expected, context)
    print(json.dumps({"port": sink.listening.getsockname()[1]}), flush=True)
    sink.receive()
    arrived = {"octets": sink.octets, "first": sink.first, "last": sink.last, "trail": sink.trail}
    print(json.dumps(arrived), flush=True)
    for connection in sink.sessions:
        connection.close()  # rsyslog would wait 20 s for an answer to its `close`
    sys.stdin.read()  # whoever sends here sees no end before everybody has counted


if __name__ == "__main__":
    main()
