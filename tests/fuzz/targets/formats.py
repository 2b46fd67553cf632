import json
import re
from collections.abc import Callable

from relay.wire.formats import EXACT, Form, Format, Receipt, convert
from relay.wire.message import view, well_formed
from relay.wire.notation import ZONE
from relay.wire.timestamp import zone
from tests.fuzz.target import Octets
from tests.fuzz.targets.header import MOMENTS, ZONES
from tests.fuzz.targets.header import WORDS as WORDS

SENDERS = ("192.0.2.7", "2001:db8::1", "fe80::1%eth0", "local", "")
US = "relay.example.net"
# One that RFC 3164 can carry: behind its stamp, a number may be the year, and a word the zone.
HOST = re.compile(
    rb"(?!%%|(?:19|20)\d\d\Z|%s(?::|\Z)|TZ[+-])[A-Za-z0-9_.:@/%%-]{1,255}(?<![^:]:)" % ZONE
)


def run(data: bytes) -> None:
    """A conversion never raises, gives one well-formed message or line, and loses no word.

    What has come in the format goes out unchanged, so that nothing grows from hop to hop; nor does
    it on a way through hops that write one format and the other. The short way to a format gives
    what the exact one does.
    """
    octets = Octets(data)
    sender = octets.choice(SENDERS)
    received, at_zone = octets.choice(MOMENTS), octets.choice(ZONES)
    message = octets.rest()

    def converted(text: bytes, kind: Format) -> bytes:
        form = Form(kind, US)
        [found] = convert([text], [sender], form, received_ns=received, zone=at_zone)
        return found

    for kind, exact in EXACT.items():
        assert converted(message, kind) == exact(message, sender, Receipt(US, received, at_zone))
    header = view(message)
    rfc5424, rfc3164 = converted(message, "rfc5424"), converted(message, "rfc3164")
    assert well_formed(rfc5424)
    assert converted(rfc5424, "rfc5424") == rfc5424
    assert header.text in rfc5424
    # Not always `rfc3164`: the text may begin as a dialect's does, with `: %MNEMONIC` say.
    assert view(rfc3164).dialect not in ("none", "rfc5424")
    host = header.host or (US if sender == "local" else sender).encode() or b"-"
    later = Form("rfc3164", "other")
    [again] = convert(
        [rfc3164], ["192.0.2.9"], later, received_ns=received + 10**9, zone=zone("UTC")
    )
    if HOST.fullmatch(host):
        assert view(rfc3164).host == host
        assert again == rfc3164
    assert rfc3164 == message or rfc3164.endswith(header.text)
    check_words(message, rfc5424)
    check_words(message, rfc3164)
    check_json(converted(message, "json"), message, sender)
    check_hops(rfc5424, converted)
    check_hops(message, converted)


def check_words(message: bytes, out: bytes) -> None:
    """All but those of the stamp, which is written anew."""
    header = view(message)
    fields = (header.host, header.program, header.procid, header.msgid, header.structured_data,
              header.text)  # fmt: skip
    for field in filter(None, fields):
        for word in re.findall(rb"[A-Za-z0-9]{2,}", field):
            assert word in out, word


def check_json(line: bytes, message: bytes, sender: str) -> None:
    assert b"\n" not in line
    assert b"\r" not in line
    read = json.loads(line)
    assert read["sender"] == sender
    assert read["message"] == view(message).text.decode("utf-8", "backslashreplace")


def check_hops(message: bytes, converted: Callable[[bytes, Format], bytes]) -> None:
    """Two round trips may move what has no field; from then on nothing is added."""
    lengths = []
    for _ in range(4):
        message = converted(converted(message, "rfc3164"), "rfc5424")
        lengths.append(len(message))
    assert lengths[3] <= lengths[2] <= lengths[1], lengths
