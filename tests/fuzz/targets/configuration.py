import tempfile
from pathlib import Path

from relay.config import ConfigErrors, load
from tests.fuzz.target import Octets

BASE = (
    "",
    '[listeners.n]\ntype = "udp"\nlisten = ["127.0.0.1:5514"]\n[destinations.d]\ntype = "stdout"\n'
    '[pipes.p]\nfrom = "*"\nto = "d"\n',
)
WORDS = (
    b"[relay]\n", b"[admin]\n", b"[listeners.a]\n", b"[destinations.b]\n", b"[pipes.c]\n",
    b"type = ",
    b'"tcp"', b'"udp"', b'"file"', b"listen = ", b'"[::]:514"', b"from = ", b'"*"', b"to = ",
    b'"""',
    b"match = ", b"{ regex = ", b"mask = ", b"[[", b"]]", b"= 1979-05-27", b"\\u0000", b"memory = ",
    b"path = ", b"tls = { ca = ", b"spool = ", b"address = ", b'"5s"', b'"64KiB"', b"inf", b"'''",
)  # fmt: skip
_FILE = Path(tempfile.mkdtemp(prefix="relay-fuzz-")) / "relay.toml"


def run(data: bytes) -> None:
    """Whatever stands in a file, it is a configuration or `ConfigErrors`.

    Each error is one short line about a place that is in the file.
    """
    octets = Octets(data)
    text = octets.choice(BASE).encode() + octets.rest()
    _FILE.write_bytes(text)
    try:
        load(str(_FILE))
    except ConfigErrors as exc:
        lines = text.count(b"\n") + 1
        assert exc.errors
        for error in exc.errors:
            assert "\n" not in str(error)
            assert error.line is None or 1 <= error.line <= lines
            assert len(error.text) <= 401
