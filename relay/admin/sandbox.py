"""How the process is locked in."""

from collections.abc import Iterator
from typing import Any

from relay.admin.metric import Metric, Sample
from relay.admin.state import Admin
from relay.supervisor.state import Relay


def sandbox(relay: Relay) -> dict[str, Any]:
    """For the ledger: the user that root was given up for, and what is on."""
    confinement = relay.machine.confinement
    return {
        "user": confinement.user,
        "landlock": confinement.landlock,
        "seccomp": confinement.seccomp,
    }


def _sandbox(admin: Admin) -> Iterator[Sample]:
    confinement = admin.relay.machine.confinement
    yield ("landlock",), confinement.landlock
    yield ("seccomp",), confinement.seccomp


SANDBOX = (
    Metric("relay_sandbox", "gauge",
           "1 when the process is locked in by this.", ("kind",), _sandbox),
)  # fmt: skip
