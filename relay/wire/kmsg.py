r"""Records of /dev/kmsg: the kernel's log as Documentation/ABI/testing/dev-kmsg describes it.

    6,339,5140900,-,caller=T1;NET: Registered protocol family 10
     SUBSYSTEM=net

Priority, sequence number, microseconds and flags; what later kernels add stands in front of the
semicolon. Lines behind the first begin with a space and hold one KEY=value each. Control
characters, octets above 126 and the backslash are written `\xNN`.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from relay.wire.compose import compose, element
from relay.wire.message import split_tag

USER = 1
# Of the kernel's facilities, which userspace may write up to 127 (include/linux/syslog.h).
_FACILITY_MAX = 23
_RECORD = re.compile(rb"(\d{1,10}),(\d{1,20}),(\d{1,20}),([^,;\n]*)((?:,[^;\n]*)?);([^\n]*)")
_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")
_CALLER = re.compile(rb",caller=([^,]*)")
_FIELD = re.compile(rb"\n ([^=\n]+)=([^\n]*)")
# Of a line that printk(9) was given in parts and could not put together: 'c'; before Linux 4.9 '+'
# for all but its first part.
_FRAGMENTS = (b"c", b"+")
_ELEMENT = b"kmsg@32473"  # the enterprise number of examples, RFC 5612: the kernel has none


class Record(NamedTuple):
    priority: int  # valid in RFC 5424
    sequence: int
    usec: int  # on the kernel's clock, from its start
    fragment: bool  # goes on where the record before it ended
    caller: bytes  # thread or CPU, where the kernel says so
    text: bytes
    fields: Sequence[tuple[bytes, bytes]]  # such as SUBSYSTEM and DEVICE


def parse(data: bytes) -> Record | None:
    """The record in what one read(2) gave; `None` if it is none."""
    found = _RECORD.match(data)
    if not found:
        return None
    prefix, sequence, usec, flags, more, text = found.groups()
    facility, severity = divmod(int(prefix), 8)
    caller = _CALLER.match(more)
    return Record(
        (facility if facility <= _FACILITY_MAX else USER) * 8 + severity,
        int(sequence),
        int(usec),
        flags in _FRAGMENTS,
        caller[1] if caller else b"",
        _unescape(text),
        [(key, _unescape(value)) for key, value in _FIELD.findall(data, found.end())],
    )


def join(records: Iterable[Record]) -> list[Record]:
    """The records with each fragment put to the end of the one before, if that has its caller."""
    joined: list[Record] = []
    for record in records:
        before = joined[-1] if record.fragment and joined else None
        if before is not None and before.caller == record.caller:
            fields = [*before.fields, *record.fields]
            joined[-1] = before._replace(text=before.text + record.text, fields=fields)
        else:
            joined.append(record)
    return joined


def message(record: Record, ns: int, host: bytes) -> bytes:
    """The record as an RFC 5424 message, written at this time.

    The program is `kernel`, or what the tag in front of the text says where another program wrote
    it (a facility other than kern). Its fields are parameters of one element.
    """
    data = element(_ELEMENT, record.fields) if record.fields else b"-"
    if record.priority < 8 * USER:
        return compose(record.priority, ns, host, (b"kernel", None), record.text, data)
    program, procid, text = split_tag(record.text)
    return compose(record.priority, ns, host, (program, procid), text, data)


def _unescape(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), text)
