"""The table `[admin]`: where the admin server listens, and what it asks of clients over TCP."""

import os
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from relay.core.keys import Keys
from relay.core.values import Path, listed, or_one, parse_listen, split_address
from relay.system.ports import Endpoint, Touch

UNIX = "unix:"
UNIX_PATH_OCTETS_MAX = 107  # unix(7): 108 with the NUL that ends it
ADDRESSES_MAX = 16
OWNER_ALONE = 0o600


def _off_or_listed(value: object) -> object:
    if value == []:
        raise ValueError('expected an address ("off": no admin server)')
    return [] if value == "off" else listed(value)


def _check_address(value: object) -> str:
    if value == "off":
        raise ValueError('"off" stands alone')
    if not isinstance(value, str) or not value.startswith(UNIX):
        return parse_listen(value, 'expected "HOST:PORT", "unix:PATH" or "fd:NAME"')
    path = value.removeprefix(UNIX)
    if not path or "\0" in path or path.endswith("/"):
        raise ValueError(f"{value[:40]!r} names no file")
    if len(path.encode()) > UNIX_PATH_OCTETS_MAX:
        raise ValueError(f"the path of a unix socket has at most {UNIX_PATH_OCTETS_MAX} octets")
    return value


AdminAddress = Annotated[
    str,
    BeforeValidator(_check_address),
    WithJsonSchema({
        "type": "string",
        "examples": ["127.0.0.1:9514", "unix:/run/relay/admin/relay.sock", "fd:admin", "off"],
    }),
]  # fmt: skip


class AdminTls(Keys):
    """TLS of the admin server's TCP addresses."""

    certificate: Path
    """File with the certificate in PEM, those of the authorities between behind it."""
    key: Path
    """File with its private key in PEM, without a passphrase."""
    client_ca: Path | None = None
    """File with authorities in PEM: clients must have a certificate of one; default: need none."""
    min_version: Literal["1.2", "1.3"] = "1.3"
    """Clients that speak only older versions are refused."""


class AdminKeys(Keys):
    """The HTTP server for metrics and health; it runs unless it is switched off."""

    listen: Annotated[
        tuple[AdminAddress, ...],
        BeforeValidator(_off_or_listed),
        Field(max_length=ADDRESSES_MAX, json_schema_extra=or_one),
    ] = Field(default="127.0.0.1:9514", validate_default=True)
    """Addresses to listen on: `HOST:PORT`, `unix:PATH` or `fd:NAME`; "off": no admin server."""
    tls: AdminTls | None = None
    """TLS for all TCP addresses; default: none."""
    token_file: Path | None = None
    """File with a token that requests over TCP must bear; default: none is asked for."""

    @property
    def authenticates(self) -> bool:
        """Whether it knows who asks over TCP, before it answers."""
        return self.token_file is not None or (self.tls is not None and bool(self.tls.client_ca))

    def endpoints(self) -> Sequence[Endpoint]:
        """One an address, in their order."""
        return [
            Endpoint("unix-stream", it.removeprefix(UNIX), mode=OWNER_ALONE)
            if it.startswith(UNIX)
            else Endpoint("tcp", it)
            for it in self.listen
        ]

    def touches(self) -> Iterator[Touch]:
        """The places that it needs in the file system, those of `tls` left aside."""
        for it in self.listen:
            if it.startswith(UNIX):
                path = os.path.abspath(it.removeprefix(UNIX))
                yield Touch("write", os.path.dirname(path), "listen")
        if (
            self.token_file is not None
        ):  # it may be a link, and may be put in its place by rename(2)
            for real in (os.path.abspath, os.path.realpath):
                yield Touch("read", os.path.dirname(real(self.token_file)), "token_file")


def is_loopback(address: str) -> bool:
    """Whether only this host reaches `HOST:PORT`; a name other than localhost may be anything."""
    host, _ = split_address(address)
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def exposure(keys: AdminKeys, address: str) -> str:
    """What is to be said of an address, in words for people; empty: nothing.

    It is open where others than this host reach it and nobody has to show who he is.
    """
    if is_loopback(address):
        return ""
    if not keys.authenticates:
        return (
            f"admin server on {address}: whoever reaches it reads metrics, senders and memory "
            "rings (tls with client_ca, or tls and token_file, would change that)"
        )
    if keys.tls is None:
        return f"admin server on {address}: its token is sent in clear text (tls is missing)"
    return ""
