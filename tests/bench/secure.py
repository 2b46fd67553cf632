"""TLS for generator and sink, and the certificates that all programs of a run have."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import trustme

NAME = "bench.example.net"


@contextmanager
def certificates() -> Iterator[Path]:
    """A directory with `ca.pem`, and `host.pem` for everybody who listens; with an elliptic key."""
    authority = trustme.CA(key_type=trustme.KeyType.ECDSA)
    host = authority.issue_cert(NAME, key_type=trustme.KeyType.ECDSA)
    with TemporaryDirectory(prefix="relay-bench-") as directory:
        authority.cert_pem.write_to_path(str(Path(directory, "ca.pem")))
        host.private_key_and_cert_chain_pem.write_to_path(str(Path(directory, "host.pem")))
        yield Path(directory)


def client(directory: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(directory / "ca.pem"))


def server(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(directory / "host.pem"))
    return context
