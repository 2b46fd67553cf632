"""Peers that receive: they record what comes, octet for octet."""

import selectors
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.scenarios.harness.messages import Framing, split
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.waiting import SECONDS_MAX

READ_OCTETS = 1 << 20


@dataclass(slots=True, eq=False)
class Recorded:
    """One connection, and what has come over it."""

    data: bytearray = field(default_factory=bytearray)
    ended: bool = False


class _Thread(ABC):
    """What all receivers are: a thread that records until its `with` block ends."""

    def __init__(self) -> None:
        self.news = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._bell, self._ringer = socket.socketpair()
        self._selector.register(self._bell, selectors.EVENT_READ, self._end)
        self._over = False
        self._thread = threading.Thread(target=self._run, name=type(self).__name__)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ringer.send(b"x")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()
        self._ringer.close()

    def wait(self, look: Callable[[], bool], what: str, seconds_max: float = SECONDS_MAX) -> None:
        """Return when `look` says yes; it is asked whenever something has come."""
        with self.news:
            found = self.news.wait_for(look, seconds_max)
            assert found, f"not within {seconds_max:g} s: {what}; {self.seen()}"

    @abstractmethod
    def seen(self) -> str:
        """What has come by now, for the message of a wait that was in vain."""

    def _run(self) -> None:
        while not self._over:
            ready = self._selector.select()
            with self.news:
                for key, _ in ready:
                    key.data()
                self.news.notify_all()

    def _end(self) -> None:
        self._over = True


class StreamReceiver(_Thread):
    """Accepts connections and records them. A deaf one accepts, and reads only when told to."""

    def __init__(
        self,
        framing: Framing = "lf",
        *,
        path: Path | None = None,
        deaf: bool = False,
        port: int | None = None,
    ) -> None:
        super().__init__()
        self.framing: Framing = framing
        self.port = 0 if path else port or free_port()
        self.connections: list[Recorded] = []
        self.octets = 0
        self._deaf = deaf
        self._open: set[socket.socket] = set()
        self._unread: list[tuple[socket.socket, Recorded]] = []
        self._listening = _listening(self.port, path)
        self._selector.register(self._listening, selectors.EVENT_READ, self._accept)

    def __exit__(self, *args: object) -> None:
        super().__exit__(*args)
        for sock, _ in self._unread:
            sock.close()

    @property
    def messages(self) -> list[bytes]:
        """The whole messages of all connections, one after the other."""
        with self.news:
            copies = [bytes(it.data) for it in self.connections]
        return [message for data in copies for message in split(data, self.framing)[0]]

    def wait_octets(self, octets: int, seconds_max: float = SECONDS_MAX) -> None:
        """Return when so many have come, over all connections."""
        self.wait(lambda: self.octets >= octets, f"{octets} octets", seconds_max)

    def wait_for(self, text: bytes, seconds_max: float = SECONDS_MAX) -> None:
        """Return when this text has come, on any connection."""

        def there() -> bool:
            return any(text in it.data for it in self.connections)

        self.wait(there, repr(text), seconds_max)

    def wait_ended(self, seconds_max: float = SECONDS_MAX) -> None:
        """Return when all connections have ended, and there has been one."""

        def all_ended() -> bool:
            return bool(self.connections) and all(it.ended for it in self.connections)

        self.wait(all_ended, "the end of all connections", seconds_max)

    def listen_now(self) -> None:
        """A deaf one begins to read."""
        with self.news:
            self._deaf = False
            for sock, recorded in self._unread:
                self._read_from(sock, recorded)
            self._unread.clear()

    def hang_up(self) -> None:
        """Send FIN on all connections; whoever wants more connects again."""
        with self.news:
            for sock in self._open:
                sock.shutdown(socket.SHUT_WR)

    def _accept(self) -> None:
        sock, _ = self._listening.accept()
        recorded = Recorded()
        self.connections.append(recorded)
        if self._deaf:
            self._unread.append((sock, recorded))
        else:
            self._read_from(sock, recorded)

    def _read_from(self, sock: socket.socket, recorded: Recorded) -> None:
        def read() -> None:
            try:
                data = sock.recv(READ_OCTETS)
            except ConnectionResetError:
                data = b""
            recorded.data += data
            self.octets += len(data)
            if not data:
                recorded.ended = True
                self._selector.unregister(sock)
                self._open.discard(sock)
                sock.close()

        self._open.add(sock)
        self._selector.register(sock, selectors.EVENT_READ, read)

    def seen(self) -> str:
        ends = [bytes(it.data[-300:]) for it in self.connections[-3:]]
        return f"{self.octets} octets over {len(self.connections)} connections, at the end {ends}"


class DatagramReceiver(_Thread):
    """Records datagrams, from UDP or a unix socket."""

    def __init__(self, *, path: Path | None = None) -> None:
        super().__init__()
        self.messages: list[bytes] = []
        self.port = 0 if path else free_port()
        if path:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            self._socket.bind(str(path))
        else:
            self._socket = socket.socket(type=socket.SOCK_DGRAM)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.bind((HOST, self.port))
        self._selector.register(self._socket, selectors.EVENT_READ, self._receive)

    def wait_messages(self, count: int) -> None:
        self.wait(lambda: len(self.messages) >= count, f"{count} datagrams")

    def seen(self) -> str:
        return f"{len(self.messages)} datagrams, at the end {self.messages[-3:]}"

    def _receive(self) -> None:
        self.messages.append(self._socket.recv(READ_OCTETS))


def _listening(port: int, path: Path | None) -> socket.socket:
    if path is None:
        return socket.create_server((HOST, port), backlog=256)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.bind(str(path))
    sock.listen(256)
    return sock
