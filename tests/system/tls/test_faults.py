"""The library's errors in words."""

import ssl

import pytest

from relay.system.ports import TlsReason
from relay.system.tls.faults import fault_of


def error(reason: str) -> ssl.SSLError:
    made = ssl.SSLError(1, f"[SSL: {reason}] text (_ssl.c:1000)")
    made.reason = reason
    return made


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", TlsReason.REFUSED,
         "the peer does not know the authority of our certificate"),
        ("HTTP_REQUEST", TlsReason.CLEARTEXT, "the peer does not speak TLS"),
        ("NO_SHARED_CIPHER", TlsReason.CIPHER, "the peer offers no cipher that we allow"),
        ("TLSV1_ALERT_INTERNAL_ERROR", TlsReason.PROTOCOL, "the peer ended TLS: internal error"),
        ("BAD_RECORD_TYPE", TlsReason.PROTOCOL, "TLS: bad record type"),
    ],
)  # fmt: skip
def test_an_error_has_a_reason_and_a_sentence(code: str, reason: TlsReason, text: str) -> None:
    fault = fault_of(error(code))
    assert fault.reason is reason
    assert str(fault) == text


def test_a_verification_without_a_sentence_of_ours_has_the_librarys() -> None:
    made = ssl.SSLCertVerificationError(1, "text")
    made.verify_code, made.verify_message = 24, "invalid CA certificate"
    fault = fault_of(made)
    assert fault.reason is TlsReason.UNTRUSTED
    assert str(fault) == "the peer's certificate cannot be verified: invalid CA certificate"
