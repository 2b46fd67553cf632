import ssl
from ipaddress import ip_address

from relay.system.ports import TlsFault, TlsUnusable
from relay.system.tls.certificates import decode
from relay.system.tls.identity import NAMES_MAX, TEXT_MAX, Permits, clean, identity_of
from tests.fuzz.target import Octets

KINDS = ("DNS", "IP Address", "URI", "email", "DirName", "othername")
WORDS = (
    b"DNS\x01fw1.example.net", b"2001:DB8:0::1\n", b"192.0.2.1", b"*.example.net", b"\x1b[2J",
    b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n", b"MIIB", b"\xc3\xa9",
)  # fmt: skip


class Tls:
    """What the library reads in a certificate, as it gives it."""

    session_reused = False

    def __init__(self, der: bytes, names: list[tuple[str, str]], common_name: str) -> None:
        self._der = der
        self._read = {"subject": ((("commonName", common_name),),), "notAfter": common_name,
                      "subjectAltName": tuple(names)}  # fmt: skip

    def getpeercert(self, binary_form: bool = False) -> object:
        return self._der if binary_form else self._read


def run(data: bytes) -> None:
    """Whatever a certificate says is shown as short, printable lines, and permits who bears a name.

    Any text is certificates, or is unusable.
    """
    octets = Octets(data)
    kinds = octets.take(4)
    lines = octets.rest().split(b"\n")
    values = [line.decode("utf-8", "replace") for line in lines]
    names = [(KINDS[kinds[at % len(kinds)] % 6] if kinds else "DNS", value)
             for at, value in enumerate(values)]  # fmt: skip
    tls: ssl.SSLObject = Tls(lines[0], names, values[-1])  # type: ignore[assignment]
    identity = identity_of(tls)
    assert identity is not None
    assert len(identity.names) <= NAMES_MAX
    for text in (*identity.names, identity.common_name, identity.fingerprint):
        assert text.isascii()
        assert text.isprintable()
        assert len(text) <= TEXT_MAX
        assert clean(text) == text
    for permitted in ("fw1.example.net", "192.0.2.1", "2001:db8::1", "a@b.c", "urn:x"):
        check_permits(tls, permitted, names)
    Permits(fingerprints=(identity.fingerprint,)).check(tls)
    try:
        found = decode(b"\n".join(lines), "file.pem")
    except TlsUnusable:
        return
    assert found is not None


def check_permits(tls: ssl.SSLObject, permitted: str, names: list[tuple[str, str]]) -> None:
    try:
        Permits((permitted,)).check(tls)
    except TlsFault as fault:
        assert str(fault).isprintable()
        is_name = not set(permitted) & set(":@") and not permitted[0].isdigit()
        assert not (is_name and ("DNS", permitted) in names)
    else:
        assert permitted in {_comparable(value) for _, value in names}


def _comparable(name: str) -> str:
    try:
        return str(ip_address(name.strip()))
    except ValueError:
        return name.lower()
