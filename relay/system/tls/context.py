"""A context of the TLS library, made from settings. Reads files: it runs in a thread."""

import os
import re
import ssl
from typing import Final

from relay.system.ports import Connection, TlsSettings, TlsUnusable
from relay.system.tls.connection import TlsConnection
from relay.system.tls.faults import words
from relay.system.tls.files import passphrase, read, resolve
from relay.system.tls.identity import Permits

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    "required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "off": ssl.CERT_NONE,
}  # fmt: skip
# One ticket, and not the two that are usual: nobody here resumes a session, but a client learns by
# it at once that we have taken its certificate.
_TICKETS = 1
_CERTIFICATE = rb"-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----"
_KEY = rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"
SYSTEM: Final = "system"  # the authorities that this host trusts


class SystemTlsContext:
    """Settings whose files have been read."""

    def __init__(self, settings: TlsSettings) -> None:
        self.settings = settings
        self._context = build(settings)
        self._permits = Permits(settings.peers, settings.fingerprints)

    def wrap(self, connection: Connection, server_name: str = "") -> TlsConnection:
        return TlsConnection(
            connection, self._context, server_name=server_name or None, permits=self._permits
        )


def build(settings: TlsSettings) -> ssl.SSLContext:
    """The library's context of these settings, as the files are now.

    Raises:
        TlsUnusable: a file, or what the files are together, cannot be used.
    """
    server = settings.side == "server"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = _VERSIONS[settings.minimum_version]
    # Renegotiation lets a peer make us work for nothing; compression is off in the library.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # An authority may be a certificate that another one has signed, or that of the peer itself.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if server:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
        context.num_tickets = _TICKETS
    else:
        context.check_hostname = settings.names and settings.verify == "required"
    context.verify_mode = _VERIFY[settings.verify]
    if settings.ciphers:
        try:
            context.set_ciphers(settings.ciphers)
        except ssl.SSLError as error:
            raise TlsUnusable(f"no cipher is meant by {settings.ciphers!r}") from error
    if settings.verify != "off":
        _load_authorities(context, settings.ca)
    if settings.certificate:
        _load_certificate(context, settings)
    return context


def _load_authorities(context: ssl.SSLContext, ca: str) -> None:
    """Those of `ca` and no others: what cannot be read is never made up for by the system's."""
    if ca == SYSTEM:
        _load_system(context)
        return
    content = read(ca)
    if not re.search(_CERTIFICATE, content):
        raise TlsUnusable(f"{ca}: no certificate in it")
    try:
        context.load_verify_locations(cadata=content.decode("ascii"))
    except UnicodeDecodeError:
        raise TlsUnusable(f"{ca}: is no text, expected certificates in PEM") from None
    except ssl.SSLError as error:
        raise TlsUnusable(f"{ca}: {_why(error)}") from error


def _load_system(context: ssl.SSLContext) -> None:
    context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    paths = ssl.get_default_verify_paths()
    in_directory = paths.capath and os.path.isdir(paths.capath) and os.listdir(paths.capath)
    if not (context.cert_store_stats()["x509_ca"] or in_directory):
        raise TlsUnusable("system: this host has no certificates of authorities (ca-certificates)")


def _load_certificate(context: ssl.SSLContext, settings: TlsSettings) -> None:
    certificate, key = settings.certificate, settings.key or settings.certificate
    if not re.search(_CERTIFICATE, read(certificate)):
        raise TlsUnusable(f"{certificate}: no certificate in it")
    if not re.search(_KEY, read(key)):
        raise TlsUnusable(f"{key}: no private key in it")
    secret = passphrase(settings.passphrase_file) if settings.passphrase_file else None

    def answer() -> bytes:
        if secret is None:
            raise TlsUnusable(f"{key}: needs a passphrase (passphrase_file)")
        return secret

    try:
        context.load_cert_chain(resolve(certificate), resolve(key), answer)
    except ssl.SSLError as error:
        raise TlsUnusable(_why_certificate(error, certificate, key, secret)) from error
    except OSError as exc:  # gone since it was read
        raise TlsUnusable(f"{certificate}, {key}: {exc.strerror or exc}") from exc


def _why_certificate(error: ssl.SSLError, certificate: str, key: str, secret: bytes | None) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"{key}: the key does not belong to the certificate in {certificate}"
    if error.reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL"):
        return f"{certificate}: its key is too short to be safe"
    if error.reason in ("CA_MD_TOO_WEAK", "EE_MD_TOO_WEAK"):
        return f"{certificate}: its signature is too weak to be safe"
    if secret is not None:
        return f"{key}: cannot be read, perhaps for another passphrase: {_why(error)}"
    where = certificate if key == certificate else f"{certificate}, {key}"
    return f"{where}: {_why(error)}"


def _why(error: ssl.SSLError) -> str:
    reason = error.reason or ""
    damaged = "damaged, a certificate or key in it cannot be decoded"
    return f"{damaged} ({words(reason)})" if reason else damaged
