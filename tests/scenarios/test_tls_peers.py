"""TLS to the programs that it is spoken with, both sides knowing whom they talk to.

RELAY_TLS_MESSAGES says how many messages travel; 100,000 are before a release.
"""

import os
from pathlib import Path

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Books, total
from tests.scenarios.harness.messages import numbered, numbers, stream
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.rsyslog import Rsyslog
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.tls_peers import KINDS, SENDERS, Kind, receiver, sender
from tests.scenarios.harness.waiting import until
from tests.system.tls.parts import Certificates

MESSAGES = int(os.environ.get("RELAY_TLS_MESSAGES", "4000"))
CLIENT = "edge1.example.net"
SECONDS_MAX = 30 + MESSAGES / 500  # omrelp brings 1200 messages a second, in the clear as well

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[destinations.peer]
type = "@type@"
address = "127.0.0.1:@peer@"
@more@
tls = { ca = "@ca@", certificate = "@client@" }

[pipes.forward]
from = "net"
to = "peer"
"""
WAYS = [
    pytest.param(
        kind,
        confirm,
        id=f"{kind}-{confirm}" if confirm else kind.name,
        marks=pytest.mark.skipif(bool(kind.missing), reason=kind.missing),
    )
    for kind in KINDS
    for confirm in (("acked", "epoch") if kind.type == "tcp" else ("",))
]
REFUSING = [way for way in WAYS if "epoch" not in way.values]


def relay_to(
    peer: Rsyslog, kind: Kind, confirm: str, certificates: Certificates, prepare: Prepare
) -> RelayProcess:
    more = f'framing = "{kind.framing}"\nconfirm = "{confirm}"' if confirm else "window = 128"
    relay = prepare(CONFIG, {
        "type": kind.type, "peer": peer.port, "more": more,
        "ca": certificates.ca, "client": certificates.client,
    })  # fmt: skip
    relay.start()
    return relay


def files(certificates: Certificates) -> dict[str, str]:
    return {"ca": certificates.ca, "server": certificates.server}


def send(relay: RelayProcess, start: int, stop: int) -> None:
    with connected(relay.port("net")) as sock:
        sock.sendall(stream(numbered(stop - start, start=start), "octet"))


def check_whole(relay: RelayProcess, peer: Rsyslog, messages: int) -> None:
    """All have come, and the books say so."""
    until(lambda: set(peer.numbers()) == set(range(messages)), "all messages come")
    books = relay.until(lambda it: not total(it["pipes"]["forward"]["held"]), "all is delivered")
    assert not total(books["pipes"]["forward"]["dropped"])
    assert relay.stop() == 0


@pytest.mark.parametrize(("kind", "confirm"), WAYS)
def test_nothing_is_lost_while_every_certificate_is_replaced(
    kind: Kind, confirm: str, prepare: Prepare, tmp_path: Path
) -> None:
    """New authority, new certificates on both sides; the peer, which needs it, starts again.

    Those of before would be refused on either side. With `epoch` and RELP the peer is stopped in
    the midst of messages; with `acked` when it has read what its kernel has acknowledged.
    """
    certificates = Certificates.make(tmp_path / "certificates")
    with receiver(kind, tmp_path / "peer", files(certificates), CLIENT) as peer:
        relay = relay_to(peer, kind, confirm, certificates, prepare)
        half = MESSAGES // 2
        send(relay, 0, half)
        come = half - 1 if confirm == "acked" else half // 4
        until(lambda: peer.last() >= come, "messages come")
        until(lambda: _is_watched(relay, certificates), "a locked-in process reads certificates")
        Certificates.make(tmp_path / "certificates")
        peer.stop()
        peer.start()
        send(relay, half, MESSAGES)
        check_whole(relay, peer, MESSAGES)


@pytest.mark.parametrize("wrong", ["authority", "name"])
@pytest.mark.parametrize(("kind", "confirm"), REFUSING)
def test_who_is_not_permitted_is_told_and_loses_nothing(
    wrong: str, kind: Kind, confirm: str, prepare: Prepare, tmp_path: Path
) -> None:
    """The peer refuses our certificate; what waits meanwhile comes when it no longer does.

    An authority is refused in the handshake, a name by the program when that is done: then its
    kernel may have acknowledged messages already. What it has not read is replayed.
    """
    if wrong == "name" and not kind.looks_at_names:
        pytest.skip(f"{kind} does not look at names")
    certificates = Certificates.make(tmp_path / "certificates")
    refusing = files(certificates)
    if wrong == "authority":
        refusing["ca"] = Certificates.make(tmp_path / "strangers").ca
    permitted = "other.example.net" if wrong == "name" else CLIENT
    with receiver(kind, tmp_path / "other", refusing, permitted) as other:
        relay = relay_to(other, kind, confirm, certificates, prepare)
        send(relay, 0, 10)
        if wrong == "authority":
            books = relay.until(lambda it: it["pipes"]["forward"]["failures"], "it is down")
            assert total(books["pipes"]["forward"]["held"]) == 10
            assert not total(books["pipes"]["forward"]["delivered"])
        else:
            relay.until(_has_tried, "it has tried")
        assert not other.lines()
    peer = receiver(kind, tmp_path / "peer", files(certificates), CLIENT)
    peer.port = other.port
    with peer:
        check_whole(relay, peer, 10)


def _has_tried(books: Books) -> object:
    pipe = books["pipes"]["forward"]
    return pipe["failures"] or total(pipe["delivered"])


def _is_watched(relay: RelayProcess, certificates: Certificates) -> bool:
    labels = {("file", certificates.client), ("subject", "edge 1")}
    name = "relay_tls_certificate_not_after_timestamp_seconds"
    return (name, frozenset(labels)) in relay.metrics()


# -- the other way

INTO = """
[listeners.net]
type = "@type@"
listen = ["127.0.0.1:@net@"]
tls.certificate = "@server@"
tls.client_ca = "@ca@"
tls.peers = "edge1.example.net"
tls.minimum_version = "1.2"

[destinations.file]
type = "file"
path = "@directory@/state/out.log"

[pipes.keep]
from = "net"
to = "file"
overflow = "block"
"""


def come(relay: RelayProcess) -> set[int]:
    file = relay.directory / "state/out.log"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return set(numbers(lines).get("a", []))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(it, id=it.name, marks=pytest.mark.skipif(bool(it.missing), reason=it.missing))
        for it in SENDERS
    ],
)
def test_what_others_send_comes_while_every_certificate_is_replaced(
    kind: Kind, prepare: Prepare, tmp_path: Path
) -> None:
    """Both sides want to know who the other is; a new authority signs new certificates for both.

    The connection that stands goes on; the sender, which needs it, starts again.
    """
    certificates = Certificates.make(tmp_path / "certificates")
    relay = prepare(INTO, {
        "type": kind.type, "server": certificates.server, "ca": certificates.ca,
    })  # fmt: skip
    relay.start()
    own = {"ca": certificates.ca, "client": certificates.client}
    third, two_thirds = MESSAGES // 3, 2 * MESSAGES // 3
    with sender(kind, tmp_path / "peer", own, relay.port("net")) as peer:
        _feed(peer, 0, third)
        until(lambda: come(relay) == set(range(third)), "messages come", SECONDS_MAX)
        Certificates.make(tmp_path / "certificates")
        until(lambda: "TLS files have changed and are in use" in relay.log, "they are in use")
        _feed(peer, third, two_thirds)
        until(lambda: come(relay) == set(range(two_thirds)), "the connection goes on", SECONDS_MAX)
        peer.stop()
        peer.start()
        _feed(peer, two_thirds, MESSAGES)
        until(lambda: come(relay) == set(range(MESSAGES)), "all messages come", SECONDS_MAX)
    failed = relay.ledger()["listeners"]["net"]["connections"]["failed"]
    assert not {reason for reason, number in failed.items() if number} - {"reset", "tls-closed"}
    assert relay.stop() == 0


def _feed(peer: Rsyslog, start: int, stop: int) -> None:
    with connected(peer.port) as sock:
        sock.sendall(stream(numbered(stop - start, start=start), "lf"))


@pytest.mark.parametrize("kind", ["tcp", "relp"])
def test_relay_to_relay(kind: str, prepare: Prepare, tmp_path: Path) -> None:
    """A chain over TLS, both certified; the second knows by whom it was sent."""
    (tmp_path / "first").mkdir()
    certificates = Certificates.make(tmp_path / "certificates")
    second = prepare(INTO, {
        "type": kind, "server": certificates.server, "ca": certificates.ca,
    })  # fmt: skip
    second.start()
    first = prepare(CONFIG, {
        "type": kind, "peer": second.port("net"), "more": "",
        "ca": certificates.ca, "client": certificates.client,
    }, directory=tmp_path / "first")  # fmt: skip
    first.start()
    send(first, 0, 1000)
    until(lambda: come(second) == set(range(1000)), "all messages come")
    first.until(lambda it: not total(it["pipes"]["forward"]["held"]), "all is delivered")
    _, senders = second.get("/senders")
    assert b"edge1.example.net@127.0.0.1" in senders
    assert first.stop() == second.stop() == 0
