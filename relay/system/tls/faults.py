"""What the TLS library says, in words that an operator can act on."""

import re
import ssl

from relay.system.ports import TlsFault, TlsReason

# X509_V_ERR_* of <openssl/x509_vfy.h>, each behind "the peer's certificate".
_VERIFICATION = {
    7: (TlsReason.UNTRUSTED, "is not signed by the authority that it names"),
    9: (TlsReason.EXPIRED, "is not valid yet"),
    10: (TlsReason.EXPIRED, "has expired"),
    18: (TlsReason.UNTRUSTED, "is self-signed, and not in the ca"),
    19: (TlsReason.UNTRUSTED, "is of an authority that the ca does not have"),
    20: (TlsReason.UNTRUSTED, "is of an authority that the ca does not have"),
    21: (TlsReason.UNTRUSTED, "is of an authority that the ca does not have"),
    23: (TlsReason.UNTRUSTED, "was revoked"),
    26: (TlsReason.UNTRUSTED, "is not made for this side of TLS"),
    62: (TlsReason.WRONG_NAME, "is for another name"),
    64: (TlsReason.WRONG_NAME, "is for another address"),
}

# The reasons of errors, by the name that OpenSSL gives them, each behind "the peer". An alert is
# what the peer says.
_ERRORS = {
    "HTTP_REQUEST": (TlsReason.CLEARTEXT, "does not speak TLS"),
    "HTTPS_PROXY_REQUEST": (TlsReason.CLEARTEXT, "does not speak TLS"),
    "WRONG_VERSION_NUMBER": (TlsReason.VERSION, "speaks another version of TLS"),
    "UNSUPPORTED_PROTOCOL": (TlsReason.VERSION, "speaks TLS older than minimum_version"),
    "VERSION_TOO_LOW": (TlsReason.VERSION, "speaks TLS older than minimum_version"),
    "TLSV1_ALERT_PROTOCOL_VERSION": (TlsReason.VERSION, "allows no version of TLS that we do"),
    "NO_SHARED_CIPHER": (TlsReason.CIPHER, "offers no cipher that we allow"),
    "WRONG_CIPHER_RETURNED": (TlsReason.CIPHER, "chose a cipher that we do not allow"),
    "SSLV3_ALERT_HANDSHAKE_FAILURE": (
        TlsReason.CIPHER, "finds no cipher, or no certificate, that both sides allow"),
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": (TlsReason.CIPHER, "finds our ciphers too weak"),
    "DH_KEY_TOO_SMALL": (TlsReason.CIPHER, "has too weak a key exchange"),
    "EE_KEY_TOO_SMALL": (TlsReason.UNTRUSTED, "has a certificate with too short a key"),
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": (TlsReason.NO_CERTIFICATE, "shows no certificate"),
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": (TlsReason.REFUSED, "wants a certificate from us"),
    "SSLV3_ALERT_BAD_CERTIFICATE": (TlsReason.REFUSED, "refuses our certificate as bad"),
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": (
        TlsReason.REFUSED, "refuses our certificate as one of a kind that it does not know"),
    "SSLV3_ALERT_CERTIFICATE_REVOKED": (TlsReason.REFUSED, "refuses our certificate as revoked"),
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": (TlsReason.REFUSED, "refuses our certificate as expired"),
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": (TlsReason.REFUSED, "refuses our certificate"),
    "TLSV1_ALERT_UNKNOWN_CA": (
        TlsReason.REFUSED, "does not know the authority of our certificate"),
    "TLSV1_ALERT_ACCESS_DENIED": (TlsReason.REFUSED, "refuses who we are"),
    "TLSV1_ALERT_DECRYPT_ERROR": (TlsReason.REFUSED, "cannot verify what we have signed"),
    "TLSV1_UNRECOGNIZED_NAME": (TlsReason.WRONG_NAME, "does not go by the name that we ask for"),
}  # fmt: skip


def fault_of(error: ssl.SSLError) -> TlsFault:
    """The fault that an error of the library is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification(error)
    if isinstance(error, ssl.SSLEOFError):
        return TlsFault(TlsReason.CLOSED, "connection closed by peer during the TLS handshake")
    code = error.reason or ""
    if code not in _ERRORS:
        return TlsFault(TlsReason.PROTOCOL, _unknown(code or str(error)))
    reason, text = _ERRORS[code]
    return TlsFault(reason, f"the peer {text}")


def words(code: str) -> str:
    """`TLSV1_ALERT_UNKNOWN_CA` as people write it."""
    return code.lower().replace("_", " ")


def _verification(error: ssl.SSLCertVerificationError) -> TlsFault:
    unknown = TlsReason.UNTRUSTED, f"cannot be verified: {error.verify_message}"
    reason, text = _VERIFICATION.get(error.verify_code, unknown)
    if reason is TlsReason.WRONG_NAME and (name := re.search(r"'([^']*)'", error.verify_message)):
        text = f"{text}, not for {name[1]}"
    return TlsFault(reason, f"the peer's certificate {text}")


def _unknown(code: str) -> str:
    alert = re.fullmatch(r"(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)", code)
    return f"the peer ended TLS: {words(alert[1])}" if alert else f"TLS: {words(code)}"
