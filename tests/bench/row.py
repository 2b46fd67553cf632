"""The rows: which loads are compared, or sent past both programs."""

from dataclasses import dataclass

from tests.bench.load import Load

_TCP = Load("tcp", 2_000_000)
_UDP = Load("udp", 500_000, rate=100_000, burst=100)
_UDP_BURST = Load("udp", 500_000, rate=100_000, burst=100, segmented=True)
_UDP_FLOOD = Load("udp", 2_000_000, segmented=True)
# One message a write, and no burst: 900 senders that know nothing of each other.
_TRICKLE = Load("tcp", 200_000, connections=900, rate=20_000)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    about: str
    loads: tuple[Load, ...]
    compared: bool = True  # False: generators and sink alone, as proof that they do not limit


ROWS = (
    Row("tcp-tcp", "one connection, as fast as it goes", (_TCP,)),
    Row("udp-tcp", "100,000 datagrams/s", (_UDP,)),
    Row("udp-burst", "the same, 64 and 36 of them there at once", (_UDP_BURST,)),
    Row("udp-flood", "datagrams as fast as they can be sent", (_UDP_FLOOD,)),
    Row("trickle", "900 connections, 20,000 messages/s, one a write", (_TRICKLE,)),
    Row("direct", "generators into the sink", (_TCP, _UDP, _UDP_FLOOD, _TRICKLE), compared=False),
)
