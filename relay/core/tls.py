"""The tables `tls` of destinations and listeners."""

import re
import ssl
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from relay.core.keys import Keys
from relay.core.values import Duration, Path, listed, or_one
from relay.system.ports import TlsSettings

SYSTEM = "system"
_FINGERPRINT = r"sha-256:[0-9A-F]{2}(?::[0-9A-F]{2}){31}"


def _check_file(name: str) -> str:
    if name.startswith("credential:") and not re.fullmatch(r"credential:[\w.-]+", name):
        raise ValueError(f'expected "credential:NAME", not {name!r}')
    return name


def _check_fingerprint(text: str) -> str:
    shown = text.strip()
    shown = shown[:8].lower() + shown[8:].upper()
    if not re.fullmatch(_FINGERPRINT, shown):
        raise ValueError(
            f'expected "sha-256:" and 32 octets as in "sha-256:E1:2D:…" (RFC 5425), not {text!r}'
        )
    return shown


def _check_ciphers(text: str) -> str:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).set_ciphers(text)
    except ssl.SSLError:
        raise ValueError(
            f'expected ciphers as OpenSSL writes them, such as "ECDHE+AESGCM", not {text!r}'
        ) from None
    return text


File = Annotated[
    Path,
    AfterValidator(_check_file),
    WithJsonSchema({"type": "string", "examples": ["host.pem", "credential:host.pem"]}),
]
Authorities = Annotated[File, WithJsonSchema({"type": "string", "examples": ["ca.pem", "system"]})]
Fingerprint = Annotated[
    str,
    AfterValidator(_check_fingerprint),
    WithJsonSchema({"type": "string", "pattern": "^(?i:sha-256(:[0-9a-f]{2}){32})$",
                    "examples": ["sha-256:E1:2D:…"]}),
]  # fmt: skip
Peer = Annotated[str, Field(max_length=255, pattern="^[!-~]+$", examples=["fw1.example.net"])]
Ciphers = Annotated[
    str,
    Field(min_length=1, max_length=4096),
    AfterValidator(_check_ciphers),
    WithJsonSchema({"type": "string", "examples": ["ECDHE+AESGCM"]}),
]
Version = Literal["1.2", "1.3"]
Fingerprints = Annotated[
    tuple[Fingerprint, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)
]
Peers = Annotated[tuple[Peer, ...], BeforeValidator(listed), Field(json_schema_extra=or_one)]


class TlsKeys(Keys):
    """What both sides have."""

    certificate: File | None = None
    """Our certificate in PEM, those of intermediate authorities behind it."""
    key: File | None = None
    """Its private key in PEM; default: in the file of the certificate."""
    passphrase_file: File | None = None
    """File whose first line decrypts the key."""
    minimum_version: Version = "1.3"
    """The oldest version of TLS that is spoken."""
    ciphers: Ciphers | None = None
    """Ciphers of TLS 1.2, as OpenSSL writes them; default: OpenSSL's own."""
    handshake_max: Annotated[Duration, Field(ge=0.1, le=600)] = 10.0
    """How long the handshake may take."""

    @field_validator("key", "passphrase_file")
    @classmethod
    def _needs_a_certificate(cls, file: str | None, keys: ValidationInfo) -> str | None:
        if file is not None and keys.data.get("certificate", "") is None:
            raise ValueError("there is no certificate that it could belong to")
        return file

    @field_validator("ciphers")
    @classmethod
    def _are_for_older_versions(cls, ciphers: str | None, keys: ValidationInfo) -> str | None:
        if ciphers is not None and keys.data.get("minimum_version") == "1.3":
            raise ValueError('TLS 1.3 chooses its own: needs minimum_version = "1.2" above it')
        return ciphers


class DestinationTls(TlsKeys):
    """`tls` of a destination: how it knows its peer, and what it shows."""

    verify: bool = True
    """Whether the peer must prove who it is; `false` lets anybody read the messages."""
    ca: Authorities | None = None
    """Authorities that the peer's certificate may be of: a bundle in PEM, or "system" (default)."""
    server_name: Annotated[str, Field(max_length=253, pattern="^[0-9A-Za-z_.:-]+$")] | None = None
    """Name or address that the peer's certificate must bear; default: the host of `address`."""
    peers: Peers = ()
    """Subject alternative names of which it must bear one, instead of that name."""
    fingerprints: Fingerprints = ()
    """Fingerprints of which its certificate must have one; without `ca` nothing else is asked."""

    @field_validator("peers", "fingerprints")
    @classmethod
    def _are_verified(cls, value: tuple[str, ...], keys: ValidationInfo) -> tuple[str, ...]:
        if value and keys.data.get("verify") is False:
            raise ValueError("means nothing with verify = false")
        return value

    def settings(self) -> TlsSettings:
        pinned = bool(self.fingerprints) and self.ca is None
        return TlsSettings(
            side="client",
            certificate=self.certificate or "",
            key=self.key or "",
            passphrase_file=self.passphrase_file or "",
            ca=self.ca or SYSTEM,
            verify="required" if self.verify and not pinned else "off",
            names=not self.peers,
            peers=self.peers,
            fingerprints=self.fingerprints,
            minimum_version=self.minimum_version,
            ciphers=self.ciphers or "",
        )


class ListenerTls(TlsKeys):
    """`tls` of a listener: what it shows, and who may come."""

    certificate: File
    """Our certificate in PEM, those of intermediate authorities behind it."""
    client_ca: Authorities | None = None
    """Authorities that clients' certificates may be of: a bundle in PEM, or "system"."""
    client_certificate: Literal["required", "optional", "off"] = "required"
    """Whether clients must prove who they are; without `client_ca` they can't, and need not."""
    peers: Peers = ()
    """Subject alternative names of which a client's certificate must bear one."""
    fingerprints: Fingerprints = ()
    """Fingerprints of which a client's certificate must have one."""

    @field_validator("client_certificate")
    @classmethod
    def _needs_authorities(cls, how: str, keys: ValidationInfo) -> str:
        if how != "off" and keys.data.get("client_ca", "") is None:
            raise ValueError(f'"{how}" needs client_ca')
        return how

    @field_validator("peers", "fingerprints")
    @classmethod
    def _need_certificates(cls, value: tuple[str, ...], keys: ValidationInfo) -> tuple[str, ...]:
        if value and keys.data.get("client_ca", "") is None:
            raise ValueError("needs client_ca (which may hold the clients' own certificates)")
        if value and keys.data.get("client_certificate") == "off":
            raise ValueError('means nothing with client_certificate = "off"')
        return value

    def settings(self) -> TlsSettings:
        return TlsSettings(
            side="server",
            certificate=self.certificate,
            key=self.key or "",
            passphrase_file=self.passphrase_file or "",
            ca=self.client_ca or "",
            verify=self.client_certificate if self.client_ca else "off",
            peers=self.peers,
            fingerprints=self.fingerprints,
            minimum_version=self.minimum_version,
            ciphers=self.ciphers or "",
        )
