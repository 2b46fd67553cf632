"""A load: what a generator sends, and how."""

from dataclasses import dataclass, replace
from typing import Literal

from tests.bench.messages import OCTETS, Dialect

RELP_PIECE = 128  # messages in one send; of these a window of 1,024 holds eight

Transport = Literal["tcp", "tls", "udp", "relp"]


@dataclass(frozen=True, slots=True)
class Load:
    transport: Transport
    messages: int
    connections: int = 1
    rate: int | None = None  # messages a second in all; None: as fast as they are taken
    burst: int = 1  # a paced generator sleeps until so many are due
    segmented: bool = False  # datagrams are cut from a large buffer by the kernel: see `datagrams`
    # A RELP sender acknowledges what it gets at once. Of itself a kernel waits for up to 40 ms, and
    # so does with it whoever sends answers in small pieces and does not set TCP_NODELAY.
    quick: bool = False
    octets: int = OCTETS  # of each message
    dialect: Dialect = "rfc5424"
    timed: bool = False  # it is recorded when each message was sent, and came

    @property
    def port(self) -> str:
        """The name of the port that a program receives it on."""
        return "many" if self.connections > 1 else self.transport

    def part(self, divisor: int) -> "Load":
        """The same for a shorter time, in whole pieces of a RELP sender."""
        messages = self.messages // divisor
        if self.transport == "relp":
            messages = max(1, messages // RELP_PIECE) * RELP_PIECE
        return replace(self, messages=messages)
