"""The hop record: who passed a message on, as which of its messages, so that gaps can be proved.

It is one element of RFC 5424 structured data, in front of all others, with a parameter a hop, the
oldest first (§6.3.3 lets a name come again, §6.3.2 forbids a second element of the same id):

    [relay@32473 hop="edge01/siem/5f3ac0de9b1f2a44/1734" hop="hub/archive/0b6f…/98"]

A value is a relay's name, its pipe, the epoch of the numbers (16 hexadecimal digits) and the
message's number in the pipe (64 bits). Within an epoch no number names two messages, and a message
that is sent again has the number that it had. In front of a hop to which the message came with a
certificate stands `peer="NAME"`, the name in that. 32473 is the enterprise number for documentation
(RFC 5612); Relay has none of its own.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from relay.wire.escape import escape_text
from relay.wire.message import elements, split_data, view
from relay.wire.rare import rare
from relay.wire.sender import LOCAL, address_of, certificate_of

SD_ID = b"relay@32473"
SEQUENCE_ID_MAX = 2147483647  # RFC 5424 §7.3.1: it goes on at 1 then

_UNSAFE = re.compile(rb'[/"\\\]]')  # would divide a value, or need escaping in it
_VALUE = rb'([^"\\\]]{1,400})/([0-9a-f]{16})/(\d{1,20})'
_HOP = rare(rb'hop="(%s)"' % _VALUE)
_PARAMETER = rare(rb'(?s) ([^=]+="(?:[^"\\\]]++|\\.)*+")')
# As `Hop.stamp` writes it; the last hop is the one before us.
_STAMPED = re.compile(
    rb'<\d{1,3}>1 (?:[^ ]{1,512}+ ){5}+\[relay@32473 (?:(?:hop|peer)="[^"\\\]]*+" )*+hop="%b"\]'
    % _VALUE
)
_FIELDS = re.compile(rb"(?:[^ ]{1,512}+ ){6}")
_OPENING = b"[" + SD_ID + b" "


class Passage(NamedTuple):
    """One hop of a message, as it was read."""

    upstream: bytes  # NAME/PIPE
    epoch: bytes
    number: int


def upstream_text(upstream: bytes) -> str:
    """For people: a name comes from whoever can send, and must not break out of its line."""
    return escape_text([upstream])[0].decode()


@dataclass(slots=True, eq=False, repr=False)
class Hop:
    """What a pipe writes into the messages that it sends to one destination."""

    relay: str
    pipe: str
    epoch: str  # 16 hexadecimal digits
    version: str
    renumbered: Callable[[], int] = int  # how often: each time another epoch begins
    base: int | None = None  # number of the first message stamped: `sequenceId` counts from there
    _mine: bytes = field(init=False)  # how our own values begin, with and without the epoch
    _value: bytes = field(init=False)
    _software: bytes = field(init=False)

    def __post_init__(self) -> None:
        self._mine = b"%b/%b/" % (_safe(self.relay), _safe(self.pipe))
        self.renew()
        self._software = b'software="relay" swVersion="%b"' % _safe(self.version[:32])

    def renew(self) -> None:
        """Called before a batch: its epoch may be another one."""
        epoch = (int(self.epoch, 16) + self.renumbered()) % (1 << 64)
        self._value = b'hop="%b%016x/' % (self._mine, epoch)

    def stamp(self, message: bytes, sender: str, number: int, *, made: bool) -> bytes:
        """The message, RFC 5424 to the letter, with the record.

        Elements `origin` and `meta` that it has are its originator's, and stay. Otherwise `origin`
        (§7.2) has the address it came from; where its header was `made` here we are the originator,
        and `origin` names us. An earlier hop of this very pipe is replaced: a loop adds nothing.
        Whatever else the element says stays in front of our hop.
        """
        if self.base is None:
            self.base = number
        head, rest = message[: (at := _data_at(message))], message[at:]
        found, text = split_data(rest)
        names = {name for name, _ in found}
        hops = _peer(sender) + self._value + b'%d"' % number
        if SD_ID in names:
            hops = b" ".join([*self._others(found), hops])
        origin = b"" if b"origin" in names else self._origin(sender, made=made)
        meta = b""
        if b"meta" not in names:
            meta = b'[meta sequenceId="%d"]' % ((number - self.base) % SEQUENCE_ID_MAX + 1)
        rest = b"".join([element for name, element in found if name != SD_ID])
        return b"%b[relay@32473 %b]%b%b%b%b" % (head, hops, origin, meta, rest, text)

    def _others(self, found: Sequence[tuple[bytes, bytes]]) -> Iterator[bytes]:
        """All that others have said. A `peer` belongs to the hop behind it, or to nobody."""
        for name, element in found:
            if name != SD_ID:
                continue
            peer = b""
            for parameter in _PARAMETER().finditer(element, len(_OPENING) - 1):
                text = parameter[1]
                hop = _HOP().fullmatch(text)
                if text.startswith(b"peer="):
                    peer = text + b" "
                    continue
                if hop is None:
                    yield text
                elif not hop[1].startswith(self._mine):
                    yield peer + text
                peer = b""

    def _origin(self, sender: str, *, made: bool) -> bytes:
        parameters = []
        if sender and sender != LOCAL:
            parameters.append(b'ip="%b"' % _safe(address_of(sender)))
        if made:
            parameters.append(self._software)
        return b"[origin %b]" % b" ".join(parameters) if parameters else b""


def _peer(sender: str) -> bytes:
    certificate = certificate_of(sender)
    return b'peer="%b" ' % _safe(certificate) if certificate else b""


def _safe(text: str) -> bytes:
    """As a part of a value: what would divide or end it becomes `_`."""
    return _UNSAFE.sub(b"_", text.encode("utf-8", "replace"))


def _data_at(message: bytes) -> int:
    """Where STRUCTURED-DATA starts: behind six fields."""
    found = _FIELDS.match(message)
    assert found is not None, "not RFC 5424"
    return found.end()


def last_passage(message: bytes) -> Passage | None:
    """The hop before us, if the message says which that was; never raises."""
    found = _STAMPED.match(message)
    if found:
        return Passage(found[1], found[2], int(found[3]))
    passages = every_passage(message) if _OPENING in message else []
    return passages[-1] if passages else None


def every_passage(message: bytes) -> list[Passage]:
    """All hops that the message tells of, the oldest first, wherever the element stands."""
    return [
        Passage(found[1], found[2], int(found[3]))
        for name, parameters in elements(view(message).structured_data or b"")
        if name == SD_ID
        for key, value in parameters
        if key == b"hop" and (found := re.fullmatch(_VALUE, value))
    ]
