"""Who a peer is, and who is permitted."""

from pathlib import Path

import pytest
import trustme

from relay.system.ports import TlsFault, TlsReason
from tests.system.tls.parts import Certificates, Pair

NAMES = ("Fw1.Example.net", "*.edge.example.net", "2001:db8::1", "admin@example.net")


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The client's certificate bears several names."""
    directory = tmp_path_factory.mktemp("named")
    found = Certificates.make(directory)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "clients.pem")
    leaf = authority.issue_cert(*NAMES, common_name="The\x1b[2J\n client")
    leaf.private_key_and_cert_chain_pem.write_to_path(found.client)
    return found


def meet(named: Certificates, **settings: object) -> Pair:
    pair = Pair.of(
        named.client_settings(certificate=named.client),
        named.mutual(ca=str(named.directory / "clients.pem"), **settings),
    )
    pair.shake_hands()
    return pair


@pytest.mark.parametrize(
    "peer", ["fw1.example.net", "FW1.example.net", "*.edge.example.net", "2001:DB8:0::1",
             "admin@example.net"],
)  # fmt: skip
def test_a_peer_is_permitted_by_one_of_its_names(named: Certificates, peer: str) -> None:
    assert meet(named, peers=("somebody.example.net", peer)).server.identity


@pytest.mark.parametrize(
    "peer", ["fw2.example.net", "a.edge.example.net", "example.net", "2001:db8::2", "client",
             "urn:fw1.example.net"],
)  # fmt: skip
def test_others_are_not(named: Certificates, peer: str) -> None:
    """A wildcard in a certificate is a name as it stands: what it covers is not asked here."""
    with pytest.raises(TlsFault, match="none of the names permitted") as fault:
        meet(named, peers=(peer,))
    assert fault.value.reason is TlsReason.NOT_PERMITTED


def test_a_fingerprint_permits(named: Certificates) -> None:
    identity = meet(named).server.identity
    assert identity
    other = "sha-256" + ":00" * 32
    assert meet(named, fingerprints=(other, identity.fingerprint)).server.identity == identity
    with pytest.raises(TlsFault, match=f"none of the fingerprints .* {identity.fingerprint}"):
        meet(named, fingerprints=(other,))


def test_an_identity_is_fit_for_a_log(named: Certificates) -> None:
    identity = meet(named).server.identity
    assert identity
    assert identity.names[0] == "fw1.example.net"
    assert identity.common_name == "The?[2J? client"
    assert identity.not_after > 1_700_000_000


def test_many_and_long_names_are_bounded(tmp_path: Path) -> None:
    found = Certificates.make(tmp_path)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "clients.pem")
    leaf = authority.issue_cert(*(f"host{n}.example.net" for n in range(500)))
    leaf.private_key_and_cert_chain_pem.write_to_path(found.client)
    pair = meet(found, peers=("host499.example.net",))
    assert pair.server.identity
    assert len(pair.server.identity.names) == 16


def test_who_shows_nothing_is_nobody(certificates: Certificates) -> None:
    pair = Pair.of(
        certificates.client_settings(), certificates.mutual(verify="optional", peers=("a.example",))
    )
    pair.shake_hands()
    assert pair.server.identity is None
