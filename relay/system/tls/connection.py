"""TLS over a connection: the port of a connection again, whose octets are those of the plaintext.

The library reads from and writes to memory; what it has written leaves through the connection
below. So it is known at any time which plaintext our kernel has, and which the peer's.
"""

import ssl
from collections.abc import Sequence
from contextlib import suppress

import trio

from relay.system.ports import Connection, ConnectionBroken, Identity, TlsFault, TlsReason
from relay.system.tls.faults import fault_of
from relay.system.tls.identity import Permits, identity_of
from relay.system.tls.offsets import Offsets

RECORD_OCTETS = 16 << 10  # of plaintext (RFC 8446 section 5.1)
RECORDS_AT_ONCE = 8  # encrypted before our kernel is asked whether it has room
HANDSHAKE_OCTETS = 16 << 10  # read at once until the peer is known
RECORD_MAX = RECORD_OCTETS + 256 + 5  # of ciphertext, with header
# The types of the first record that a peer may send: an alert or a handshake (RFC 8446 5.1).
FIRST_OCTETS = (b"\x15", b"\x16")
WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
# Without close_notify, or with it behind our own.
ENDS = (ssl.SSLEOFError, ssl.SSLZeroReturnError)


class TlsConnection:
    """One side of TLS over `wire`.

    Invariants: what the library has written is in `_unsent` or with our kernel whenever a method
    returns. In memory are at most `RECORDS_AT_ONCE` records that our kernel has no room for, and of
    what was received the part of one read that the caller had no room for.
    """

    def __init__(
        self,
        wire: Connection,
        context: ssl.SSLContext,
        *,
        server_name: str | None = None,
        permits: Permits,
    ) -> None:
        self._wire = wire
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=context.protocol == ssl.PROTOCOL_TLS_SERVER,
            server_hostname=server_name,
        )
        self._permits = permits
        self._identity: Identity | None = None
        self._done = False
        self._begun = False  # the first octet was heard
        self._heard = False
        self._unsent = memoryview(b"")  # ciphertext that our kernel has no room for
        self._cipher_taken = 0  # octets of ciphertext that our kernel has
        self._offsets = Offsets()
        self._told = 0  # plaintext octets that the caller knows to be taken
        self._read_ahead = b""  # plaintext that was decrypted before its time
        self._ended = False
        self._fault: ConnectionBroken | None = None  # told by every `receive` from now on
        self._closing = False  # close_notify is written
        self._fin = False  # our FIN is out, or waits for room
        self._finished = False  # it is out

    # -- TLS

    def handshake(self) -> bool:
        try:
            if not self._done:
                self._done = self._shake_hands()
            return self._done and not self._flush()
        except ConnectionBroken as broken:
            if isinstance(broken, TlsFault):
                raise
            raise TlsFault(TlsReason.CLOSED, f"{broken} during the TLS handshake") from broken

    @property
    def wants_room(self) -> bool:
        return bool(self._unsent)

    @property
    def pending(self) -> bool:
        held = self._read_ahead or self._ended or self._fault
        return bool(held or self._incoming.pending or (self._done and self._tls.pending()))

    @property
    def heard(self) -> bool:
        return self._heard

    @property
    def identity(self) -> Identity | None:
        return self._identity

    @property
    def version(self) -> str:
        return self._tls.version() or "" if self._done else ""

    # -- the port

    @property
    def peer(self) -> str:
        return self._wire.peer

    def receive(self, octets_max: int) -> bytes | None:
        if self._closing:
            self._flush_quietly()
        if self._read_ahead:
            data = self._read_ahead[:octets_max]
            self._read_ahead = self._read_ahead[octets_max:]
            return data
        data = b"" if self._over else self._decrypt(octets_max)
        if data:
            return data
        if self._fault:
            raise self._fault
        return b"" if self._ended else None

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        if self._fault:
            raise self._fault
        offsets = self._offsets
        data = memoryview(buffers[0] if len(buffers) == 1 else b"".join(buffers))
        data = data[offsets.written - self._told :]  # the rest is encrypted already
        try:
            while not self._flush() and data:
                data = data[self._encrypt(data) :]
        except ConnectionBroken as broken:
            raise self._last_words() or broken from broken
        taken, self._told = offsets.taken - self._told, offsets.taken
        return taken

    async def readable(self) -> None:
        if self.pending:
            await trio.lowlevel.checkpoint()
        else:
            await self._wire.readable()

    async def writable(self) -> None:
        await self._wire.writable()

    def unacknowledged(self) -> int:
        if self._closing:
            self._flush_quietly()
        under_way = self._wire.unacknowledged()
        fin_under_way = self._fin and (under_way > 0 or not self._finished)
        self._offsets.acknowledge(
            self._cipher_taken - under_way + (self._finished and under_way > 0)
        )
        return max(0, self._told - self._offsets.acknowledged) + fin_under_way

    def silent_seconds(self) -> float:
        return self._wire.silent_seconds()

    def hung_up(self) -> bool:
        return self._wire.hung_up()

    def half_close(self) -> bool:
        """As the port says. FIN follows close_notify, which may have to wait for room.

        Then `receive` and `unacknowledged` try again, and our FIN counts as unacknowledged.
        """
        if not self._closing:
            if self._done:
                self._write_close_notify()
            self._closing = True
            self._fin = self._flush_quietly()
        return self._fin

    def seal(self) -> None:
        self._wire.seal()

    def close(self) -> None:
        self._wire.close()

    def fileno(self) -> int:
        return self._wire.fileno()  # type: ignore[attr-defined,no-any-return]

    # -- ciphertext

    def _shake_hands(self) -> bool:
        while True:
            try:
                self._tls.do_handshake()
                self._permits.check(self._tls)
                self._identity = identity_of(self._tls)
            except WAITS:
                if not self._flush() and self._hear_handshake():
                    continue
                return False
            except ssl.SSLError as error:
                self._flush_quietly()  # the alert that says why
                raise fault_of(error) from error
            return True

    def _hear_handshake(self) -> bool:
        """Read what has arrived; True when that may be enough to go on."""
        data = self._wire.receive(HANDSHAKE_OCTETS)
        if data is None:
            return False
        if not data:
            raise TlsFault(TlsReason.CLOSED, "connection closed by peer during the TLS handshake")
        if not self._begun and not data.startswith(FIRST_OCTETS):
            raise TlsFault(TlsReason.CLEARTEXT, "the peer does not speak TLS")
        self._begun = True
        self._incoming.write(data)
        return True

    @property
    def _over(self) -> bool:
        return self._ended or self._fault is not None

    def _decrypt(self, octets_max: int) -> bytes:
        """Plaintext of whole records that have arrived, or what is left of one."""
        pieces: list[bytes] = []
        room = octets_max
        while room > 0 and not self._over:
            piece = self._record(min(room, RECORD_OCTETS))
            if piece is not None:
                pieces.append(piece)
                room -= len(piece)
            elif not self._refill(max(room, RECORD_MAX)):
                break
        if self._outgoing.pending:  # such as the answer to a KeyUpdate
            self._flush_quietly()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _record(self, octets_max: int) -> bytes | None:
        """Plaintext of one record, empty when it is over; None: no whole one is in memory."""
        try:
            data = self._tls.read(octets_max)
        except WAITS:
            return None
        except ENDS:
            data = b""
        except ssl.SSLError as error:
            self._fault = fault_of(error)
            return b""
        self._ended = not data  # by close_notify
        return data

    def _refill(self, octets_max: int) -> bool:
        try:
            data = self._wire.receive(octets_max)
        except ConnectionBroken as broken:
            self._fault = broken
            return False
        if data is None:
            return False
        if data:
            self._heard = True
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        return True

    def _encrypt(self, data: memoryview) -> int:
        """Write some records; returns the octets of plaintext in them."""
        written = 0
        base = self._cipher_taken  # `_unsent` is empty
        try:
            for _ in range(RECORDS_AT_ONCE):
                octets = self._tls.write(data[written : written + RECORD_OCTETS])
                written += octets
                self._offsets.add(octets, base + self._outgoing.pending)
                if written == len(data):
                    break
        except ssl.SSLError as error:
            raise fault_of(error) from error
        return written

    def _flush(self) -> bool:
        """Give our kernel what is to leave; True when it has no room for all of it."""
        while self._unsent or self._outgoing.pending:
            if not self._unsent:
                self._unsent = memoryview(self._outgoing.read())
            taken = self._wire.send([self._unsent])
            if not taken:
                return True
            self._unsent = self._unsent[taken:]
            self._cipher_taken += taken
            self._offsets.take(self._cipher_taken)
        return False

    def _flush_quietly(self) -> bool:
        """The same where nobody asked for it, and our FIN behind it; False: broken."""
        try:
            blocked = self._flush()
        except ConnectionBroken:
            return False  # `receive` says so
        if self._closing and not self._finished and not blocked:
            self._finished = self._wire.half_close()
            return self._finished
        return True

    def _last_words(self) -> ConnectionBroken | None:
        """The alert with which a peer that takes nothing more has said why."""
        if not (self._over or self._read_ahead):
            self._read_ahead = self._decrypt(RECORD_OCTETS)
        return self._fault if isinstance(self._fault, TlsFault) else None

    def _write_close_notify(self) -> None:
        # The library looks for the peer's as well, and takes data that is in its way for a fault.
        while (self._incoming.pending or self._tls.pending()) and not self._over:
            self._read_ahead += self._record(RECORD_OCTETS) or b""
        # The peer's is still to come, or has come with a fault that `receive` tells.
        with suppress(ssl.SSLError):
            self._tls.unwrap()
