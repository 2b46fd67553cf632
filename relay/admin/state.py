"""What the admin server knows: the relay it shows, and a few numbers of its own."""

from dataclasses import dataclass

from relay.supervisor.state import Relay


@dataclass(slots=True, eq=False)
class Admin:
    """Handed to everything that answers a request."""

    relay: Relay
    restarts: int = 0  # unexpected exceptions
    listening: bool = False
    connections: int = 0  # open
    connections_refused: int = 0  # found too many others
    followers: int = 0  # requests that wait for new lines of a ring

    def failed(self) -> bool:
        self.restarts += 1
        return False
