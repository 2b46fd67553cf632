"""What a sender is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.wire.sender import CERTIFICATE_MAX, address_of, certificate_of, named

ADDRESSES = ["192.0.2.7", "2001:db8::7", "fe80::1%eth0", "local"]


@pytest.mark.parametrize("address", ADDRESSES)
def test_without_a_certificate_it_is_the_address(address: str) -> None:
    sender = named(address, "")
    assert sender == address == address_of(sender)
    assert certificate_of(sender) == ""


@pytest.mark.parametrize(
    ("certificate", "shown"),
    [
        ("fw1.example.net", "fw1.example.net"),
        ("syslog@fw1.example.net", "syslog@fw1.example.net"),
        ("Fire Wall \x1b[1m", "Fire_Wall__[1m"),
        ("é", "_"),
    ],
)
def test_a_certificates_name_stands_in_front(certificate: str, shown: str) -> None:
    sender = named("192.0.2.7", certificate)
    assert sender == f"{shown}@192.0.2.7"
    assert (certificate_of(sender), address_of(sender)) == (shown, "192.0.2.7")


@given(st.sampled_from(ADDRESSES), st.text(min_size=1, max_size=2 * CERTIFICATE_MAX))
def test_any_name_is_one_graphic_bounded_word(address: str, certificate: str) -> None:
    sender = named(address, certificate)
    assert address_of(sender) == address
    assert 1 <= len(certificate_of(sender)) <= CERTIFICATE_MAX
    assert all("!" <= each <= "~" for each in sender)
