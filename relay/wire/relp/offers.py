"""Offers: what the two sides of a session tell each other when it opens."""

from collections.abc import Mapping

VERSION = 1  # the specification's; librelp calls the same protocol 0
_COMMANDS = b"commands=syslog"
_SOFTWARE = b"relp_software=relay"


def offers(version: int) -> bytes:
    """What we offer: this version, and `syslog`."""
    return b"relp_version=%d\n%b\n%b" % (version, _SOFTWARE, _COMMANDS)


def parse_offers(data: bytes) -> Mapping[bytes, list[bytes]]:
    """`NAME[=VALUE,...]` lines; of a name that comes again the last one counts. Never raises."""
    found: dict[bytes, list[bytes]] = {}
    for line in data.split(b"\n"):
        name, _, values = line.rstrip(b"\r").partition(b"=")
        if name:
            found[name] = [value.strip() for value in values.split(b",")]
    return found


def version_of(found: Mapping[bytes, list[bytes]]) -> int | None:
    """The `relp_version` of these offers, None without a number."""
    value = found.get(b"relp_version", [b""])[0]
    return int(value) if value.isdigit() and len(value) < 10 else None


def has_syslog(found: Mapping[bytes, list[bytes]]) -> bool:
    return b"syslog" in found.get(b"commands", ())
