"""TLS behaves as the connection below it, told in octets of plaintext."""

import random
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.system.ports import ConnectionBroken, TlsFault, TlsReason
from relay.system.tls.connection import RECORD_OCTETS, RECORDS_AT_ONCE
from relay.system.tls.context import SystemTlsContext
from tests.system.tls.parts import NAME, VERSIONS, Certificates, Pair, wires

AHEAD = RECORD_OCTETS * RECORDS_AT_ONCE


def octets(count: int) -> bytes:
    return random.Random(count).randbytes(count)


# -- the stream


def test_octets_arrive_in_both_directions(pair: Pair) -> None:
    data = octets(100_000)
    assert pair.client.send([data]) == len(data)
    assert pair.server.send([b"hello ", b"world"]) == 11
    assert pair.server.receive(1 << 20) == data
    assert pair.server.receive(1 << 20) is None
    assert pair.client.receive(1 << 20) == b"hello world"


def test_many_records_are_one_call_below(pair: Pair) -> None:
    calls = pair.client_wire.calls
    assert pair.client.send([octets(AHEAD)]) == AHEAD
    assert pair.client_wire.calls == calls + 1


def test_no_more_is_received_than_was_asked_for_and_the_rest_is_pending(pair: Pair) -> None:
    data = octets(40_000)
    pair.client.send([data])
    received = b""
    while piece := pair.server.receive(1000):
        assert len(piece) <= 1000
        received += piece
        assert pair.server.pending or pair.server_wire.arrived or received == data
    assert received == data
    assert not pair.server.pending


@pytest.mark.parametrize("cut", [1, 5, 20, 1000])
def test_part_of_a_record_is_nothing_yet(pair: Pair, cut: int) -> None:
    pair.client.send([octets(5000)])
    rest = bytes(pair.server_wire.arrived[cut:])
    del pair.server_wire.arrived[cut:]
    assert pair.server.receive(1 << 20) is None
    assert not pair.server.pending
    pair.server_wire.arrived += rest
    assert pair.server.receive(1 << 20) == octets(5000)


async def test_readable_returns_at_once_for_what_is_in_memory(pair: Pair) -> None:
    pair.client.send([octets(5000)])
    assert pair.server.receive(1000)
    assert not pair.server_wire.arrived
    await pair.server.readable()


# -- the end


def test_our_end_lets_the_peer_go_on(pair: Pair) -> None:
    pair.client.send([b"the last"])
    assert pair.client.half_close()
    assert pair.client_wire.finished
    assert pair.server.receive(100) == b"the last"
    assert pair.server.receive(100) == b""
    for _ in range(3):
        assert pair.server.send([octets(50_000)]) == 50_000
        assert pair.client.receive(1 << 20) == octets(50_000)
        assert pair.client.receive(1 << 20) is None
    assert pair.server.half_close()
    assert pair.client.receive(100) == b""
    assert pair.client.receive(100) == b""


def test_what_arrived_before_our_end_is_not_lost(pair: Pair) -> None:
    """The library itself would take it for a fault."""
    pair.server.send([octets(40_000)])
    assert pair.client.receive(10) == octets(40_000)[:10]
    assert pair.client.half_close()
    received = b""
    while piece := pair.client.receive(7000):
        received += piece
    assert received == octets(40_000)[10:]
    pair.server.half_close()
    assert pair.client.receive(10) == b""


def test_a_missing_close_notify_is_an_end(pair: Pair) -> None:
    pair.client.send([b"the last"])
    pair.client_wire.half_close()
    assert pair.server.receive(100) == b"the last"
    assert pair.server.receive(100) == b""
    assert pair.server.receive(100) == b""


def test_a_reset_is_a_break_behind_what_has_arrived(pair: Pair) -> None:
    pair.client.send([b"the last"])
    pair.server_wire.fault = "Connection reset by peer"
    assert pair.server.receive(100) == b"the last"
    for _ in range(2):
        with pytest.raises(ConnectionBroken, match="Connection reset by peer"):
            pair.server.receive(100)


def test_damage_is_a_break_and_not_one_octet_of_it_is_heard(pair: Pair) -> None:
    pair.client.send([b"good"])
    pair.client.send([b"evil"])
    pair.server_wire.arrived[-1] ^= 1
    assert pair.server.receive(100) == b"good"
    assert pair.server.pending
    with pytest.raises(TlsFault):
        pair.server.receive(100)
    with pytest.raises(TlsFault):
        pair.server.send([b"anything"])


def test_an_end_waits_for_room(pair: Pair) -> None:
    data = octets(20_000)
    pair.client_wire.room = 1000
    assert pair.client.send([data]) == 0
    assert pair.client.half_close()
    assert not pair.client_wire.finished
    assert pair.client.unacknowledged() == 1
    pair.client_wire.room = None
    assert pair.client.receive(100) is None
    assert pair.client_wire.finished
    assert pair.server.receive(1 << 20) == data
    assert pair.server.receive(100) == b""
    assert pair.client.unacknowledged() == 1
    pair.client_wire.acknowledged = pair.client_wire.taken + 1
    assert pair.client.unacknowledged() == 0


def test_there_is_no_end_on_a_broken_connection(pair: Pair) -> None:
    assert pair.client.send([b"lost"]) == 4
    pair.client_wire.fault = "Connection reset by peer"
    assert not pair.client.half_close()
    assert not pair.client.half_close()
    assert pair.client.unacknowledged() == 4


def test_the_alert_of_a_peer_that_takes_nothing_more_says_why(certificates: Certificates) -> None:
    """It was sent before the reset, which our next send finds."""
    pair = Pair.of(certificates.client_settings(), certificates.mutual())
    assert not pair.client.handshake()
    assert not pair.server.handshake()
    assert pair.client.handshake()
    with pytest.raises(TlsFault) as refused:
        pair.server.handshake()
    assert refused.value.reason is TlsReason.NO_CERTIFICATE
    pair.client_wire.fault = "Connection reset by peer"
    with pytest.raises(TlsFault, match="the peer wants a certificate from us"):
        pair.client.send([b"<13>message"])


# -- how far octets have come


def test_octets_count_when_their_record_is_taken_and_acknowledged_as_a_whole(pair: Pair) -> None:
    data = octets(RECORD_OCTETS + 100)
    before = pair.client_wire.taken
    pair.client_wire.room = RECORD_OCTETS + 10
    assert pair.client.send([data]) == 0
    pair.client_wire.room = 100
    assert pair.client.send([data]) == RECORD_OCTETS
    assert pair.client.unacknowledged() == RECORD_OCTETS
    pair.client_wire.room = None
    assert pair.client.send([memoryview(data)[RECORD_OCTETS:]]) == 100
    assert pair.client.unacknowledged() == len(data)
    pair.client_wire.acknowledged = before + RECORD_OCTETS + 10
    assert pair.client.unacknowledged() == len(data)
    pair.client_wire.acknowledged = pair.client_wire.taken - 1
    assert pair.client.unacknowledged() == 100
    pair.client_wire.acknowledged = pair.client_wire.taken
    assert pair.client.unacknowledged() == 0


STREAM = octets(1 << 21)


@dataclass(slots=True, eq=False)
class Model:
    """One side and a network that cuts anywhere.

    It knows where records end from the wire itself: a header says how long its record is.
    """

    pair: Pair
    overhead: int  # of ciphertext in each record, header included
    base: int  # ciphertext octets that were taken before
    out: bytearray = field(default_factory=bytearray)  # and since
    received: bytearray = field(default_factory=bytearray)  # plaintext at the other side
    put: int = 0
    sent: int = 0
    said: int = 0
    heard: int = 0

    def step(self, action: str, number: int) -> None:
        wire, client = self.pair.client_wire, self.pair.client
        if action == "put":
            self.put = min(len(STREAM), self.put + number)
        elif action == "room":
            wire.room = number
        elif action == "send" and self.sent < self.put:
            self.sent += client.send([memoryview(STREAM)[self.sent : self.put]])
            self.hear_out()
            assert self.sent == self.plain(wire.taken)
            assert self.sent == self.put or wire.room == 0
        elif action == "acknowledge":
            wire.acknowledged = min(wire.taken, wire.acknowledged + number)
        elif action == "look":
            assert self.sent - client.unacknowledged() == self.plain(wire.acknowledged)
        elif action == "say":
            self.said += self.pair.server.send([octets(number)])
        elif action == "hear":
            self.heard += len(client.receive(number) or b"")

    def end(self) -> None:
        wire, client = self.pair.client_wire, self.pair.client
        wire.room = None
        assert client.half_close()
        self.hear_out()
        assert client.unacknowledged() >= 1
        wire.acknowledged = wire.taken + 1
        assert client.unacknowledged() == 0
        assert self.pair.server.receive(1) == b""
        assert self.received == STREAM[: len(self.received)]
        assert self.sent <= len(self.received) <= self.sent + AHEAD

    def hear_out(self) -> None:
        self.out += self.pair.server_wire.arrived
        self.received += self.pair.server.receive(1 << 22) or b""

    def plain(self, taken: int) -> int:
        """Of the first octets of ciphertext: octets of plaintext in whole records."""
        at = plain = 0
        while at + 5 <= len(self.out):
            record = 5 + int.from_bytes(self.out[at + 3 : at + 5], "big")
            at += record
            if at > taken - self.base:
                break
            plain += record - self.overhead
        return plain


ACTIONS = ["put", "room", "send", "acknowledge", "look", "say", "hear"]
NUMBERS = st.integers(1, 200_000) | st.integers(1, 300)


@settings(max_examples=150, deadline=None)
@given(
    script=st.lists(st.tuples(st.sampled_from(ACTIONS), NUMBERS), max_size=40),
    end=st.booleans(),
    version=st.sampled_from([("1.2", 29), ("1.3", 22)]),
)
def test_it_counts_as_a_plain_connection_would_in_whole_records(
    certificates: Certificates,
    script: Sequence[tuple[str, int]],
    end: bool,
    version: tuple[str, int],
) -> None:
    """Whatever our kernel takes and the peer's acknowledges, cut anywhere."""
    pair = Pair.of(
        certificates.client_settings(minimum_version="1.2"),
        certificates.server_settings(minimum_version="1.2"),
        version[0],
    )
    pair.shake_hands()
    pair.settle()
    model = Model(pair, version[1], pair.client_wire.taken)
    pair.client_wire.room = 0
    for action, number in script:
        model.step(action, number)
    if end:
        model.end()
    while piece := pair.client.receive(1 << 20):
        model.heard += len(piece)
    assert model.heard == model.said


def test_tickets_and_key_updates_of_the_peer_are_no_octets(certificates: Certificates) -> None:
    pair = Pair.of(certificates.client_settings(), certificates.server_settings())
    pair.shake_hands()
    assert not pair.client.heard
    assert pair.client.receive(100) is None  # the ticket
    assert pair.client.heard
    assert pair.server.unacknowledged() == 0
    assert pair.client.unacknowledged() == 0


# -- the handshake


@pytest.mark.parametrize("piece", [1, 7, 100])
def test_a_handshake_goes_on_as_octets_trickle_in_and_out(
    certificates: Certificates, piece: int
) -> None:
    pair = Pair.of(
        certificates.client_settings(certificate=certificates.client), certificates.mutual()
    )
    done = [False, False]
    for _ in range(20_000):
        for side, (tls, wire) in enumerate(
            [(pair.client, pair.client_wire), (pair.server, pair.server_wire)]
        ):
            wire.room = piece
            done[side] = tls.handshake()
            assert done[side] or not tls.wants_room or wire.room == 0
        if all(done):
            break
    assert all(done)
    assert pair.client.identity
    assert pair.client.identity.names == (NAME, "127.0.0.1")
    assert pair.server.identity
    assert pair.server.identity.common_name == "edge 1"
    assert pair.server.identity.name == "edge1.example.net"
    assert pair.server.version == "TLSv1.3"


@pytest.mark.parametrize(
    "said", [b"<13>hello\n", b"GET / HTTP/1.1\r\n\r\n", b"\x80\x2e\x01", b"0 "]
)
@pytest.mark.parametrize("side", ["client", "server"])
def test_cleartext_is_recognised(certificates: Certificates, said: bytes, side: str) -> None:
    pair = Pair.of(certificates.client_settings(), certificates.server_settings())
    if side == "client":
        tls, other = pair.client, pair.server_wire
        assert not tls.handshake()
    else:
        tls, other = pair.server, pair.client_wire
    other.send([said])
    with pytest.raises(TlsFault, match="the peer does not speak TLS") as fault:
        tls.handshake()
    assert fault.value.reason is TlsReason.CLEARTEXT


@pytest.mark.parametrize("how", ["end", "reset"])
def test_an_end_during_the_handshake_is_a_fault(certificates: Certificates, how: str) -> None:
    pair = Pair.of(certificates.client_settings(), certificates.server_settings())
    assert not pair.client.handshake()
    if how == "end":
        pair.server_wire.half_close()
    else:
        pair.client_wire.fault = "Connection reset by peer"
    with pytest.raises(TlsFault, match="during the TLS handshake") as fault:
        pair.client.handshake()
    assert fault.value.reason is TlsReason.CLOSED


@given(garbage=st.binary(min_size=1, max_size=2000))
def test_garbage_is_a_fault_or_waits_for_more(certificates: Certificates, garbage: bytes) -> None:
    pair = Pair.of(certificates.client_settings(), certificates.server_settings())
    pair.client_wire.send([b"\x16" + garbage])
    with suppress(TlsFault):
        assert not pair.server.handshake()


def test_renegotiation_is_off(certificates: Certificates) -> None:
    pair = Pair.of(certificates.client_settings(), certificates.server_settings())
    options = pair.server._tls.context.options
    assert options & ssl.OP_NO_RENEGOTIATION
    assert options & ssl.OP_NO_COMPRESSION


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_certificate_that_has_expired_lets_nobody_resume_a_session(
    version: str, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library looks at a certificate when a session begins, and a session may be resumed."""
    server = SystemTlsContext(certificates.mutual(minimum_version=version))
    server._context.maximum_version = VERSIONS[version]
    client = ssl.create_default_context(cafile=certificates.ca)
    client.load_cert_chain(certificates.client)
    first = _resume(server, client, None)
    assert _resume(server, client, first.session).session_reused
    monkeypatch.setattr(time, "time", lambda: 4e11)  # beyond the year 9999
    with pytest.raises(TlsFault, match="has expired") as caught:
        _resume(server, client, first.session)
    assert caught.value.reason is TlsReason.EXPIRED


def _resume(
    server: SystemTlsContext, context: ssl.SSLContext, session: ssl.SSLSession | None
) -> ssl.SSLObject:
    """A client whose handshake is done, also on the other side."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname=NAME, session=session)
    one, other = wires()
    tls = server.wrap(other)
    done = False
    while not done:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        one.send([outgoing.read()])
        done = tls.handshake()
        incoming.write(one.receive(1 << 16) or b"")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
        client.read(1)  # the ticket
    return client
