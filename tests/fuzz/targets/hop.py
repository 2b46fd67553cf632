from relay.wire.formats import Form, convert
from relay.wire.hop import Hop, every_passage, last_passage, upstream_text
from relay.wire.message import view, well_formed
from relay.wire.timestamp import zone
from tests.fuzz.target import Octets

SENDERS = ("192.0.2.7", "2001:db8::1", "local", 'a"b]c\\')
EPOCH = "5f3ac0de9b1f2a44"
WORDS = (
    b"<13>1 - h a p m ", b'[relay@32473 hop="edge/siem/5f3ac0de9b1f2a44/1"]', b' hop="', b'"]',
    b"[relay@32473 ", b"[origin ", b'[meta sequenceId="1"]', b"\\]", b'\\"', b"[x@1 ", b"- ",
)  # fmt: skip


def run(data: bytes) -> None:
    """Any message says who passed it on, or does not; one that we stamp says so, and once only.

    Stamped messages are RFC 5424 to the letter, keep their text, and do not grow in a loop.
    """
    octets = Octets(data)
    sender, number = octets.choice(SENDERS), octets.number(2)
    message = octets.rest()
    last = last_passage(message)
    passages = every_passage(message)
    # Who knows the form at a glance does not look at what stands around it, such as a second
    # element of the same id, which RFC 5424 §6.3.2 forbids.
    assert not passages or last == passages[-1] or message.count(b"[relay@32473 ") > 1
    for each in passages:
        text = upstream_text(each.upstream)
        assert "\n" not in text
        assert each.number >= 0

    def stamped(text: bytes, by: Hop, number: int) -> bytes:
        form = Form("rfc5424", "us", by)
        [found] = convert([text], [sender], form, received_ns=0, zone=zone("UTC"), numbers=[number])
        return found

    ours, other = (Hop(name, "siem", EPOCH, "1") for name in ("edge01", "hub"))
    once = stamped(message, ours, 100 + number)
    assert well_formed(once)
    [converted] = convert(
        [message], [sender], Form("rfc5424", "us"), received_ns=0, zone=zone("UTC")
    )
    assert view(once).text == view(converted).text
    passage = last_passage(once)
    assert passage is not None
    assert (passage.upstream, passage.number) == (b"edge01/siem", 100 + number)
    twice = stamped(stamped(once, other, 7), ours, 100 + number)
    again = stamped(stamped(twice, other, 7), ours, 100 + number)
    assert len(again) == len(twice)
    upstreams = [each.upstream for each in every_passage(again)]
    assert upstreams.count(b"edge01/siem") == upstreams.count(b"hub/siem") == 1
    assert upstreams[-2:] == [b"hub/siem", b"edge01/siem"]
