import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from relay.core.values import (
    Address,
    DatagramAddress,
    Duration,
    Listen,
    Mode,
    Path,
    Size,
    host_of,
    parse_duration,
    parse_mode,
    parse_size,
    service_name,
    split_address,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (4096, 4096),
        ("0", 0),
        ("17", 17),
        ("17B", 17),
        ("64KiB", 65536),
        ("64 KiB", 65536),
        (" 64KiB ", 65536),
        ("1.5MiB", 3 << 19),
        ("2GiB", 2 << 30),
        ("1TiB", 1 << 40),
        ("10kB", 10_000),
        ("10KB", 10_000),
        ("10MB", 10_000_000),
        ("3GB", 3 * 10**9),
        ("3TB", 3 * 10**12),
        ("1.9", 1),
    ],
)
def test_sizes(value: object, expected: int) -> None:
    assert parse_size(value) == expected


@pytest.mark.parametrize(
    "value",
    [-1, 1.5, True, None, [], "", "KiB", "-1", "64kib", "64K", "64 Ki B", "1e3", "1,5MiB", ".5MiB",
     "1.MiB", "٣", "9" * 400 + "GB", math.nan],
)  # fmt: skip
def test_no_sizes(value: object) -> None:
    with pytest.raises(ValueError, match="expected a size such as"):
        parse_size(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (5, 5),
        (0.25, 0.25),
        ("0", 0),
        ("5", 5),
        ("5s", 5),
        ("5 s", 5),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("2m", 120),
        ("2min", 120),
        ("1d", 86400),
    ],
)
def test_durations(value: object, expected: float) -> None:
    assert parse_duration(value) == pytest.approx(expected)


@pytest.mark.parametrize(
    "value",
    [-1, True, None, [], "", "s", "-1s", "1 hour", "5S", "1e3", "1m30s", math.nan, math.inf, 1e9,
     10**400, "9" * 400],
)  # fmt: skip
def test_no_durations(value: object) -> None:
    with pytest.raises(ValueError, match="expected a duration such as"):
        parse_duration(value)


@pytest.mark.parametrize(
    ("value", "expected"), [("0640", 0o640), ("640", 0o640), ("0000", 0), ("777", 0o777)]
)
def test_modes(value: object, expected: int) -> None:
    assert parse_mode(value) == expected


@pytest.mark.parametrize(
    "value", [640, 0o640, "", "64", "0o640", "0888", "1640", "06400", "٦٤٠", None]
)
def test_no_modes(value: object) -> None:
    with pytest.raises(ValueError, match="expected permissions such as"):
        parse_mode(value)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:514", ("127.0.0.1", 514)),
        ("siem.example.net:6514", ("siem.example.net", 6514)),
        ("log_host-1:1", ("log_host-1", 1)),
        ("[::1]:514", ("::1", 514)),
        ("[fe80::1%eth0]:514", ("fe80::1%eth0", 514)),
        ("*:65535", ("*", 65535)),
        ("a:0", ("a", 0)),
        ("a:00514", ("a", 514)),
        ("a" * 253 + ":1", ("a" * 253, 1)),
    ],
)
def test_addresses(address: str, expected: tuple[str, int]) -> None:
    assert split_address(address) == expected


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "expected \"HOST:PORT\", not ''"),
        ("514", 'expected "HOST:PORT"'),
        ("host", 'expected "HOST:PORT"'),
        ("host:", 'expected "HOST:PORT"'),
        ("host:syslog", 'expected "HOST:PORT"'),
        ("host:-1", 'expected "HOST:PORT"'),
        ("host:٥١٤", 'expected "HOST:PORT"'),
        ("[::1]", 'expected "HOST:PORT"'),
        ("host:65536", "port 65536 is not in 0-65535"),
        ("host:" + "9" * 5000, "port 99999999999999999999 is not in 0-65535"),
        ("::1:514", 'an IPv6 address stands in brackets: "[::1]:514"'),
        ("[host]:514", 'an IPv6 address stands in brackets: "[host]:514"'),
        ("[]:514", "an IPv6 address stands in brackets"),
        (":514", "'' is not a host name or address"),
        ("a b:514", "'a b' is not a host name or address"),
        ("http://host:514", "an IPv6 address stands in brackets"),
        ("a/b:514", "'a/b' is not a host name or address"),
        ("a" * 254 + ":1", "is not a host name or address"),
    ],
)
def test_no_addresses(address: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^") as raised:
        split_address(address)
    assert reason in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (Size, "64KiB", 65536),
        (Duration, "5s", 5.0),
        (Mode, "0640", 0o640),
        (Address, "siem:6514", "siem:6514"),
        (Listen, "*:514", "*:514"),
        (Listen, "[::]:0", "[::]:0"),
        (Listen, "fd:syslog.udp@1-2", "fd:syslog.udp@1-2"),
        (Path, "/var/log/all", "/var/log/all"),
    ],
)
def test_values_of_keys(kind: Any, value: object, expected: object) -> None:  # noqa: ANN401
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    assert adapter.validate_python(value) == expected
    assert adapter.json_schema()["type" if kind not in (Size, Duration) else "anyOf"]


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        (Size, "64", None),
        (Size, "x", "expected a size"),
        (Duration, "x", "expected a duration"),
        (Mode, "x", "expected permissions"),
        (Address, 514, 'expected "HOST:PORT", not 514'),
        (Address, "*:514", '"*" is no address to send to'),
        (Address, "siem:0", "port 0 is no port to send to"),
        (Address, "siem", 'expected "HOST:PORT"'),
        (Listen, 514, 'expected "HOST:PORT" or "fd:NAME", not 514'),
        (Listen, "fd:", 'expected "HOST:PORT"'),
        (Listen, "fd:a b", 'expected "HOST:PORT"'),
        (Listen, "host", 'expected "HOST:PORT"'),
        (Path, "", "at least 1 character"),
        (Path, "a\0b", "should match pattern"),
        (Path, "a" * 4097, "at most 4096 characters"),
    ],
)
def test_no_values_of_keys(kind: Any, value: object, reason: str | None) -> None:  # noqa: ANN401
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    if reason is None:
        adapter.validate_python(value)
        return
    with pytest.raises(ValidationError) as raised:
        adapter.validate_python(value)
    assert reason in str(raised.value)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.none(), st.booleans()))
def test_whatever_stands_in_the_file_is_a_value_or_a_value_error(value: object) -> None:
    parsers: list[Callable[[object], object]] = [parse_size, parse_duration, parse_mode]
    for parse in parsers:
        try:
            parse(value)
        except ValueError:
            continue


@given(st.text())
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    for address in (text, text + ":514"):
        try:
            host, port = split_address(address)
        except ValueError:
            continue
        assert host
        assert 0 <= port <= 65535


@pytest.mark.parametrize(
    ("kind", "address", "host"),
    [
        (Address, "srv:_syslog-tls._tcp.example.net", "example.net"),
        (Address, "srv:_syslog._TCP.logs.svc.cluster.local", "logs.svc.cluster.local"),
        (DatagramAddress, "srv:_syslog._udp.internal", "internal"),
        (Address, "siem.example.net:514", "siem.example.net"),
        (Address, "[::1]:514", "::1"),
    ],
)
def test_an_address_has_a_host_or_a_domain(kind: type[str], address: str, host: str) -> None:
    assert TypeAdapter(kind).validate_python(address) == address
    assert host_of(address) == host
    assert service_name(address) == (address[4:] if address.startswith("srv:") else None)


def test_the_dot_at_the_end_of_a_service_means_nothing() -> None:
    address = TypeAdapter(Address).validate_python("srv:_syslog._tcp.example.net.")
    assert address == "srv:_syslog._tcp.example.net"


@pytest.mark.parametrize(
    ("kind", "address", "reason"),
    [
        (Address, "srv:example.net", 'expected "srv:_SERVICE._tcp.DOMAIN", not '),
        (Address, "srv:_syslog._tcp", 'expected "srv:_SERVICE._tcp.DOMAIN", not '),
        (Address, "srv:_syslog._tcp.example.net:514", 'expected "srv:_SERVICE._tcp.DOMAIN", not '),
        (Address, "srv:_syslog._tcp." + "x" * 64, 'expected "srv:_SERVICE._tcp.DOMAIN", not '),
        (Address, "srv:_syslog._tcp" + ".xxxxxxxxx" * 25, 'expected "srv:_SERVICE._tcp.DOMAIN"'),
        (DatagramAddress, "srv:_s._tcp.x", "'_tcp' is not the protocol of this type: it needs "),
        (Address, "srv:_s._udp.x", "'_udp' is not the protocol of this type: it needs '_tcp'"),
        (Address, "srv:", 'expected "srv:_SERVICE._tcp.DOMAIN", not '),
    ],
)
def test_what_is_no_service_is_told(kind: type[str], address: str, reason: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(reason)):
        TypeAdapter(kind).validate_python(address)
