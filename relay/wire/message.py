"""What a message says about itself: the header view of RFC 5424, RFC 3164 and their dialects.

Total: every message has a view. What no field can hold stays in `text`.
"""

import re
from typing import NamedTuple

from relay.wire import priority as pri
from relay.wire.dialects import Dialect, place, read_host, read_tag
from relay.wire.notation import is_moment, parse_rfc3339, whole_stamp
from relay.wire.plain import ELEMENT, NAME, PLAIN3164, STRICT_DATA
from relay.wire.timestamp import Stamp

Elements = list[tuple[bytes, list[tuple[bytes, bytes]]]]

_BOM = b"\xef\xbb\xbf"

# RFC 5424 §6, as it is meant to be read (twice as long as a field may be, any octet in it) and, in
# `_STRICT`, as it is meant to be written. A host that ends in a colon is a tag: Junos puts a 3164
# tail behind a 5424 head. `fe80::` is a host.
_FIELD = rb"([^\x00-\x20\x7f]{1,512}+)"
_HOST_FIELD = _FIELD + rb"(?<![^:]:)"
_HEAD5424 = re.compile(
    rb"(-|\d{4}-[\d-]{5}T[\d:]{8}[Z\d:.+-]{0,32}) %s %s %s %s (?=\[|-(?: |\Z))"
    % (_HOST_FIELD, _FIELD, _FIELD, _FIELD)
)
_STRUCTURED = re.compile(
    rb"(?:-|(?:%s)++)(?= |\Z)" % (ELEMENT % (NAME + rb"++", NAME + rb"++")), re.DOTALL
)
_STRICT = re.compile(
    rb"<(?:0|[1-9]\d?|1[0-8]\d|19[01])>1 "
    rb"(?:-|(\d{4}-(?:0[1-9]|1[0-2])-\d\dT(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
    rb"(?:\.\d{1,6})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d))) "
    rb"[!-~]{1,255}(?<![^:]:) [!-~]{1,48} [!-~]{1,128} [!-~]{1,32} " + STRICT_DATA + rb"(?= |\Z)",
    re.DOTALL,
)
_WHOLE_ELEMENT = re.compile(ELEMENT % (rb"(" + NAME + rb"++)", NAME + rb"++"), re.DOTALL)
_PARAMETER = re.compile(rb' ([^=]+)="((?:[^"\\\]]++|\\.)*+)"', re.DOTALL)
_NILVALUES = {b"-": None}
_ESCAPED = re.compile(rb'\\(["\\\]])')


class HeaderView(NamedTuple):
    """The header fields of one message; `None` is a field that is missing or NILVALUE.

    A named tuple: a frozen dataclass of so many fields takes 1.1 µs to make, this 0.3.
    """

    priority: int | None
    facility: int
    severity: int
    dialect: Dialect  # `none`: no stamp is found, and all is text
    stamp: Stamp | None
    host: bytes | None
    program: bytes | None  # APP-NAME, or TAG without its process id
    procid: bytes | None
    msgid: bytes | None
    structured_data: bytes | None  # as it stands in the message
    text: bytes  # MSG without BOM, or the content behind the tag


def view(message: bytes) -> HeaderView:
    if message.find(b">1 ", 2, 7) < 0 and (found := PLAIN3164.match(message)):
        return _plain(message, found) or exact_view(message)
    return exact_view(message)


def exact_view(message: bytes) -> HeaderView:
    """As `view`, a step at a time: what a plain header means, too, is decided here."""
    value, at = pri.priority(message)
    return _rfc5424(message, value, at) or _rfc3164(message, value, at)


def data5424(message: bytes) -> bytes | None:
    """As `view(message).structured_data` of RFC 5424, for less; empty where it has none.

    None: it has another header.
    """
    _, at = pri.priority(message)
    head = _head5424(message, at)
    if not head:
        return None
    data = _STRUCTURED.match(message, head[2])
    return b"" if data is None or data[0] == b"-" else data[0]


def recognised(message: bytes, at: int) -> bool:
    """Whether a header that needs no stamp put in front starts here, behind the PRI part.

    The same as `view(message).dialect != "none"`.
    """
    return place(message, at) is not None or _head5424(message, at) is not None


def stamp_of(message: bytes) -> Stamp | None:
    """As `view(message).stamp`, for less."""
    _, at = pri.priority(message)
    if head := _head5424(message, at):
        return head[0]
    found = place(message, at)
    return found.stamp if found else None


def stamp_span(message: bytes, at: int) -> tuple[int, int] | None:
    """Where the stamp stands in the header that starts here; the NILVALUE is one, too.

    An empty span: it is among the fields of the text. `None`: no header is recognised.
    """
    if _head5424(message, at):
        return at + 2, message.index(b" ", at + 2)
    found = place(message, at)
    return (found.start, found.end) if found else None


def well_formed(message: bytes) -> bool:
    """Whether this is an RFC 5424 message to the letter of §6, field lengths included."""
    found = _STRICT.match(message)
    return found is not None and (found[1] is None or is_moment(found[1]))


def well_formed_data(structured_data: bytes) -> bool:
    """Whether this is STRUCTURED-DATA to the letter of §6.3."""
    return re.fullmatch(STRICT_DATA, structured_data, re.DOTALL) is not None


def split_data(text: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The elements at the start of this, by id and as they stand, and what follows them.

    `text` starts with STRUCTURED-DATA to the letter of §6.3, NILVALUE included.
    """
    if text.startswith(b"-"):
        return [], text[1:]
    found: list[tuple[bytes, bytes]] = []
    at = 0
    while element := _WHOLE_ELEMENT.match(text, at):
        found.append((element[1], element[0]))
        at = element.end()
    return found, text[at:]


def elements(structured_data: bytes) -> Elements:
    """The elements of STRUCTURED-DATA with their parameters, values unescaped (§6.3.3)."""
    found: Elements = []
    for part in _WHOLE_ELEMENT.finditer(structured_data):
        name, element = part[1], part[0][1:-1]
        parameters = _PARAMETER.findall(element, len(name))
        if b"\\" in element:
            parameters = [(key, _ESCAPED.sub(rb"\1", value)) for key, value in parameters]
        found.append((name, parameters))
    return found


def header_places(message: bytes) -> tuple[int, int, int, int] | None:
    """Where an RFC 3164 message has its host and its program: two starts, each with its end.

    A start that is its own end is where a missing field belongs. None for other headers, and for
    dialects that have no such place.
    """
    _, at = pri.priority(message)
    found = None if _head5424(message, at) else place(message, at)
    if found is None or found.host or found.front or found.start == found.end:
        return None
    dialect, host, text = read_host(message, found)
    if (
        dialect == "cri"
        or not message.startswith(b" ", found.end)
        or (dialect == "cisco" and not host)
    ):
        return None
    marked, program, _, _, _ = read_tag(message, text)
    if marked:
        return None
    start = message.index(host, found.end) if host else text
    end = text if program is None else text + len(program)
    return start, start + len(host or b""), text, end


def split_tag(text: bytes) -> tuple[bytes | None, bytes | None, bytes]:
    """Program, process id and the rest of a text that may begin with a tag, as in RFC 3164."""
    _, program, procid, front, end = read_tag(text, 0)
    return program, procid, front + text[end:]


def join_tag(program: bytes | None, procid: bytes | None) -> bytes:
    """`PROGRAM[PROCID]:`, of which at least one is there."""
    return b"%b%b:" % (program or b"-", b"[%b]" % procid if procid is not None else b"")


def _plain(message: bytes, found: re.Match[bytes]) -> HeaderView | None:
    prefix, bsd_stamp, rfc3339_stamp, host, program, procid = found.groups()
    stamp = whole_stamp(bsd_stamp or rfc3339_stamp)
    if stamp is None:
        return None
    value = pri.PRI_BY_PREFIX[prefix]
    text = message[found.end() :]
    return HeaderView(
        value, value >> 3, value & 7, "rfc3164", stamp, host, program, procid, None, None, text
    )


def _rfc5424(message: bytes, value: int | None, at: int) -> HeaderView | None:
    head = _head5424(message, at)
    if not head:
        return None
    stamp, fields, end = head
    host, program, procid, msgid = map(_NILVALUES.get, fields, fields)
    data = _STRUCTURED.match(message, end)
    structured_data = None if data is None or data[0] == b"-" else data[0]
    text = message[data.end() + 1 if data else end :].removeprefix(_BOM)
    return HeaderView(
        value, *_split(value), "rfc5424", stamp, host, program, procid, msgid, structured_data, text
    )  # fmt: skip


def _head5424(
    message: bytes, at: int
) -> tuple[Stamp | None, tuple[bytes, bytes, bytes, bytes], int] | None:
    if not message.startswith(b"1 ", at):
        return None
    found = _HEAD5424.match(message, at + 2)
    if not found:
        return None
    stamp = None
    if found[1] != b"-":
        parsed = parse_rfc3339(message, at + 2)
        if not parsed or parsed[1] != found.end(1):
            return None
        stamp = parsed[0]
    _, host, program, procid, msgid = found.groups()
    return stamp, (host, program, procid, msgid), found.end()


def _rfc3164(message: bytes, value: int | None, at: int) -> HeaderView:
    found = place(message, at)
    if not found:
        return HeaderView(
            value, *_split(value), "none", None, None, None, None, None, None, message[at:]
        )
    dialect, host, end = read_host(message, found)
    if dialect == "fields":
        tagged, program, procid, front = None, None, None, b""
    else:
        tagged, program, procid, front, end = read_tag(message, end)
    text = found.front + front + message[end:]
    dialect = tagged or dialect
    return HeaderView(
        value, *_split(value), dialect, found.stamp, host, program, procid, None, None, text
    )


def _split(value: int | None) -> tuple[int, int]:
    return divmod(pri.DEFAULT if value is None else value, 8)
