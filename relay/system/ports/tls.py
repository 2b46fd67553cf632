"""TLS over any connection, and the settings from which it is made."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal, NamedTuple, Protocol

from relay.system.ports.stream import Connection, ConnectionBroken

Version = Literal["1.2", "1.3"]


class TlsReason(StrEnum):
    """Why a handshake failed, or a connection after it: closed, for metrics."""

    CLEARTEXT = "cleartext"  # the peer does not speak TLS
    UNTRUSTED = "untrusted"  # its certificate is of no authority that we trust
    EXPIRED = "expired"  # or not valid yet
    WRONG_NAME = "wrong-name"
    NOT_PERMITTED = "not-permitted"  # neither by `peers` nor by `fingerprints`
    NO_CERTIFICATE = "no-certificate"  # it shows none, and we require one
    REFUSED = "refused"  # it refuses our certificate, or that we show none
    VERSION = "version"  # no version that both allow
    CIPHER = "cipher"  # no cipher that both allow
    CLOSED = "closed"  # ended or reset in the middle of it
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"  # anything else that is wrong with what it says


class TlsFault(ConnectionBroken):
    """TLS has failed on one connection; nothing can be said over it any more."""

    def __init__(self, reason: TlsReason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class TlsUnusable(Exception):
    """Certificates, keys or authorities cannot be used; says which file, and what is wrong."""


class TlsSettings(NamedTuple):
    """What one side needs; two that are equal share what is made of them.

    Files are paths or `credential:NAME`, which is a file in `$CREDENTIALS_DIRECTORY`; none is "".
    """

    side: Literal["client", "server"]
    certificate: str = ""
    key: str = ""  # none: in the file of the certificate
    passphrase_file: str = ""
    ca: str = ""  # a bundle, or `system`
    verify: Literal["required", "optional", "off"] = "required"  # the peer's certificate
    names: bool = True  # client: the certificate must bear the name that is connected to
    peers: tuple[str, ...] = ()  # subject alternative names of which the peer must have one
    fingerprints: tuple[str, ...] = ()  # of which the peer's certificate must have one
    minimum_version: Version = "1.3"
    ciphers: str = ""  # for TLS 1.2, as OpenSSL writes them


class Identity(NamedTuple):
    """What a peer's certificate says. Printable, bounded, and fit for logs and labels."""

    names: tuple[str, ...]  # subject alternative names, the first 16
    common_name: str
    fingerprint: str  # `sha-256:AA:BB:…` (RFC 5425 section 4.2.2)
    not_after: float  # seconds since the epoch; 0: unknown, for it was not verified

    @property
    def name(self) -> str:
        """How people call this peer: its first name, or what there is instead."""
        return next(iter(self.names), "") or self.common_name or self.fingerprint


class Certificate(NamedTuple):
    """One of those in a file. The texts are printable and bounded."""

    file: str
    subject: str  # common name, or what there is instead
    names: tuple[str, ...]  # subject alternative names, the first 16
    issuer: str
    not_before: float  # seconds since the epoch
    not_after: float


class SecureConnection(Connection, Protocol):
    """A connection over TLS. Octets are those of the plaintext everywhere.

    `send` returns the octets whose record our kernel has as a whole. Less than was given: come
    again with the octets that follow, unchanged, for some of them are encrypted already.
    `unacknowledged` counts an octet as long as the record that holds it is not acknowledged as a
    whole. `receive`: a FIN without close_notify is an end as any other (rsyslog's gtls driver
    never sends one). Both raise `TlsFault`, a `ConnectionBroken`, for an alert or what is no TLS.
    """

    def handshake(self) -> bool:
        """Go on with the handshake without waiting; True when it is done and the peer permitted.

        False: come again when there is something to read, or with `wants_room` when there is room.

        Raises:
            TlsFault: it has failed; nothing was or will be said but an alert.
        """

    @property
    def wants_room(self) -> bool:
        """Something of TLS itself waits for room in our kernel."""

    @property
    def pending(self) -> bool:
        """`receive` has something to say although the descriptor may not look readable."""

    @property
    def heard(self) -> bool:
        """The peer has said something since the handshake, if only a session ticket."""

    @property
    def identity(self) -> Identity | None:
        """Who the peer is; None before the handshake is done, or where it showed nothing."""

    @property
    def version(self) -> str:
        """`TLSv1.3`, or "" before the handshake is done."""


class TlsContext(Protocol):
    """Settings whose files have been read."""

    def wrap(self, connection: Connection, server_name: str = "") -> SecureConnection:
        """TLS over a connection on which nothing was said; the wrapper owns it.

        A client is given the name, or numeric address, that the peer's certificate must bear.
        """


class Tls(Protocol):
    """Reads certificates. Each component has one of its own."""

    async def load(self, settings: TlsSettings) -> TlsContext:
        """What the files hold now; the same object as before where none has changed.

        Files that have changed to something unusable are told once, and leave what was. Cancelled:
        nothing has changed.

        Raises:
            TlsUnusable: there is nothing to go on with.
        """

    async def certificates(self, file: str) -> Sequence[Certificate]:
        """The certificates in a file, the first 64.

        Raises:
            TlsUnusable: it cannot be read, or there is none in it.
        """
