"""What is of the process as a whole: how it is locked in, and how often it has read its file."""

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


def _reloads(admin: Admin) -> Iterator[Sample]:
    yield ("success",), admin.relay.reloads
    yield ("failure",), admin.relay.reloads_failed


PROCESS = (
    Metric("relay_sandbox", "gauge",
           "1 while the process is locked in by this.", ("kind",), _sandbox),
    Metric("relay_reloads_total", "counter",
           "Times the configuration was read again, by result.", ("result",), _reloads),
)  # fmt: skip
