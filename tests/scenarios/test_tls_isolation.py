"""Every way in which TLS to a destination must fail closed, all at once, beside a pipe that works.

RELAY_TLS_FAULT_SECONDS says how long the faults last; a minute is before a release.
"""

import datetime
import os
import ssl
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import trustme

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, sample, total
from tests.scenarios.harness.messages import numbers
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.steady import steady
from tests.scenarios.harness.tls_receiver import TlsReceiver
from tests.system.tls.parts import NAME, authority_of_that_name

SECONDS = float(os.environ.get("RELAY_TLS_FAULT_SECONDS", "1.5"))
RATE = 1000  # messages a second
LATENCY_SECONDS_MAX = 2.0

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.healthy]
type = "tcp"
address = "127.0.0.1:@healthy@"
framing = "lf"

[pipes.healthy]
from = "net"
to = "healthy"
"""
PIPE = """
[destinations.%(name)s]
type = "tcp"
address = "127.0.0.1:%(port)d"
tls = { %(tls)s }

[pipes.%(name)s]
from = "net"
to = "%(name)s"
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to be wrong, what is said of it, and how it is mended."""

    name: str
    tls: str  # the destination's table
    reason: str  # what the pipe says
    counted: str  # of a connection that has failed; "": there was none
    peer: ssl.SSLContext | None  # None: it does not speak TLS
    peer_mended: ssl.SSLContext | None = None  # None: it stays as it is
    files_mended: Mapping[Path, bytes] = field(default_factory=dict)


def _serving(leaf: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


def _faults(directory: Path, public: trustme.CA) -> Sequence[Fault]:
    """`public`: an authority that this host trusts."""
    private = authority_of_that_name()
    ca = directory / "ca.pem"
    private.cert_pem.write_to_path(ca)
    good = _serving(private.issue_cert(NAME, "127.0.0.1"))
    right = private.cert_pem.bytes()

    def bundle(name: str, content: bytes | None, reason: str, counted: str = "") -> Fault:
        path = directory / f"{name}.pem"
        if content is not None:
            path.write_bytes(content)
        return Fault(name, f'ca = "{path}"', reason, counted, good, files_mended={path: right})

    def peer(name: str, reason: str, counted: str, wrong: ssl.SSLContext | None) -> Fault:
        return Fault(name, f'ca = "{ca}"', reason, counted, wrong, good)

    ago = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=3)
    expired = _serving(private.issue_cert("127.0.0.1", not_after=ago))
    stranger = trustme.CA()
    own = directory / "self-signed.pem"
    own.write_bytes(stranger.private_key_pem.bytes() + stranger.cert_pem.bytes())
    self_signed = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    self_signed.load_cert_chain(own)
    weak = _serving(private.issue_cert("127.0.0.1"))
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE+AES128+SHA")
    other_authority = authority_of_that_name().cert_pem.bytes()
    return (
        bundle("other-authority", other_authority, "authority that", "untrusted"),
        Fault("system-store", 'ca = "system"', "authority that the ca does not have", "untrusted",
              good, _serving(public.issue_cert("127.0.0.1"))),
        bundle("empty", b"", "empty.pem: is empty"),
        bundle("missing", None, "missing.pem: no such file"),
        bundle("garbage", b"\xff\x00garbage" * 100, "garbage.pem: no certificate in it"),
        bundle("huge", right + b"#" * 50_000_000, "huge.pem: is larger than"),
        peer("other-name", "for another address", "wrong-name",
             _serving(private.issue_cert("other.example.net"))),
        peer("expired", "has expired", "expired", expired),
        peer("self-signed", "is self-signed", "untrusted", self_signed),
        peer("cleartext", "does not speak TLS", "cleartext", None),
        Fault("weak-cipher", f'ca = "{ca}", minimum_version = "1.2", ciphers = "ECDHE+AESGCM"',
              "no cipher", "cipher", weak, good),
    )  # fmt: skip


@dataclass(slots=True, eq=False)
class Peer:
    """A receiver that can be started anew with another certificate."""

    fault: Fault
    stack: ExitStack
    receiver: TlsReceiver

    @classmethod
    def start(cls, fault: Fault, stack: ExitStack) -> "Peer":
        own = stack.enter_context(ExitStack())
        return cls(fault, own, own.enter_context(TlsReceiver(fault.peer)))

    def pipe(self) -> str:
        return PIPE % {
            "name": self.fault.name, "port": self.receiver.port, "tls": self.fault.tls
        }  # fmt: skip

    def check_it_heard_nothing(self) -> None:
        with self.receiver.news:
            assert not any(it.data for it in self.receiver.connections), self.fault.name
            for ciphertext in self.receiver.ciphertexts:
                assert ciphertext.holds_no_message(), (self.fault.name, ciphertext)
            assert bool(self.receiver.ciphertexts) == bool(self.fault.counted), self.fault.name

    def mend(self) -> None:
        for path, content in self.fault.files_mended.items():
            path.write_bytes(content)
        if self.fault.peer_mended is not None:
            self.stack.close()
            self.check_it_heard_nothing()
            mended = TlsReceiver(self.fault.peer_mended, port=self.receiver.port)
            self.receiver = self.stack.enter_context(mended)


def test_whatever_is_wrong_with_tls_others_go_on_and_it_is_over_when_it_is_mended(
    prepare: Prepare, tmp_path: Path
) -> None:
    """Eleven destinations with a fault each, and one that works, have all messages of one sender.

    While the faults last, nothing but the begin of a handshake and an alert leaves for the eleven,
    each says why, and the twelfth has what is sent in time. Then files are put right and peers
    start anew with the certificates they should have had. Without a reload each of them gets
    everything, in order and once.

    The load is a rate that any machine can keep, and what is looked at is how much of it comes, and
    how late: how fast this machine is fails no test.
    """
    directory = tmp_path / "tls"
    directory.mkdir()
    public = trustme.CA(organization_name="Public")
    public.cert_pem.write_to_path(directory / "public.pem")
    faults = _faults(directory, public)
    with ExitStack() as stack, steady(RATE) as sender:
        peers = [Peer.start(fault, stack) for fault in faults]
        config = CONFIG + "".join(it.pipe() for it in peers)
        relay = prepare(config, {"healthy": sender.port},
                        environ={"SSL_CERT_FILE": str(directory / "public.pem")})  # fmt: skip
        relay.start()
        relay.until(lambda it: it["pipes"]["healthy"]["state"] == "up", "the healthy one is up")
        sender.begin({"net": f"tcp:{relay.port('net')}"})
        relay.until(lambda it: _are_down(it, faults), "each has failed")
        [window] = sender.window(SECONDS).values()
        print(f"{window.rate:.0f} messages/s, at most {window.latency_max * 1000:.0f} ms each")
        assert window.rate > 0.7 * RATE
        assert window.latency_max < LATENCY_SECONDS_MAX
        _check_reasons(relay, faults)
        for peer in peers:
            peer.check_it_heard_nothing()
        for peer in peers:
            peer.mend()
        relay.until(lambda it: _are_up(it, faults), "all are up", 60 + SECONDS)
        [outcome] = sender.end().values()
        assert outcome == type(outcome)(outcome.sent, missing=0, again=0, overtaken=0)
        relay.until(lambda it: not any(total(each["held"]) for each in it["pipes"].values()),
                    "all is delivered")  # fmt: skip
        for peer in peers:
            found = numbers(peer.receiver.messages)
            assert found == {"steady_net": list(range(outcome.sent))}, peer.fault.name
        books = relay.ledger()
        assert not any(total(it["dropped"]) for it in books["pipes"].values())
        assert relay.stop() == 0


def _are_down(books: Books, faults: Sequence[Fault]) -> bool:
    return all(books["pipes"][it.name]["failures"] for it in faults)


def _are_up(books: Books, faults: Sequence[Fault]) -> bool:
    return all(books["pipes"][it.name]["state"] == "up" for it in faults)


def _check_reasons(relay: RelayProcess, faults: Sequence[Fault]) -> None:
    books, metrics = relay.ledger(), relay.metrics()
    for fault in faults:
        pipe = books["pipes"][fault.name]
        assert pipe["state"] == "down"
        assert fault.reason in pipe["down_reason"], fault.name
        assert not total(pipe["delivered"])
        assert total(pipe["held"]) == pipe["received"] > 0
        if fault.counted:
            labels = {"pipe": fault.name, "destination": fault.name, "reason": fault.counted}
            assert sample(metrics, "relay_tls_failures_total", **labels)
    assert books["pipes"]["healthy"]["state"] == "up"
    assert not books["pipes"]["healthy"]["failures"]
