"""What clients over TCP have to show: a certificate, a token. Read from files."""

import hmac
import os
import re
import ssl
import stat
from typing import NamedTuple

from relay.config.admin import AdminKeys, AdminTls

FILE_OCTETS_MAX = 1 << 20  # several bundles of all public authorities
TOKEN_LENGTHS = range(16, 1025)
_TOKEN = rb"[\w.~+/-]+=*"  # RFC 6750 section 2.1
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class AccessError(Exception):
    """Why a file cannot be used, with its key and path in front."""


class Access(NamedTuple):
    context: ssl.SSLContext | None = None
    token: bytes | None = None

    def admits(self, authorization: bytes | None) -> bool:
        """Whether a request with this header `Authorization` bears the token, where one is asked.

        The time it takes tells nothing about the token (RFC 6750 section 5.3).
        """
        if self.token is None:
            return True
        scheme, _, token = (authorization or b"").partition(b" ")
        return hmac.compare_digest(token.strip(), self.token) and scheme.lower() == b"bearer"


def read_access(keys: AdminKeys) -> Access:
    """Read the files that the table names; blocks.

    Raises:
        AccessError: one of them cannot be used.
    """
    context = None if keys.tls is None else _context(keys.tls)
    return Access(context, None if keys.token_file is None else _token(keys.token_file))


def access_fault(keys: AdminKeys | None) -> str:
    """Why these files cannot be used by this process; empty: they can."""
    try:
        if keys is not None:
            read_access(keys)
    except AccessError as exc:
        return f"admin server would not listen on TCP: {exc}"
    return ""


def _context(keys: AdminTls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[keys.minimum_version]
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    for key, path in (("certificate", keys.certificate), ("key", keys.key)):
        _read(f"tls.{key}", path)  # says better than OpenSSL which file is missing

    def passphrase() -> bytes:
        raise AccessError(f"tls.key {keys.key}: is encrypted, expected one without a passphrase")

    try:
        context.load_cert_chain(keys.certificate, keys.key, passphrase)
    except (OSError, ValueError) as exc:
        where = f"tls.certificate {keys.certificate} with tls.key {keys.key}"
        raise AccessError(f"{where}: {_reason(exc)}") from exc
    if keys.client_ca is not None:
        octets = _read("tls.client_ca", keys.client_ca)
        try:
            context.load_verify_locations(cadata=octets.decode("ascii", "replace"))
        except (OSError, ValueError) as exc:
            reason = _reason(exc) if octets.strip() else "is empty"
            raise AccessError(f"tls.client_ca {keys.client_ca}: {reason}") from exc
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _token(path: str) -> bytes:
    token = _read("token_file", path, secret=True).strip()
    if len(token) not in TOKEN_LENGTHS or not re.fullmatch(_TOKEN, token):
        raise AccessError(
            f"token_file {path}: expected one word of {TOKEN_LENGTHS.start} to "
            f"{TOKEN_LENGTHS.stop - 1} letters, digits and -._~+/"
        )
    return token


def _read(key: str, path: str, *, secret: bool = False) -> bytes:
    try:
        # Not waiting for whoever writes to a named pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            octets = file.read(FILE_OCTETS_MAX + 1) if stat.S_ISREG(status.st_mode) else b""
    except OSError as exc:
        raise AccessError(f"{key} {path}: {(exc.strerror or str(exc)).lower()}") from exc
    if not stat.S_ISREG(status.st_mode):
        raise AccessError(f"{key} {path}: is no file")
    if secret and status.st_mode & stat.S_IRWXO:
        mode = stat.S_IMODE(status.st_mode)
        raise AccessError(f"{key} {path}: is open to everyone (mode {mode:04o}), expected 0600")
    if len(octets) > FILE_OCTETS_MAX:
        raise AccessError(f"{key} {path}: is larger than {FILE_OCTETS_MAX >> 20} MiB")
    return octets


def _reason(exc: Exception) -> str:
    """In words; OpenSSL's own are constants such as KEY_VALUES_MISMATCH."""
    reason = getattr(exc, "reason", None)
    if not isinstance(reason, str):
        return "is not what OpenSSL expects (PEM)"
    return reason.lower().replace("_", " ")
