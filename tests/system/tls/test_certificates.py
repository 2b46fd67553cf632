"""What certificates say of themselves."""

import datetime
import time
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from relay.system.ports import TlsUnusable
from relay.system.tls.certificates import CERTIFICATES_MAX, certificates_in, decode
from tests.system.tls.parts import NAME, Certificates


def test_each_says_its_names_and_how_long_it_is_valid(certificates: Certificates) -> None:
    [server, *_] = certificates_in(certificates.server)
    assert server.names == (NAME, "127.0.0.1")
    assert server.not_before < time.time() < server.not_after
    [authority] = certificates_in(certificates.ca)
    assert authority.subject == server.issuer
    assert certificates_in(certificates.client)[0].subject == "edge 1"


def test_one_that_has_expired_is_read_as_well(tmp_path: Path) -> None:
    past = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    leaf = trustme.CA().issue_cert("a.example.net", not_after=past)
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "old.pem")
    assert certificates_in(str(tmp_path / "old.pem"))[0].not_after == past.timestamp()


def test_no_more_of_a_file_than_anybody_reads(certificates: Certificates, tmp_path: Path) -> None:
    file = tmp_path / "many.pem"
    file.write_bytes(Path(certificates.ca).read_bytes() * (CERTIFICATES_MAX + 1))
    assert len(certificates_in(str(file))) == CERTIFICATES_MAX


def test_a_name_breaks_out_of_no_line(tmp_path: Path) -> None:
    leaf = trustme.CA().issue_cert("a.example.net", common_name="a\nb\x1b" + "c" * 40)
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "odd.pem")
    assert certificates_in(str(tmp_path / "odd.pem"))[0].subject == "a?b?" + "c" * 40


@given(st.binary(max_size=200), st.booleans())
def test_any_octets_are_certificates_or_unusable(octets: bytes, framed: bool) -> None:
    if framed:
        octets = b"-----BEGIN CERTIFICATE-----\n%b\n-----END CERTIFICATE-----\n" % octets
    with pytest.raises(TlsUnusable, match="no certificate in it"):
        decode(octets, "a.pem")
