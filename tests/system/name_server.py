"""A name server on a port of its own, which answers as the test says."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
import pytest


@dataclass(slots=True, eq=False)
class NameServer:
    """SRV records by name, as a zone file has them; there is no other name."""

    port: int
    records: dict[str, Sequence[str]] = field(default_factory=dict)
    ttl: int = 5
    rcode: dns.rcode.Rcode = dns.rcode.NOERROR  # another one: of every answer
    silent: bool = False
    asked: list[str] = field(default_factory=list)

    def answer(self, query: bytes) -> bytes:
        message = dns.message.from_wire(query)
        [question] = message.question
        name = question.name.to_text(omit_final_dot=True)
        self.asked.append(name)
        response = dns.message.make_response(message)
        response.flags |= dns.flags.RA
        response.set_rcode(self.rcode)
        if self.rcode == dns.rcode.NOERROR and name not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif self.rcode == dns.rcode.NOERROR and (texts := self.records[name]):
            response.answer.append(
                dns.rrset.from_text(question.name, self.ttl, "IN", "SRV", *texts)
            )
        return response.to_wire()


@contextmanager
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    """The only one that this process asks for services while inside."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        server = NameServer(sock.getsockname()[1])

        class Resolver(dns.resolver.Resolver):
            def __init__(self) -> None:
                super().__init__(configure=False)
                self.nameservers, self.port = ["127.0.0.1"], server.port

        monkeypatch.setattr(dns.resolver, "Resolver", Resolver)
        thread = threading.Thread(target=_serve, args=(server, sock))
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", sock.getsockname())
            thread.join()


def _serve(server: NameServer, sock: socket.socket) -> None:
    while True:
        query, peer = sock.recvfrom(4096)
        if not query:
            return
        answer = server.answer(query)
        if not server.silent:
            sock.sendto(answer, peer)
