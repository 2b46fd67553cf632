"""Addresses of a destination: what its name stands for, and in which order."""

from typing import NamedTuple


class Rank(NamedTuple):
    """What one of several is good for, compared with the others (RFC 2782)."""

    tier: int = 0  # it is used while none of a lower one is to be had
    weight: float = 1.0  # its part of the work of its tier; above 0


class Candidate(NamedTuple):
    """An address, and whose it is."""

    ip: str
    port: int
    name: str  # of the host: as configured, or as an SRV record says

    @property
    def address(self) -> str:
        """`IP:PORT`, which resolves to itself."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"

    def __str__(self) -> str:
        return self.address if self.ip == self.name else f"{self.name} {self.address}"
