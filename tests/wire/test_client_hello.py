"""Which connections begin TLS."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.client_hello import HELLO_OCTETS, is_client_hello


def hello(**keys: ssl.TLSVersion) -> bytes:
    context = ssl.create_default_context()
    for name, version in keys.items():
        setattr(context, name, version)
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="relay.example.net")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_openssl_says_first_is_one_wherever_it_is_cut(version: ssl.TLSVersion) -> None:
    data = hello(minimum_version=version, maximum_version=version)
    for end in range(1, len(data) + 1):
        assert is_client_hello(data[:end]) is (None if end < HELLO_OCTETS else True), end


@pytest.mark.parametrize(
    "data",
    [
        b"<13>Nov 23 07:45:25 web01 app: x\n",
        b"35 <13>text",
        b"1 open 85 relp_version=0\n",
        b"\x16\n",
        b"\x16\x03\x09\x00\x05\x01",  # no such version
        b"\x16\x03\x01\x41\x00\x01",  # longer than any record
        b"\x16\x03\x01\x00\x05\x02",  # a ServerHello
        b"\x17\x03\x03\x00\x05\x01",  # application data
        b"\x15\x03\x01\x00\x02\x02\x46",  # an alert
    ],
)
def test_messages_and_other_records_are_none(data: bytes) -> None:
    assert is_client_hello(data) is False


@given(st.binary(min_size=1))
def test_more_octets_never_change_an_answer(data: bytes) -> None:
    answers = [is_client_hello(data[:end]) for end in range(1, len(data) + 1)]
    known = [answer for answer in answers if answer is not None]
    assert len(set(known)) <= 1
    assert answers == [None] * (len(answers) - len(known)) + known
