"""A sink in a thread: it counts messages, and says when so many are there."""

import select
import socket
import ssl
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.bench import secure
from tests.bench.child import Silent
from tests.bench.generator import HOST
from tests.bench.load import Transport
from tests.bench.messages import counted_octets
from tests.bench.relp import Receiver

READ_OCTETS = 1 << 20
LOOK_SECONDS = 0.2  # how often the thread looks whether it is to end


class Arrivals:
    """Takes one connection after the other. Invariant: `_messages` only rises."""

    def __init__(self, transport: Transport, certificates: Path | None = None) -> None:
        self._is_relp = transport == "relp"
        self._context = secure.server(certificates) if transport == "tls" and certificates else None
        self._listening = socket.create_server((HOST, 0))
        self._messages = 0
        self._changed = threading.Condition()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._listening.close()

    @property
    def port(self) -> int:
        port: int = self._listening.getsockname()[1]
        return port

    def wait(self, messages: int, seconds_max: float) -> None:
        """Until so many are there in all.

        Raises:
            Silent: they did not come in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._messages >= messages, seconds_max):
                raise Silent(
                    f"only {self._messages:,} of {messages:,} messages came in {seconds_max:g} s"
                )

    def _serve(self) -> None:
        self._listening.settimeout(LOOK_SECONDS)
        while not self._ending.is_set():
            with suppress(TimeoutError, OSError):
                plain, _ = self._listening.accept()
                plain.settimeout(None)
                with self._wrapped(plain) as connection:
                    self._read(connection)

    def _wrapped(self, plain: socket.socket) -> socket.socket:
        return self._context.wrap_socket(plain, server_side=True) if self._context else plain

    def _read(self, sock: socket.socket) -> None:
        receiver = Receiver(sock) if self._is_relp else None
        octets, before = 0, self._messages
        while not self._ending.is_set():
            has_more = isinstance(sock, ssl.SSLSocket) and sock.pending()
            if not has_more and not select.select([sock], [], [], LOOK_SECONDS)[0]:
                continue
            data = sock.recv(READ_OCTETS)
            if not data:
                return
            octets += len(data)
            with self._changed:
                if receiver:
                    self._messages += receiver.take(data)
                else:
                    self._messages = before + octets // counted_octets(1)
                self._changed.notify_all()
