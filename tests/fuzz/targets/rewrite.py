from relay.core.mask import Mask, Masking
from relay.wire.formats import Form, convert
from relay.wire.message import view
from relay.wire.priority import priority
from relay.wire.rewrite import Change, rewrite
from relay.wire.timestamp import zone
from tests.fuzz.target import Octets
from tests.fuzz.targets.header import WORDS as WORDS

CHANGES = (
    Change(severity=3), Change(facility=16), Change(host=b"edge"), Change(program=b"app"),
    Change(data=((b"site@32473", b'[site@32473 a="b"]'),)),
    Change(4, 2, b"edge", b"app", ((b"x@1", b'[x@1 y="z"]'),)),
)  # fmt: skip
MASKS = [
    Masking.of(Mask(regex=regex))
    for regex in ("[0-9]{2,}", "a(b)?c", "(?:host|su) *([^ ]+)", "(?s)<.", r"\xff+", "((a)|(:))")
]


def run(data: bytes) -> None:
    """A header field that is set is what the message then says, and its text is untouched.

    Where a header has no place for it, RFC 5424 always has one. Doing it again changes nothing. Of
    a masked message nothing is left but what the expression did not match, and its PRI part.
    """
    octets = Octets(data)
    change, mask = octets.choice(CHANGES), octets.choice(MASKS)
    message = octets.rest()
    check_mask(mask, message)
    after = rewrite(message, change)
    assert after == rewrite(message, change, view(message))
    if after is None:
        [message] = convert(
            [message], ["192.0.2.7"], Form("rfc5424", "us"), received_ns=0, zone=zone("UTC")
        )
        after = rewrite(message, change)
        assert after is not None
    assert rewrite(after, change) == after
    header, before = view(after), view(message)
    for name in ("facility", "severity", "host", "program"):
        wanted = getattr(change, name)
        was = getattr(before, name)
        assert getattr(header, name) == (was if wanted is None else wanted), name
    assert header.stamp == before.stamp
    if change.data:
        assert b"[" + change.data[0][0] in (header.structured_data or b"")


def check_mask(mask: Masking, message: bytes) -> None:
    masked = mask.mask(message)
    _, at = priority(message)
    hidden: set[int] = set()
    for start, end in mask._spans(message):
        hidden.update(range(max(start, at), end))
    kept = bytes(octet for place, octet in enumerate(message) if place not in hidden)
    assert masked.replace(b"***", b"") == kept or b"*" in message
    assert masked.startswith(message[:at])
