import socket

import pytest

from relay.system.address import bound_address, host_port, look_up, split_host_port, without_mapping


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("127.0.0.1:514", ("127.0.0.1", 514)),
        ("[::1]:514", ("::1", 514)),
        ("siem.example.net:6514", ("siem.example.net", 6514)),
        ("*:0", ("*", 0)),
    ],
)
def test_host_and_port_are_split(address: str, parts: tuple[str, int]) -> None:
    assert split_host_port(address) == parts


@pytest.mark.parametrize(
    "address", ["", ":514", "host", "host:", "host:syslog", "host:65536", "::1:514", "host:٣"]
)
def test_anything_else_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        split_host_port(address)


def test_a_link_local_address_keeps_its_interface() -> None:
    [(_, address)] = look_up("fe80::1%1", 514, socket.SOCK_STREAM, numeric=True)
    assert host_port(address) == "[fe80::1%1]:514"


def test_a_name_is_no_numeric_address() -> None:
    with pytest.raises(OSError, match=r"not known|associated"):
        look_up("localhost", 514, socket.SOCK_STREAM, numeric=True)


def test_a_label_too_long_for_dns_does_not_resolve() -> None:
    with pytest.raises(OSError, match="no host name"):
        look_up("x" * 64 + ".example", 514, socket.SOCK_STREAM)


def test_a_mapped_ipv4_address_is_shown_as_ipv4() -> None:
    assert without_mapping("::ffff:192.0.2.1") == "192.0.2.1"
    assert without_mapping("::ffff:1") == "::ffff:1"


def test_an_abstract_unix_address_is_shown_with_an_at_sign() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0relay-test-abstract")
        assert bound_address(sock) == "@relay-test-abstract"
