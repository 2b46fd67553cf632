"""Who a peer is by its certificate, and whether that is somebody we talk to."""

import hashlib
import hmac
import ssl
import time
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, NamedTuple

from relay.system.ports import Identity, TlsFault, TlsReason

NAMES_MAX = 16  # of one certificate, for people; all of them are compared
TEXT_MAX = 255  # characters of a name


class Permits(NamedTuple):
    """Who is permitted, beyond what the library has verified. Empty: nobody is excluded."""

    peers: Sequence[str] = ()
    fingerprints: Sequence[str] = ()

    def check(self, tls: ssl.SSLObject) -> None:
        """Of a connection whose handshake is done.

        Raises:
            TlsFault: not permitted.
        """
        if tls.session_reused:  # then the library has verified nothing anew
            _check_time(tls)
        if not (self.peers or self.fingerprints):
            return
        der = tls.getpeercert(binary_form=True)
        if der is None:
            return  # where one is required the library has refused already
        if self.fingerprints and not has_fingerprint(der, self.fingerprints):
            shown = fingerprint(der)
            text = f"the peer's certificate has none of the fingerprints permitted, but {shown}"
            raise TlsFault(TlsReason.NOT_PERMITTED, text)
        if self.peers:
            names = _names(_certificate(tls))
            if not any(_kind_of(peer) in names for peer in self.peers):
                has = ", ".join(clean(value) for _, value in names[:NAMES_MAX]) or "none"
                text = f"the peer's certificate has none of the names permitted; its own: {has}"
                raise TlsFault(TlsReason.NOT_PERMITTED, text)


def _check_time(tls: ssl.SSLObject) -> None:
    not_after = _not_after(_certificate(tls))
    if 0 < not_after < time.time():
        raise TlsFault(TlsReason.EXPIRED, "the peer's certificate has expired")


def identity_of(tls: ssl.SSLObject) -> Identity | None:
    """What the peer's certificate says; None where it showed none."""
    der = tls.getpeercert(binary_form=True)
    if der is None:
        return None
    certificate = _certificate(tls)
    return Identity(
        names=tuple(clean(value) for _, value in _names(certificate)[:NAMES_MAX]),
        common_name=clean(_common_name(certificate)),
        fingerprint=fingerprint(der),
        not_after=_not_after(certificate),
    )


def fingerprint(der: bytes) -> str:
    """As RFC 5425 section 4.2.2 writes it, with SHA-256."""
    digest = hashlib.sha256(der).hexdigest().upper()
    return "sha-256:" + ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def has_fingerprint(der: bytes, fingerprints: Sequence[str]) -> bool:
    """Whether it is one of them; takes as long for each, whether it is or not."""
    shown = fingerprint(der)
    found = False
    for each in fingerprints:
        found |= hmac.compare_digest(shown, each)
    return found


def clean(text: str) -> str:
    """Printable ASCII, and not long: no name breaks out of a line, or fills one."""
    return "".join(each if " " <= each <= "~" else "?" for each in text[:TEXT_MAX])


def _certificate(tls: ssl.SSLObject) -> Mapping[str, Any]:
    """What the library reads in it; nothing where it was not verified or is not readable."""
    try:
        return tls.getpeercert() or {}
    except ValueError:  # octets in a name that are no UTF-8
        return {}


def _names(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The subject alternative names, each with its kind, as they compare."""
    return [(kind, _comparable(kind, value))
            for kind, value in certificate.get("subjectAltName", ())]  # fmt: skip


def _kind_of(peer: str) -> tuple[str, str]:
    """The subject alternative name that a permitted one is."""
    try:
        return "IP Address", str(ip_address(peer))
    except ValueError:
        kind = "URI" if ":" in peer else "email" if "@" in peer else "DNS"
        return kind, _comparable(kind, peer)


def _comparable(kind: str, value: str) -> str:
    if kind == "IP Address":
        try:
            return str(ip_address(value.strip()))  # the library writes IPv6 in full
        except ValueError:
            return value
    return value.lower() if kind == "DNS" else value


def _common_name(certificate: Mapping[str, Any]) -> str:
    for relative in certificate.get("subject", ()):
        for key, value in relative:
            if key == "commonName":
                return str(value)
    return ""


def _not_after(certificate: Mapping[str, Any]) -> float:
    try:
        return float(ssl.cert_time_to_seconds(certificate["notAfter"]))
    except (KeyError, ValueError):
        return 0.0
