"""Whether an address is in one of some networks."""

from ipaddress import ip_network

import pytest

from relay.core.networks import KNOWN_MAX, Senders, group_of


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("2001:db8::7", True),
        ("2001:db9::7", False),
        ("fe80::1%2", True),
        ("local", False),
        ("", False),
    ],
)
def test_a_sender_is_in_one_of_the_networks_also_the_second_time(
    sender: str, expected: bool
) -> None:
    nets = ("10.0.0.0/8", "2001:db8::/32", "fe80::/10")
    senders = Senders([ip_network(net) for net in nets])
    assert (sender in senders) == expected
    assert (sender in senders) == expected


def test_any_number_of_addresses_is_remembered_in_bounded_memory() -> None:
    senders = Senders([ip_network("10.0.0.0/8")])
    for number in range(2 * KNOWN_MAX + 1):
        address = f"{10 + number % 2}.0.{number >> 8}.{number & 255}"
        assert (address in senders) == (number % 2 == 0)
        assert len(senders._known) <= KNOWN_MAX


@pytest.mark.parametrize(
    ("address", "prefix", "group"),
    [
        ("192.0.2.1", 64, "192.0.2.1"),
        ("192.0.2.1", 32, "192.0.2.1"),
        ("::ffff:192.0.2.1", 64, "192.0.2.1"),
        ("2001:db8::1", 64, "2001:db8::/64"),
        ("2001:db8::ffff:1", 64, "2001:db8::/64"),
        ("2001:db8:0:1::1", 64, "2001:db8:0:1::/64"),
        ("2001:db8:0:1::1", 48, "2001:db8::/48"),
        ("2001:db8::1", 128, "2001:db8::1"),
        ("fd00::1", 64, "fd00::/64"),
        ("fe80::1%eth0", 64, "fe80::1%eth0"),
        ("fe80::1", 64, "fe80::1"),
        ("::1", 64, "::/64"),
        ("local", 64, "local"),
        ("a:b", 64, "a:b"),
    ],
)
def test_whom_an_address_counts_for(address: str, prefix: int, group: str) -> None:
    assert group_of(address, prefix) == group
