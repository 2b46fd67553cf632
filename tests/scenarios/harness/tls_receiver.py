"""A peer that receives over TLS, and records what reached it before it was known and after."""

import selectors
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.scenarios.harness.messages import Framing
from tests.scenarios.harness.receivers import READ_OCTETS, Recorded, StreamReceiver

HANDSHAKE, CHANGE_CIPHER_SPEC, ALERT, APPLICATION_DATA = 22, 20, 21, 23  # RFC 8446 section 5.1
ALERT_OCTETS_MAX = 19  # of a record: an alert, its type and the tag of its encryption


@dataclass(slots=True, eq=False)
class Ciphertext:
    """What one connection brought, as it came."""

    data: bytearray = field(default_factory=bytearray)

    def records(self) -> Iterator[tuple[int, int]]:
        """Type and octets of each record, whole or not."""
        at = 0
        while at < len(self.data):
            octets = int.from_bytes(self.data[at + 3 : at + 5], "big")
            yield self.data[at], octets
            at += 5 + octets

    def holds_no_message(self) -> bool:
        """Whether it is the begin of a handshake, and an alert at most."""
        return all(
            kind in (HANDSHAKE, CHANGE_CIPHER_SPEC, ALERT)
            or (kind == APPLICATION_DATA and octets <= ALERT_OCTETS_MAX)
            for kind, octets in self.records()
        )


class TlsReceiver(StreamReceiver):
    """Records what is said to it, decrypted in `connections`, and as it came in `ciphertexts`.

    Without a context it says something in clear text.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None,
        framing: Framing = "octet",
        *,
        port: int | None = None,
    ) -> None:
        super().__init__(framing, port=port)
        self.ciphertexts: list[Ciphertext] = []
        self._context = context

    def _read_from(self, sock: socket.socket, recorded: Recorded) -> None:
        talk = _Talk(sock, recorded, self._context)
        self.ciphertexts.append(talk.ciphertext)

        def read() -> None:
            if not talk.goes_on():
                recorded.ended = True
                self._selector.unregister(sock)
                self._open.discard(sock)
                sock.close()

        self._open.add(sock)
        self._selector.register(sock, selectors.EVENT_READ, read)


class _Talk:
    """One connection, from its first octet."""

    def __init__(
        self, sock: socket.socket, recorded: Recorded, context: ssl.SSLContext | None
    ) -> None:
        self.ciphertext = Ciphertext()
        self._sock = sock
        self._recorded = recorded
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is None:
            sock.sendall(b"220 welcome\r\n")
        else:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def goes_on(self) -> bool:
        """Read what has come, answer it, and say whether more may come."""
        try:
            data = self._sock.recv(READ_OCTETS)
            self.ciphertext.data += data
            goes_on = bool(data) and (self._tls is None or self._decrypt(self._tls, data))
            self._sock.sendall(self._outgoing.read())
        except OSError:
            return False
        return goes_on

    def _decrypt(self, tls: ssl.SSLObject, data: bytes) -> bool:
        self._incoming.write(data)
        try:
            tls.do_handshake()
            while plain := tls.read(READ_OCTETS):
                self._recorded.data += plain
        except ssl.SSLWantReadError:
            return True
        except ssl.SSLError:
            pass
        return False
