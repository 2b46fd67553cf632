"""Entries of the systemd journal as RFC 5424 messages; fields as systemd.journal-fields(7)."""

import re
from collections.abc import Mapping

from relay.wire.compose import compose

_KERN, _USER = 0, 1
_INFO = 6
_NUMBER = re.compile(rb"\d{1,18}")
# s=ID of the sequence;i=number in it, hexadecimal;b=boot;… sd_journal_get_cursor(3) calls a cursor
# opaque; of one whose form is another nothing is counted.
_CURSOR = re.compile(r"s=([0-9a-f]{32});i=([0-9a-f]{1,16});")


def message(fields: Mapping[str, bytes], usec: int, host: bytes) -> bytes:
    """The entry as a message; `usec` and `host` where the entry does not say better itself."""
    source = _number(fields, "_SOURCE_REALTIME_TIMESTAMP")
    kernel = fields.get("_TRANSPORT") == b"kernel"
    program = fields.get("SYSLOG_IDENTIFIER") or fields.get("_COMM")
    return compose(
        _priority(fields, kernel=kernel),
        (usec if source is None else source) * 1000,
        _host(fields) or host,
        (
            program or (b"kernel" if kernel else None),
            fields.get("_PID") or fields.get("SYSLOG_PID"),
        ),
        fields.get("MESSAGE", b""),
    )


def missing(earlier: str, later: str) -> int | None:
    """How many entries were between two cursors; None: of different journals, or nobody knows."""
    first, second = _CURSOR.match(earlier), _CURSOR.match(later)
    if not first or not second or first[1] != second[1]:
        return None
    return max(0, int(second[2], 16) - int(first[2], 16) - 1)


def _priority(fields: Mapping[str, bytes], *, kernel: bool) -> int:
    severity = _number(fields, "PRIORITY")
    facility = _number(fields, "SYSLOG_FACILITY")
    if facility is None or facility > 23 or (facility == _KERN and not kernel):
        facility = _KERN if kernel else _USER
    return facility * 8 + (severity if severity is not None and severity <= 7 else _INFO)


def _number(fields: Mapping[str, bytes], name: str) -> int | None:
    value = fields.get(name, b"")
    return int(value) if _NUMBER.fullmatch(value) else None


def _host(fields: Mapping[str, bytes]) -> bytes:
    name = fields.get("_HOSTNAME", b"")
    return name if re.fullmatch(rb"[!-~]{1,255}(?<!:)", name) else b""
