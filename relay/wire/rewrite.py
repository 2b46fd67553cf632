"""Other header fields for a message: priority, host, program, and more structured data.

Everything else stays byte for byte. A message keeps the form of its header, unless what it is to
say has no place there; then it becomes RFC 5424 first, which is the caller's to do.
"""

from typing import NamedTuple

from relay.wire.message import HeaderView, data5424, elements, header_places, view
from relay.wire.priority import DEFAULT, priority


class Change(NamedTuple):
    """What a message says from now on; None and empty: what it says already.

    `data` are whole elements by their SD-ID (RFC 5424 section 6.3.2). One that the message has is
    not added again, so that a message that comes twice through a relay does not grow.
    """

    facility: int | None = None
    severity: int | None = None
    host: bytes | None = None
    program: bytes | None = None
    data: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def only_priority(self) -> bool:
        return self.host is None and self.program is None and not self.data


def rewrite(message: bytes, change: Change, header: HeaderView | None = None) -> bytes | None:
    """The changed message; None where its header has no place for the change.

    `header`: the view of it, where somebody has looked already.
    """
    if not change.only_priority:
        changed = _rfc5424(message, change, header) or _rfc3164(message, change, header)
        if changed is None:
            return None
        message = changed
    return _with_priority(message, change)


def _with_priority(message: bytes, change: Change) -> bytes:
    if change.facility is None and change.severity is None:
        return message
    value, at = priority(message)
    facility, severity = divmod(DEFAULT if value is None else value, 8)
    facility = facility if change.facility is None else change.facility
    severity = severity if change.severity is None else change.severity
    return b"<%d>%b" % (facility * 8 + severity, message[at:])


def _rfc5424(message: bytes, change: Change, header: HeaderView | None) -> bytes | None:
    """Section 6: `<PRI>1 STAMP HOST APP-NAME PROCID MSGID DATA MSG`, each with a space behind."""
    if header is None:
        data = data5424(message)
    else:
        data = (header.structured_data or b"") if header.dialect == "rfc5424" else None
    if data is None:
        return None
    version, stamp, host, program, procid, msgid, rest = message.split(b" ", 6)
    host = change.host or host
    program = change.program or program
    if change.data:
        known = {name for name, _ in elements(data)} if data else ()
        more = b"".join(text for name, text in change.data if name not in known)
        if data:
            rest = data + more + rest[len(data) :]
        elif more and (rest == b"-" or rest.startswith(b"- ")):
            rest = more + rest[1:]
        elif more:  # what stands there is no structured data, and goes on as text
            rest = more + b" " + rest
    return b" ".join([version, stamp, host, program, procid, msgid, rest])


def _rfc3164(message: bytes, change: Change, header: HeaderView | None) -> bytes | None:
    places = header_places(message)
    if places is None or change.data:
        return None
    before = header or view(message)
    host_start, host_end, program_start, program_end = places
    if change.program is not None:
        if host_end > host_start and message[host_end:program_start] != b" ":
            return None  # Cisco's mnemonic follows, or nothing
        colon = b": " if program_start == program_end else b""  # there was none
        message = message[:program_start] + change.program + colon + message[program_end:]
    if change.host is not None:
        space = b" " if host_start == host_end else b""
        message = message[:host_start] + change.host + space + message[host_end:]
    after = view(message)  # some dialects are known by what stands there
    wanted = change.host or before.host, change.program or before.program, before.text
    return message if (after.host, after.program, after.text) == wanted else None
