"""Formats out: what a message becomes when its destination wants one kind of header only.

Conversions keep the origin's host and every character of the text: what the new header has no
place for, or does not allow, stands in front of the text.
"""

import json
import re
from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Literal, NamedTuple

from relay.wire.hop import Hop
from relay.wire.message import HeaderView, elements, view, well_formed, well_formed_data
from relay.wire.priority import facility_name, severity_name
from relay.wire.sender import LOCAL, address_of, certificate_of
from relay.wire.timestamp import Stamp, bsd, rfc3339

Format = Literal["preserve", "rfc5424", "rfc3164", "json"]

# RFC 5424 §6: the lengths of the fields, PRINTUSASCII only.
_HOST = re.compile(rb"[!-~]{1,255}(?<![^:]:)")  # one that ends in a colon reads as a tag
_PROGRAM = re.compile(rb"[!-~]{1,48}")
_PROCID = re.compile(rb"[!-~]{1,128}")
_MSGID = re.compile(rb"[!-~]{1,32}")
# §6.2.3: no leap second, at most six digits of a fraction, an offset.
_STAMP = re.compile(
    rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,6})?)\d*(Z|[+-]\d\d:\d\d)"
)  # fmt: skip
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_PLAIN = re.compile(rb"<\d{1,3}>[A-Z][a-z]{2} [ 1-3]\d [\d:]{8} (?! )")


class Form(NamedTuple):
    """A format, what this machine is called in it, and the hop record that it writes, if any."""

    kind: Format
    our_name: str
    hop: Hop | None = None  # only with formats that have structured data: preserve and rfc5424


def convert(
    messages: Sequence[bytes],
    senders: Sequence[str],
    form: Form,
    *,
    received_ns: int,
    zone: tzinfo,
    numbers: Sequence[int] = (),
) -> Sequence[bytes]:
    """The messages in this form; `preserve` gives back the same object.

    The sender is the host of a message that names none, or our name if it is "local"; `zone` is
    that of stamps without one. With a hop record all are RFC 5424 to the letter, those that were
    not before included; their `numbers` are parallel, too.
    """
    if form.hop is not None:
        form.hop.renew()
        return [
            form.hop.stamp(message, sender, number, made=False)
            if well_formed(message)
            else form.hop.stamp(
                _rfc5424(message, _Receipt(sender, form.our_name, received_ns, zone)),
                sender, number, made=True,
            )
            for message, sender, number in zip(messages, senders, numbers, strict=True)
        ]  # fmt: skip
    if form.kind == "preserve":
        return messages
    to_format = _CONVERSIONS[form.kind]
    return [
        to_format(message, _Receipt(sender, form.our_name, received_ns, zone))
        for message, sender in zip(messages, senders, strict=True)
    ]


class _Receipt(NamedTuple):
    """How one message came."""

    sender: str
    our_name: str
    received_ns: int
    zone: tzinfo

    def host(self) -> str:
        """The host of a message that names none."""
        return self.our_name if self.sender == LOCAL else address_of(self.sender)

    def host_field(self) -> bytes:
        return self.host().encode() or b"-"

    def moment(self, stamp: Stamp | None) -> int:
        """When the message was written, or when it came if it does not say."""
        return stamp.to_ns(self.received_ns, self.zone) if stamp else self.received_ns


def _rfc5424(message: bytes, receipt: _Receipt) -> bytes:
    if well_formed(message):
        return message
    header = view(message)
    front: list[bytes] = []
    host, program, procid, msgid = header.host, header.program, header.procid, header.msgid
    if host is not None and not _HOST.fullmatch(host):
        front.append(host)
        host = None
    if not _fits(_PROGRAM, program) or not _fits(_PROCID, procid):
        front.append(_tag(program, procid) + b":")
        program = procid = None
    if not _fits(_MSGID, msgid):
        front.append(msgid or b"")
        msgid = None
    data = header.structured_data
    if data is not None and not well_formed_data(data):
        front.append(data)
        data = None
    fields = [
        _rfc5424_stamp(header.stamp, receipt),
        host or receipt.host_field(),
        program or b"-",
        procid or b"-",
        msgid or b"-",
        data or b"-",
        *front,
        *_nonempty(header.text),
    ]
    return b"<%d>1 %b" % (_priority(header), b" ".join(fields))


def _rfc3164(message: bytes, receipt: _Receipt) -> bytes:
    header = view(message)
    if _is_plain(message, header):
        return message
    parts = [bsd(receipt.moment(header.stamp), receipt.zone), header.host or receipt.host_field()]
    if header.program is not None or header.procid is not None:
        parts.append(_tag(header.program, header.procid) + b":")
    parts += _nonempty(header.msgid, header.structured_data, header.text)
    return b"<%d>%b" % (_priority(header), b" ".join(parts))


def _json(message: bytes, receipt: _Receipt) -> bytes:
    header = view(message)
    certificate = certificate_of(receipt.sender)
    return _encode(
        {
            "priority": _priority(header),
            "facility": facility_name(header.facility),
            "severity": severity_name(header.severity),
            "timestamp": _utc(header.stamp, receipt, digits_max=9).decode()
            if header.stamp
            else None,
            "host": _optional(header.host) or receipt.host(),
            "program": _optional(header.program),
            "procid": _optional(header.procid),
            "msgid": _optional(header.msgid),
            "structured_data": _structured(header.structured_data or b""),
            "message": _text(header.text),
            "received": rfc3339(receipt.received_ns).decode(),
            "sender": address_of(receipt.sender),
            **({"peer_certificate": certificate} if certificate else {}),
        }
    ).encode("utf-8", "backslashreplace")


_CONVERSIONS: dict[str, Callable[[bytes, _Receipt], bytes]] = {
    "rfc5424": _rfc5424,
    "rfc3164": _rfc3164,
    "json": _json,
}


def _priority(header: HeaderView) -> int:
    return header.facility * 8 + header.severity


def _fits(field: re.Pattern[bytes], value: bytes | None) -> bool:
    return value is None or field.fullmatch(value) is not None


def _tag(program: bytes | None, procid: bytes | None) -> bytes:
    return (program or b"-") + (b"[%b]" % procid if procid is not None else b"")


def _nonempty(*parts: bytes | None) -> list[bytes]:
    return [part for part in parts if part]


def _is_plain(message: bytes, header: HeaderView) -> bool:
    """Whether this is RFC 3164 as its §4.1 has it, with a host and nothing else in the stamp."""
    return (
        header.host is not None
        and header.stamp is not None
        and len(header.stamp.text) == len("Mmm dd hh:mm:ss")
        and _PLAIN.match(message) is not None
    )


def _rfc5424_stamp(stamp: Stamp | None, receipt: _Receipt) -> bytes:
    """The origin's own stamp, with its precision and offset, where RFC 5424 allows it."""
    found = _STAMP.fullmatch(stamp.text) if stamp else None
    if found:
        return found[1] + found[2]
    return _utc(stamp, receipt, digits_max=6)


def _utc(stamp: Stamp | None, receipt: _Receipt, *, digits_max: int) -> bytes:
    """RFC 3339 in UTC to the millisecond, finer only where the origin was."""
    fraction = stamp.nanosecond if stamp else 0
    digits = 3 if fraction % 1_000_000 == 0 else 6 if fraction % 1000 == 0 else digits_max
    return rfc3339(receipt.moment(stamp), digits)


def _text(value: bytes) -> str:
    r"""The value as UTF-8, with `\xff` for each octet that is not."""
    return value.decode("utf-8", "backslashreplace")


def _optional(value: bytes | None) -> str | None:
    return None if value is None else _text(value)


def _structured(data: bytes) -> dict[str, dict[str, str | list[str]]]:
    """Elements by id, values by name; a name that comes again (§6.3.3 allows it) has a list."""
    found: dict[str, dict[str, str | list[str]]] = {}
    for name, parameters in elements(data):
        element = found.setdefault(_text(name), {})
        for key, value in parameters:
            earlier = element.get(_text(key))
            if earlier is None:
                element[_text(key)] = _text(value)
            elif isinstance(earlier, list):
                earlier.append(_text(value))
            else:
                element[_text(key)] = [earlier, _text(value)]
    return found
