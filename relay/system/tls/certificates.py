"""What certificates say of themselves. Everything here blocks, and runs in threads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from relay.system.ports import Certificate, TlsUnusable
from relay.system.tls.files import read
from relay.system.tls.identity import NAMES_MAX, clean

if TYPE_CHECKING:
    from cryptography.x509 import Certificate as Decoded
    from cryptography.x509 import Name

CERTIFICATES_MAX = 64  # of one file


def certificates_in(file: str) -> Sequence[Certificate]:
    """Those in a file, in their order, the first 64.

    Raises:
        TlsUnusable: it cannot be read, or there is none in it.
    """
    return decode(read(file), file)


def decode(pem: bytes, file: str) -> Sequence[Certificate]:
    """Those in a text.

    Raises:
        TlsUnusable: there is none in it, or one is damaged.
    """
    # It takes 9 MB, which a relay without TLS saves.
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = load_pem_x509_certificates(pem)
        return [_certificate(it, file) for it in found[:CERTIFICATES_MAX]]
    except ValueError as error:
        raise TlsUnusable(f"{file}: no certificate in it, or a damaged one") from error


def _certificate(decoded: "Decoded", file: str) -> Certificate:
    names = _names(decoded)
    return Certificate(
        file=file,
        subject=_called(decoded.subject) or next(iter(names), "") or str(decoded.serial_number),
        names=names,
        issuer=_called(decoded.issuer),
        not_before=decoded.not_valid_before_utc.timestamp(),
        not_after=decoded.not_valid_after_utc.timestamp(),
    )


def _called(name: "Name") -> str:
    """How people call whoever has this name."""
    from cryptography.x509.oid import NameOID

    named = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return clean(str(named[-1].value) if named else name.rfc4514_string())


def _names(decoded: "Decoded") -> tuple[str, ...]:
    from cryptography.x509 import ExtensionNotFound, SubjectAlternativeName

    try:
        extension = decoded.extensions.get_extension_for_class(SubjectAlternativeName)
    except ExtensionNotFound:
        return ()
    return tuple(clean(str(it.value)) for it in list(extension.value)[:NAMES_MAX])
