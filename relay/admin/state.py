"""What the admin server knows: the relay it shows, and a few numbers of its own."""

from dataclasses import dataclass, field

from relay.admin.admission import Admission
from relay.supervisor.state import Relay

# Why a request is not let through to a page.
REFUSALS = ("method", "body", "token", "not-local", "browser")


@dataclass(slots=True, eq=False, repr=False)
class Admin:
    """Handed to everything that answers a request."""

    relay: Relay
    restarts: int = 0  # unexpected exceptions
    admission: Admission = field(default_factory=Admission)
    requests_refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REFUSALS, 0))
    followers: int = 0  # requests that wait for new lines of a ring

    def failed(self) -> bool:
        self.restarts += 1
        return False
