"""The listening sockets. They belong to the supervisor by kind and address, not to a listener."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from relay.supervisor.machine import Machine
from relay.system.ports import Endpoint, FamilyMissing, Socket

log = logging.getLogger("relay.supervisor")

Key = tuple[str, str]


def key(endpoint: Endpoint) -> Key:
    """What a socket is known by: a listener changed otherwise keeps its own."""
    return endpoint.kind, endpoint.address


@dataclass(slots=True, eq=False, repr=False)
class Bindings:
    """Sockets by key. One of a family that the kernel lacks is skipped with one warning."""

    machine: Machine
    sockets: dict[Key, Sequence[Socket]] = field(default_factory=dict)
    endpoints: dict[Key, Endpoint] = field(default_factory=dict)  # as the sockets are now

    def bind(self, endpoints: Iterable[Endpoint]) -> tuple[Sequence[Socket], Sequence[str]]:
        """The sockets of these endpoints, and what is wrong with those that are not there yet."""
        sockets: list[Socket] = []
        faults = []
        for endpoint in endpoints:
            try:
                self._open_or_adjust(endpoint)
            except FamilyMissing:
                log.warning("%s: the kernel lacks this family, skipped", endpoint.address)
                self.sockets[key(endpoint)] = ()
            except OSError as exc:
                faults.append(exc.strerror or str(exc))
            if self.sockets.get(key(endpoint)) and (absent := self.machine.absent(endpoint)):
                faults.append(absent)
            sockets += self.sockets.get(key(endpoint), ())
        return sockets, faults

    def _open_or_adjust(self, endpoint: Endpoint) -> None:
        known = key(endpoint)
        if known not in self.sockets:
            self.sockets[known] = self.machine.open(endpoint)
        elif self.endpoints.get(known, endpoint) != endpoint:
            for socket in self.sockets[known]:
                socket.adjust(endpoint)
        self.endpoints[known] = endpoint

    def take(self, endpoint: Endpoint) -> Sequence[Socket]:
        """Give these sockets away; whoever takes them closes them."""
        return self.sockets.pop(key(endpoint), ())

    def release(self, endpoints: Iterable[Endpoint]) -> None:
        """Close the sockets of these endpoints."""
        for endpoint in endpoints:
            for socket in self.take(endpoint):
                socket.close()
