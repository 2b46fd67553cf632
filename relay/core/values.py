"""The value types of configuration keys: sizes, durations, modes, addresses, names.

A component's fields are its TOML keys, and these are their types. Each says in one sentence what it
expects, and each has a JSON schema, so that an editor can say the same.
"""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema

# Compiled when they are first needed, as are all that few configurations or messages ask for.
_SIZE = r"(\d{1,15}(?:\.\d{1,15})?)\s*(B|KiB|MiB|GiB|TiB|kB|KB|MB|GB|TB)?"
_SIZE_UNITS = {
    None: 1, "B": 1,
    "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40,
    "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
}  # fmt: skip
SRV = "srv:"  # in front of the name of a service
# RFC 2782 and RFC 6335 section 5.1; labels of a domain as RFC 1035 section 2.3.4 bounds them.
_SERVICE = r"(?ai)_[a-z0-9-]{1,62}\.(_[a-z]{1,62})(?:\.[\w-]{1,63})+"
_DURATION = r"(\d{1,9}(?:\.\d{1,15})?)\s*(ms|s|m|min|h|d)?"
_DURATION_UNITS = {None: 1, "ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}


def parse_size(value: object) -> int:
    """Octets of `"64KiB"`, `"1.5 MiB"`, `"10MB"` or a plain whole number.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = re.fullmatch(_SIZE, value.strip(), re.ASCII) if isinstance(value, str) else None
    if not found:
        raise ValueError(f'expected a size such as "64KiB" or "10MB", not {value!r}')
    return int(float(found[1]) * _SIZE_UNITS[found[2]])


def parse_duration(value: object) -> float:
    """Seconds of `"5s"`, `"250ms"`, `"1.5h"` or a plain number.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e9:
        return float(value)
    found = re.fullmatch(_DURATION, value.strip(), re.ASCII) if isinstance(value, str) else None
    if not found:
        raise ValueError(f'expected a duration such as "5s" or "250ms", not {value!r}')
    return float(found[1]) * _DURATION_UNITS[found[2]]


def parse_mode(value: object) -> int:
    """Permission bits of `"0640"`.

    Raises:
        ValueError: not a string of three or four octal digits.
    """
    if isinstance(value, str) and re.fullmatch(r"0?[0-7]{3}", value):
        return int(value, 8)
    raise ValueError(f'expected permissions such as "0640", not {value!r}')


def split_address(address: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPV6]:PORT` or `*:PORT` in its two parts.

    Raises:
        ValueError: no port, a port out of 0-65535, an IPv6 address without brackets, a host name
            that no resolver accepts (RFC 1035: at most 253 octets).
    """
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()):
        raise ValueError(f'expected "HOST:PORT", not {address!r}')
    if len(port) > 5 or int(port) > 65535:
        raise ValueError(f"port {port[:20]} is not in 0-65535")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    if (":" in host) != bracketed:
        raise ValueError(f'an IPv6 address stands in brackets: "[{host}]:{port}"')
    if not host or len(host) > 253 or not re.fullmatch(r"\*|[\w.:%-]+", host):
        raise ValueError(f"{host[:40]!r} is not a host name or address")
    return host, int(port)


def service_name(address: str) -> str | None:
    """The name of the SRV records of `srv:_SERVICE._PROTOCOL.DOMAIN`; None for `HOST:PORT`."""
    return address.removeprefix(SRV) if address.startswith(SRV) else None


def host_of(address: str) -> str:
    """The name by which whoever is reached at this address is known: the host, as configured.

    Of a service it is the domain: who answers for the DNS chooses the hosts that its records name,
    so these prove nothing (RFC 9525 section 6.1).
    """
    service = service_name(address)
    return service.split(".", 2)[2] if service is not None else split_address(address)[0]


def listed(value: object) -> object:
    """For a list of which one element may stand alone."""
    return [value] if isinstance(value, (str, dict)) else value


def listed_words(value: object) -> object:
    """The same, where a number stands for a word, or for a mistake that is told as one."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return [value] if is_number else listed(value)


def or_one(field: dict[str, Any]) -> None:
    """In the schema of a list: one of its elements will do."""
    field["anyOf"] = [field["items"], {"type": field.pop("type"), "items": field.pop("items")}]


def _check_address(value: object, protocol: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f'expected "HOST:PORT", not {value!r}')  # noqa: TRY004 - pydantic's way
    service = service_name(value)
    if service is not None:
        return SRV + _check_service(service, protocol)
    host, port = split_address(value)
    if host == "*":
        raise ValueError('"*" is no address to send to')
    if port == 0:
        raise ValueError("port 0 is no port to send to")
    return value


def _check_service(name: str, protocol: str) -> str:
    name = name.removesuffix(".")
    found = re.fullmatch(_SERVICE, name)
    if not found or len(name) > 253:
        raise ValueError(f'expected "srv:_SERVICE.{protocol}.DOMAIN", not {SRV + name[:300]!r}')
    if found[1].lower() != protocol:
        raise ValueError(f"{found[1]!r} is not the protocol of this type: it needs {protocol!r}")
    return name


def parse_listen(value: object, expected: str = 'expected "HOST:PORT" or "fd:NAME"') -> str:
    """An address to listen on, as it is.

    Raises:
        ValueError: neither `HOST:PORT` nor `fd:NAME`.
    """
    if isinstance(value, str) and re.fullmatch(r"fd:[\w.@-]+", value):
        return value
    if not isinstance(value, str):
        raise ValueError(f"{expected}, not {value!r}")  # noqa: TRY004 - pydantic's way
    split_address(value)
    return value


def _size_schema(example: str) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": f"^{_SIZE}$"},
            ],
            "examples": [example],
        }
    )


Size = Annotated[int, BeforeValidator(parse_size), _size_schema("64KiB")]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0},
                {"type": "string", "pattern": f"^{_DURATION}$"},
            ],
            "examples": ["5s"],
        }
    ),
]
Mode = Annotated[
    int,
    BeforeValidator(parse_mode),
    WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$", "examples": ["0640"]}),
]
Address = Annotated[
    str,
    BeforeValidator(partial(_check_address, protocol="_tcp")),
    WithJsonSchema(
        {
            "type": "string",
            "examples": [
                "siem.example.net:6514",
                "[::1]:514",
                "srv:_syslog-tls._tcp.example.net",
            ],
        }
    ),
]
DatagramAddress = Annotated[
    str,
    BeforeValidator(partial(_check_address, protocol="_udp")),
    WithJsonSchema(
        {
            "type": "string",
            "examples": ["siem.example.net:514", "[::1]:514", "srv:_syslog._udp.example.net"],
        }
    ),
]
Listen = Annotated[
    str,
    BeforeValidator(parse_listen),
    WithJsonSchema({"type": "string", "examples": ["0.0.0.0:5514", "[::]:5514", "fd:syslog"]}),
]
Word = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Path = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
