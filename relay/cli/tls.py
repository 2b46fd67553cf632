"""What is wrong with certificates: with files of ours, and with what a peer shows."""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import trio
from pydantic import ValidationError

from relay.cli.failure import Failure, Mistake
from relay.config import Config
from relay.config.tls import certificate_files, tls_tables
from relay.core.certificates import Certificates, standing
from relay.core.errors import DestinationDown
from relay.core.ledger import Ledger
from relay.core.outlet import Outlet, Reopening
from relay.core.ring import Rings
from relay.core.tls import DestinationTls, ListenerTls
from relay.core.values import host_of, split_address
from relay.destinations.secure import Dial
from relay.destinations.tcp import TcpDestination
from relay.system.machine import SystemMachine
from relay.system.ports import Certificate, SecureConnection, TlsUnusable
from relay.system.tls.certificates import certificates_in, decode
from relay.system.tls.context import build
from relay.system.tls.identity import fingerprint

LOOK_SECONDS_MAX = 10.0


def file_faults(config: Config) -> Iterator[str]:
    """What is wrong with the files of all tables `tls`, as they are now and here."""
    for where, table in tls_tables(config):
        if isinstance(table, DestinationTls | ListenerTls):
            try:
                build(table.settings())
            except TlsUnusable as unusable:
                yield f"{where}.tls: {unusable}"
    files = {}
    for file in certificate_files(config):
        try:
            files[file] = certificates_in(file)
        except TlsUnusable:
            continue  # told above, those of the admin server with its access
    yield from Certificates(files).due(time.time())


def probe(address: str, keys: Mapping[str, object]) -> str:
    """Connect as a `tcp` destination with these keys in its table `tls` would; send nothing.

    Raises:
        Mistake: there can be no such destination.
        Failure: it would be down; says why, and what the peer shows.
    """
    try:
        destination = TcpDestination.model_validate(
            {"type": "tcp", "address": address, "tls": dict(keys)}
        )
    except ValidationError as error:
        raise Mistake("; ".join(_mistake(it) for it in error.errors())) from error
    assert destination.tls is not None
    name = destination.tls.server_name or host_of(address)
    try:
        found = trio.run(_connect, destination)
    except DestinationDown as down:
        raise Failure("\n".join([str(down), *_shown(address, name)])) from down
    return "\n".join([f"{address}: {found}", *_shown(address, name)])


async def _connect(destination: TcpDestination) -> str:
    host = SystemMachine().host("probe")
    outlet = Outlet("probe", "probe", host, Ledger().pipe("probe", "probe"), Rings(), Reopening())
    connection: SecureConnection = await Dial(  # type: ignore[assignment]
        destination.address, destination.tls
    ).connection(outlet)
    connection.close()
    return f"{connection.version}, the peer has proved who it is"


def _shown(address: str, name: str) -> Iterator[str]:
    """The certificate that whoever answers shows, believed or not."""
    der = _look(address, name)
    if der is None:
        return
    try:
        [it] = decode(ssl.DER_cert_to_PEM_cert(der).encode(), address)
    except TlsUnusable:
        return  # it said so by itself
    yield f"  certificate: {it.subject}, issued by {_issuer(it)}"
    yield f"  names: {', '.join(it.names) or 'none: names belong into subjectAltName'}"
    yield f"  time: {_date(it.not_before)} to {_date(it.not_after)}, {standing(it, time.time())}"
    yield f"  fingerprint: {fingerprint(der)}"


def _look(address: str, name: str) -> bytes | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection(split_address(address), LOOK_SECONDS_MAX) as plain,
            context.wrap_socket(plain, server_hostname=name) as tls,
        ):
            return tls.getpeercert(binary_form=True)
    except (OSError, ValueError):
        return None  # nobody answers, or there is a service in front


def _issuer(certificate: Certificate) -> str:
    itself = certificate.issuer == certificate.subject
    return "itself, or one of its name" if itself else certificate.issuer


def _date(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


def _mistake(error: Mapping[str, object]) -> str:
    where = error["loc"]
    assert isinstance(where, tuple)
    return f"{where[-1]}: {str(error['msg']).removeprefix('Value error, ')}"
