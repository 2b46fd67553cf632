import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.relp.offers import has_syslog, offers, parse_offers, version_of


@pytest.mark.parametrize(
    ("data", "version", "syslog"),
    [
        (b"", None, False),
        (offers(1), 1, True),
        (b"relp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog",
         0, True),
        (b"commands=eventlog, syslog\r\nrelp_version=1\r\n", 1, True),
        (b"relp_version\ncommands", None, False),
        (b"relp_version=\ncommands=", None, False),
        (b"relp_version=-1\ncommands=syslogd", None, False),
        (b"relp_version=1111111111", None, False),
        (b"=1\nrelp_version=1,2", 1, False),
        (b"relp_version=0\nrelp_version=1", 1, False),
    ],
)  # fmt: skip
def test_what_an_offer_says(data: bytes, version: int | None, syslog: bool) -> None:
    found = parse_offers(data)
    assert (version_of(found), has_syslog(found)) == (version, syslog)


@given(st.binary())
def test_any_bytes_may_be_an_offer(data: bytes) -> None:
    found = parse_offers(data)
    version_of(found)
    has_syslog(found)
