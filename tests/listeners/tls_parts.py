"""Senders that speak TLS, and the certificates that they show."""

import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
import trustme

from relay.core.component import Listener
from relay.wire.relp.client import ClientSession
from relay.wire.relp.frame import encode_messages
from tests.listeners.conftest import Rig
from tests.listeners.test_network import listener
from tests.listeners.test_tcp import STAMPED

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)
NAME = "edge1.example.net"


@dataclass(slots=True, eq=False)
class Authority:
    """In one directory: its own certificate, and those that it has given."""

    directory: Path
    ca: trustme.CA

    @classmethod
    def make(cls, directory: Path) -> "Authority":
        directory.mkdir(exist_ok=True)
        authority = cls(directory, trustme.CA(key_type=trustme.KeyType.ECDSA))
        authority.ca.cert_pem.write_to_path(authority.bundle)
        return authority

    @property
    def bundle(self) -> str:
        return str(self.directory / "ca.pem")

    @property
    def server(self) -> str:
        return self.issue("relay.example.net", "127.0.0.1")

    @property
    def client(self) -> str:
        return self.issue(NAME)

    def issue(self, *names: str, days: int = 30, again: bool = False) -> str:
        """A file with key, certificate and chain."""
        path = self.directory / f"{names[0]}-{days}.pem"
        if again or not path.exists():
            leaf = self.ca.issue_cert(
                *names,
                not_before=datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=60),
                not_after=datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days),
                key_type=trustme.KeyType.ECDSA,
            )
            fresh = path.with_suffix(".new")
            leaf.private_key_and_cert_chain_pem.write_to_path(str(fresh))
            fresh.rename(path)
        return str(path)

    def tls(self, **keys: object) -> dict[str, object]:
        """The table of a listener that wants to know who its clients are."""
        chosen = {"certificate": self.server, "client_ca": self.bundle, **keys}
        return {key: value for key, value in chosen.items() if value is not None}

    def context(self, client: str | None = None) -> ssl.SSLContext:
        """Of a client that shows this file."""
        context = ssl.create_default_context(cafile=self.bundle)
        if client is not None:
            context.load_cert_chain(client)
        return context


def secure(kind: str, authority: Authority, **keys: object) -> Listener:
    tls = keys.pop("tls", {})
    assert isinstance(tls, dict)
    return listener(kind, tls=authority.tls(**tls), **keys)


def stream_of(kind: str, *texts: bytes) -> bytes:
    """What a sender of these messages says from the begin."""
    messages = [STAMPED + text for text in texts]
    if kind == "relp":
        return ClientSession().opening() + encode_messages(2, messages)
    return b"".join(message + b"\n" for message in messages)


def address_of(rig: Rig) -> tuple[str, int]:
    host, _, port = rig.sockets[0].address.rpartition(":")
    return host, int(port)


@asynccontextmanager
async def raw(rig: Rig) -> AsyncIterator[trio.SocketStream]:
    async with await trio.open_tcp_stream(*address_of(rig)) as stream:
        yield stream


@asynccontextmanager
async def dialled(
    rig: Rig, context: ssl.SSLContext
) -> AsyncIterator[trio.SSLStream[trio.SocketStream]]:
    """A TLS connection whose handshake is done on this side."""
    stream = await trio.open_tcp_stream(*address_of(rig))
    tls = trio.SSLStream(
        stream, context, server_hostname="relay.example.net", https_compatible=True
    )
    try:
        await tls.do_handshake()
        yield tls
    finally:
        await trio.aclose_forcefully(tls)


async def say(rig: Rig, context: ssl.SSLContext, data: bytes) -> str:
    """Say all of it, and read until the listener ends; returns what it has done, or ""."""
    try:
        with trio.fail_after(10):
            async with dialled(rig, context) as tls:
                await tls.send_all(data)
                while await tls.receive_some(1 << 16):
                    pass
    except (*BROKEN, ssl.SSLError) as broken:
        return repr(broken.__cause__)
    return ""
