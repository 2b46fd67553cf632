"""Certificates, and pairs of connections between which the test is the network."""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import trio
import trustme

from relay.system.ports import ConnectionBroken, TlsSettings
from relay.system.tls.connection import TlsConnection
from relay.system.tls.context import SystemTlsContext

NAME = "siem.example.net"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


@dataclass(slots=True, eq=False)
class Wire:
    """One end of a connection in memory. Our kernel takes `room` octets; `None` takes all.

    The peer's kernel has acknowledged `acknowledged` octets, our FIN, when it is out, as one.
    """

    room: int | None = None
    acknowledged: int = 0
    taken: int = 0
    finished: bool = False
    ended: bool = False  # the peer's FIN is behind what has arrived
    fault: str = ""
    arrived: bytearray = field(default_factory=bytearray)
    other: "Wire | None" = None
    calls: int = 0  # of send

    @property
    def peer(self) -> str:
        return "192.0.2.9"

    def receive(self, octets_max: int) -> bytes | None:
        data = bytes(self.arrived[:octets_max])
        del self.arrived[:octets_max]
        if not data and self.fault:
            raise ConnectionBroken(self.fault)
        return data or (b"" if self.ended else None)

    def send(self, buffers: Sequence[bytes | memoryview]) -> int:
        self.calls += 1
        if self.fault:
            raise ConnectionBroken(self.fault)
        assert not self.finished
        data = b"".join(buffers)[: self.room]
        if self.room is not None:
            self.room -= len(data)
        self.taken += len(data)
        if self.other:
            self.other.arrived += data
        return len(data)

    async def readable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def unacknowledged(self) -> int:
        return self.taken + self.finished - self.acknowledged

    def silent_seconds(self) -> float:
        return 0.0

    def hung_up(self) -> bool:
        return self.ended or bool(self.fault)

    def half_close(self) -> bool:
        if self.fault:
            return False
        self.finished = True
        if self.other:
            self.other.ended = True
        return True

    def seal(self) -> None: ...

    def close(self) -> None: ...


def wires() -> tuple[Wire, Wire]:
    one, other = Wire(), Wire()
    one.other, other.other = other, one
    return one, other


def authority_of_that_name() -> trustme.CA:
    """A new one, with a key of its own and the same name as every other."""
    return trustme.CA(
        organization_name="Laboratory",
        organization_unit_name="Authority",
        key_type=trustme.KeyType.ECDSA,
    )


@dataclass(frozen=True, slots=True)
class Certificates:
    """In one directory: an authority, and certificates of it and of another of the same name."""

    directory: Path
    ca: str
    server: str  # key, certificate and chain in one file
    client: str

    @classmethod
    def make(cls, directory: Path) -> "Certificates":
        directory.mkdir(exist_ok=True)
        authority = authority_of_that_name()
        ca, server, client = (str(directory / f"{name}.pem") for name in ("ca", "server", "client"))
        authority.cert_pem.write_to_path(ca)
        leaf = authority.issue_cert(NAME, "127.0.0.1", key_type=trustme.KeyType.ECDSA)
        leaf.private_key_and_cert_chain_pem.write_to_path(server)
        leaf = authority.issue_cert("edge1.example.net", common_name="edge 1")
        leaf.private_key_and_cert_chain_pem.write_to_path(client)
        return cls(directory, ca, server, client)

    def server_settings(self, **settings: object) -> TlsSettings:
        chosen: dict[str, object] = {"certificate": self.server, "verify": "off", **settings}
        return TlsSettings("server", **chosen)  # type: ignore[arg-type]

    def mutual(self, **settings: object) -> TlsSettings:
        return self.server_settings(**{"ca": self.ca, "verify": "required", **settings})

    def client_settings(self, **settings: object) -> TlsSettings:
        return TlsSettings("client", **{"ca": self.ca, **settings})  # type: ignore[arg-type]


@dataclass(slots=True, eq=False)
class Pair:
    """Both sides of TLS between two wires."""

    client_wire: Wire
    server_wire: Wire
    client: TlsConnection
    server: TlsConnection

    @classmethod
    def of(cls, client: TlsSettings, server: TlsSettings, version: str = "1.3") -> "Pair":
        """What the peer of ours speaks is exactly `version`."""
        one, other = wires()
        context = SystemTlsContext(server)
        context._context.maximum_version = VERSIONS[version]
        return cls(one, other, SystemTlsContext(client).wrap(one, NAME), context.wrap(other))

    def shake_hands(self) -> None:
        done = [False, False]
        for _ in range(10):
            done = [self.client.handshake(), self.server.handshake()]
            if all(done):
                return
        raise AssertionError(f"no handshake after 10 steps of each: {done}")

    def settle(self) -> None:
        """What TLS itself has said after the handshake is heard, and everything acknowledged."""
        assert self.client.receive(1) is None
        assert self.server.receive(1) is None
        for wire in (self.client_wire, self.server_wire):
            wire.acknowledged = wire.taken
