"""Peers that send."""

import fcntl
import selectors
import socket
import struct
import termios
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Self

from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.waiting import SECONDS_MAX

PIECE_OCTETS = 4099  # prime, so that frames are cut everywhere


def connected(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=SECONDS_MAX)


@contextmanager
def all_connected(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many connections, which are closed at the end."""
    with ExitStack() as stack:
        yield [stack.enter_context(connected(port)) for _ in range(count)]


def send_all(port: int, streams: Sequence[bytes]) -> None:
    """Each over a connection of its own, all at the same time, in pieces that cut frames."""
    selector = selectors.DefaultSelector()
    for data in streams:
        sock = connected(port)
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_WRITE, [memoryview(data)])
    while selector.get_map():
        for key, _ in selector.select():
            client, left = key.fileobj, key.data
            assert isinstance(client, socket.socket)
            left[0] = left[0][client.send(left[0][:PIECE_OCTETS]) :]
            if not left[0]:
                selector.unregister(client)
                client.close()
    selector.close()


def send_datagrams(port: int, messages: Sequence[bytes]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, port))
        for message in messages:
            sock.send(message)


def unacknowledged(sock: socket.socket) -> int:
    """Octets that the peer's kernel has not acknowledged (tcp(7), SIOCOUTQ)."""
    answer = fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0")
    return int(struct.unpack("i", answer)[0])


class Load:
    """Calls `send(number)` with 0, 1, 2 … in a thread while inside; `sent` says how far it came."""

    def __init__(self, send: Callable[[int], None], *, pause_seconds: float = 0.002) -> None:
        self.sent = 0
        self._pause_seconds = pause_seconds
        self._send = send
        self._over = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._fault and not kind:
            raise self._fault

    def _run(self) -> None:
        try:
            while not self._over.wait(self._pause_seconds):
                self._send(self.sent)
                self.sent += 1
        except Exception as fault:
            self._fault = fault
