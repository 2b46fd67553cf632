from relay.wire import normalise as module
from relay.wire.dialects import named_host
from relay.wire.message import recognised
from relay.wire.normalise import normalise
from relay.wire.priority import priority
from tests.fuzz.target import Octets
from tests.fuzz.targets.header import WORDS as WORDS

HOSTS = (None, b"edge01")
SENDERS = ("192.0.2.7", "2001:db8::1", "fe80::1%eth0")
NS = 1795418925_123_000_000


def run(data: bytes) -> None:
    """What a message lacks is put in front of it, once: it never grows from hop to hop.

    Nothing behind the PRI part is changed or lost, and what earlier messages were changes nothing.
    """
    octets = Octets(data)
    flags = octets.number()
    local, restamp = bool(flags & 1), bool(flags & 2)
    host, sender = octets.choice(HOSTS), octets.choice(SENDERS)
    messages = octets.rest().split(b"\x01")

    def normalised(texts: list[bytes], seconds: int, *, restamp: bool) -> tuple[list[bytes], int]:
        found, invalid = normalise(
            texts, [sender] * len(texts), received_ns=NS + seconds * 10**9,
            host=host, local=local, restamp=restamp,
        )  # fmt: skip
        return list(found), invalid

    module._KNOWN.clear()
    module._KNOWN_LOCAL.clear()
    cold = [normalised([message], 0, restamp=restamp) for message in messages]
    found, invalid = normalised(messages, 0, restamp=restamp)
    assert (found, invalid) == ([one for [one], _ in cold], sum(count for _, count in cold))
    for before, after in zip(messages, found, strict=True):
        value, at = priority(after)
        assert value is not None
        assert value >= 8 or not local
        assert recognised(after, at)
        if not restamp:
            check_kept(before, after)
            assert normalised([after], 77, restamp=False) == ([after], 0)
        else:
            again = normalised([after], 0, restamp=True)
            assert again == ([after], 0)


def check_kept(before: bytes, after: bytes) -> None:
    value, at = priority(before)
    assert after.endswith(before[at:])
    if value is not None and recognised(before, at):
        assert len(after) <= len(before) + 1  # kern became user: <7> is <15>
    named = named_host(before, at)
    assert named is None or named in after
