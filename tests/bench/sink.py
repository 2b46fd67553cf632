"""The process that receives: counts octets and looks at none of them."""

import json
import selectors
import socket
import sys
import time
from dataclasses import dataclass, field
from typing import cast

from tests.bench.generator import HOST
from tests.bench.load import Transport

READ_OCTETS = 1 << 20
TURN_READS = 256  # of one socket before the others are looked at
QUIET_SECONDS = 3.0  # after the last octet, when no more are being sent
SO_RCVBUFFORCE = 33  # asm-generic/socket.h


def listen(transport: Transport) -> socket.socket:
    if transport == "tcp":
        return socket.create_server((HOST, 0))
    sock = socket.socket(type=socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.bind((HOST, 0))
    return sock


@dataclass(slots=True)
class Sink:
    """Invariant: `octets` were received before `last`."""

    listening: socket.socket
    expected: int  # octets
    octets: int = 0
    last: float = 0.0
    buffer: bytearray = field(default_factory=lambda: bytearray(READ_OCTETS))

    def receive(self) -> None:
        """Return when all has come, or when nothing more will: a line on stdin tells the end."""
        with selectors.DefaultSelector() as selector:
            self.listening.setblocking(False)
            selector.register(self.listening, selectors.EVENT_READ)
            selector.register(sys.stdin, selectors.EVENT_READ)
            finishing = False
            while self.octets < self.expected:
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
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ)
        elif not self._read(sock):
            selector.unregister(sock)
            sock.close()

    def _read(self, sock: socket.socket) -> bool:
        """Read what is there; False at the end of a connection."""
        octets = -1
        try:
            for _ in range(TURN_READS):
                octets = sock.recv_into(self.buffer)
                self.octets += octets
                if not octets:
                    break
        except BlockingIOError:
            pass
        if octets > 0:
            self.last = time.monotonic()
        return octets != 0


def main() -> None:
    transport, expected = cast("Transport", sys.argv[1]), int(sys.argv[2])
    sink = Sink(listen(transport), expected)
    print(json.dumps({"port": sink.listening.getsockname()[1]}), flush=True)
    sink.receive()
    print(json.dumps({"octets": sink.octets, "last": sink.last}), flush=True)
    sys.stdin.read()  # whoever sends here sees no end before everybody has counted


if __name__ == "__main__":
    main()
