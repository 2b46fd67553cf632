"""RFC 5424 messages from parts, for sources that have fields instead of a header."""

import re
from collections.abc import Iterable

from relay.wire.timestamp import rfc3339

_PROGRAM = re.compile(rb"[!-~]{1,48}")  # RFC 5424 §6: PRINTUSASCII, and the lengths
_PROCID = re.compile(rb"[!-~]{1,128}")
_NAME = re.compile(rb'[^!-~]|[=\]"]')  # what a parameter's name must not have (§6.3.3)
_VALUE = re.compile(rb'(["\\\]])')
_NAME_OCTETS_MAX = 32


def compose(
    priority: int,
    ns: int,
    host: bytes,
    tag: tuple[bytes | None, bytes | None],
    text: bytes,
    data: bytes = b"-",
) -> bytes:
    """One message with its stamp to the microsecond; `tag` is program and process id.

    One that its field does not allow stands in front of the text. `data` is STRUCTURED-DATA.
    """
    program, procid = tag
    fits = program is None or _PROGRAM.fullmatch(program)
    if not fits or (procid is not None and not _PROCID.fullmatch(procid)):
        number = b"[%b]" % procid if procid is not None else b""
        text = b"%b%b: %b" % (program or b"-", number, text)
        program = procid = None
    head = b"<%d>1 %b %b %b %b - %b" % (
        priority, rfc3339(ns, 6), host, program or b"-", procid or b"-", data,
    )  # fmt: skip
    return b"%b %b" % (head, text) if text else head


def element(name: bytes, parameters: Iterable[tuple[bytes, bytes]]) -> bytes:
    """An SD-ELEMENT of RFC 5424 §6.3; octets that a name must not have become `_`."""
    rendered = b"".join(
        b' %b="%b"' % (_NAME.sub(b"_", key)[:_NAME_OCTETS_MAX] or b"_", _VALUE.sub(rb"\\\1", value))
        for key, value in parameters
    )
    return b"[%b%b]" % (name, rendered)
