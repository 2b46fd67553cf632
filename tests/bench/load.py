"""A load: what a generator sends, and how."""

from dataclasses import dataclass, replace
from typing import Literal

Transport = Literal["tcp", "udp"]


@dataclass(frozen=True, slots=True)
class Load:
    transport: Transport
    messages: int
    connections: int = 1
    rate: int | None = None  # messages a second in all; None: as fast as they are taken
    burst: int = 1  # a paced generator sleeps until so many are due
    segmented: bool = False  # datagrams are cut from a large buffer by the kernel: see `datagrams`

    @property
    def port(self) -> str:
        """The name of the port that a program receives it on."""
        return "many" if self.connections > 1 else self.transport

    def part(self, divisor: int) -> "Load":
        """The same for a shorter time."""
        return replace(self, messages=self.messages // divisor)
