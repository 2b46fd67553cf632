"""Formats out: what a message becomes when its destination wants one kind of header only.

Conversions keep the origin's host and every character of the text: what the new header has no
place for, or does not allow, stands in front of the text.
"""

import re
from collections.abc import Callable, Sequence
from datetime import tzinfo
from functools import lru_cache
from typing import Literal, NamedTuple

from relay.wire import json_line
from relay.wire.fronts import CUT_OCTETS_MAX, Kind, fronts, is_versioned
from relay.wire.hop import Hop
from relay.wire.json_line import escaped, quoted
from relay.wire.message import HeaderView, exact_view, join_tag, well_formed, well_formed_data
from relay.wire.sender import LOCAL, address_of
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
_UNCUT = (b"", b"", b"")
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
    receipt = Receipt(form.our_name, received_ns, zone)
    if form.hop is not None:
        form.hop.renew()
        made = _converted(messages, senders, "rfc5424", receipt)
        return [
            form.hop.stamp(after, sender, number, made=after is not before)
            for before, after, sender, number in zip(messages, made, senders, numbers, strict=True)
        ]
    if form.kind == "preserve":
        return messages
    return _converted(messages, senders, form.kind, receipt)


def _converted(
    messages: Sequence[bytes], senders: Sequence[str], kind: Kind, receipt: "Receipt"
) -> list[bytes]:
    """Plain headers the short way, others the exact one; what has the format stays the object."""
    # RFC 5424 has no tag to look for; that takes 0.2 µs, and senders of a batch are alike.
    if messages and is_versioned(messages[0]):
        return _converted5424(messages, senders, kind, receipt)
    exact = EXACT[kind]
    plain = fronts(kind, receipt.received_ns // 10**9, receipt.zone)
    front_of = plain.by_head.get
    ends = _ends(senders, receipt) if kind == "json" else None
    escape = json_line.escaping(messages) if kind == "json" else None
    converted: list[bytes] = []
    for message, sender in zip(messages, senders, strict=True):
        head, _, text = message.partition(b": ") if len(message) <= CUT_OCTETS_MAX else _UNCUT
        front = front_of(head)
        if front is None or not text:
            found = plain.look(message, head, text)
            if found is None:
                converted.append(exact(message, sender, receipt))
                continue
            front, text = found
        if ends is not None:
            text = (escape(text) if escape else text) + ends[sender]
        converted.append(front + text if front else message)
    return converted


def _converted5424(
    messages: Sequence[bytes], senders: Sequence[str], kind: Kind, receipt: "Receipt"
) -> list[bytes]:
    """As `_converted`; texts are escaped together, for what their headers have says nothing."""
    exact = EXACT[kind]
    found, texts = fronts(kind, receipt.received_ns // 10**9, receipt.zone).of5424(messages)
    if kind == "json":
        ends = _ends(senders, receipt)
        return [
            exact(message, sender, receipt) if front is None else front + text + ends[sender]
            for message, sender, front, text in zip(
                messages, senders, found, json_line.all_escaped(texts), strict=True
            )
        ]
    return [
        front + text if front else exact(message, sender, receipt) if front is None else message
        for message, sender, front, text in zip(messages, senders, found, texts, strict=True)
    ]


class Receipt(NamedTuple):
    """How the messages of a batch came."""

    our_name: str
    received_ns: int
    zone: tzinfo

    def host(self, sender: str) -> str:
        """The host of a message that names none."""
        return self.our_name if sender == LOCAL else address_of(sender)

    def host_field(self, sender: str) -> bytes:
        return self.host(sender).encode() or b"-"

    def moment(self, stamp: Stamp | None) -> int:
        """When the message was written, or when it came if it does not say."""
        return stamp.to_ns(self.received_ns, self.zone) if stamp else self.received_ns


def _rfc5424(message: bytes, sender: str, receipt: Receipt) -> bytes:
    if well_formed(message):
        return message
    header = exact_view(message)
    front: list[bytes] = []
    host, program, procid, msgid = header.host, header.program, header.procid, header.msgid
    if host is not None and not _HOST.fullmatch(host):
        front.append(host)
        host = None
    if not _fits(_PROGRAM, program) or not _fits(_PROCID, procid):
        front.append(join_tag(program, procid))
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
        host or receipt.host_field(sender),
        program or b"-",
        procid or b"-",
        msgid or b"-",
        data or b"-",
        *front,
        *_nonempty(header.text),
    ]
    return b"<%d>1 %b" % (_priority(header), b" ".join(fields))


def _rfc3164(message: bytes, sender: str, receipt: Receipt) -> bytes:
    header = exact_view(message)
    if _is_plain(message, header):
        return message
    host = header.host or receipt.host_field(sender)
    parts = [bsd(receipt.moment(header.stamp), receipt.zone), host]
    if header.program is not None or header.procid is not None:
        parts.append(join_tag(header.program, header.procid))
    parts += _nonempty(header.msgid, header.structured_data, header.text)
    return b"<%d>%b" % (_priority(header), b" ".join(parts))


def _json(message: bytes, sender: str, receipt: Receipt) -> bytes:
    header = exact_view(message)
    stamp = _utc(header.stamp, receipt, digits_max=9) if header.stamp else None
    fields = [
        quoted(header.host) if header.host else json_line.named(receipt.host(sender)),
        *(b"null" if it is None else quoted(it)
          for it in (header.program, header.procid, header.msgid)),
    ]  # fmt: skip
    opening = json_line.opening(b"<%d>" % _priority(header), stamp)
    names = json_line.names(fields, json_line.structured(header.structured_data))
    return opening + names + escaped(header.text) + json_line.end(receipt.received_ns, sender)


EXACT: dict[Kind, Callable[[bytes, str, Receipt], bytes]] = {
    "rfc5424": _rfc5424,
    "rfc3164": _rfc3164,
    "json": _json,
}
"""What becomes of one message from this sender, whatever its header is."""


def _ends(senders: Sequence[str], receipt: Receipt) -> dict[str, bytes]:
    return {sender: json_line.end(receipt.received_ns, sender) for sender in set(senders)}


def _priority(header: HeaderView) -> int:
    return header.facility * 8 + header.severity


def _fits(field: re.Pattern[bytes], value: bytes | None) -> bool:
    return value is None or field.fullmatch(value) is not None


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


def _rfc5424_stamp(stamp: Stamp | None, receipt: Receipt) -> bytes:
    """The origin's own stamp, with its precision and offset, where RFC 5424 allows it."""
    if stamp is None:
        return _of_receipt(receipt.received_ns)
    found = _STAMP.fullmatch(stamp.text)
    if found:
        return found[1] + found[2]
    return _utc(stamp, receipt, digits_max=6)


@lru_cache(maxsize=16)  # the same for a batch
def _of_receipt(received_ns: int) -> bytes:
    return rfc3339(received_ns)


def _utc(stamp: Stamp, receipt: Receipt, *, digits_max: int) -> bytes:
    """RFC 3339 in UTC to the millisecond, finer only where the origin was."""
    fraction = stamp.nanosecond
    digits = 3 if fraction % 1_000_000 == 0 else 6 if fraction % 1000 == 0 else digits_max
    return rfc3339(receipt.moment(stamp), digits)
