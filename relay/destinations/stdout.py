"""Messages to standard output, one line each."""

from dataclasses import dataclass, field
from typing import Literal

import trio
from trio_typing import TaskStatus

from relay.core.account import Confirmation
from relay.core.component import DestinationKeys
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.destinations.session import Reached, lend_formatted
from relay.system.ports import Disk
from relay.wire.escape import escape_text


class StdoutDestination(DestinationKeys):
    """The keys of a `stdout` destination."""

    type: Literal["stdout"]

    async def run(self, lease: Lease, outlet: Outlet, *, task_status: TaskStatus[None]) -> None:
        reached = Reached(lease, task_status)
        reached.opened()
        while True:
            lines = escape_text(await lend_formatted(lease, outlet.form(self.format)))
            async with _OUTPUT.lock:
                await _write(b"\n".join(lines) + b"\n", outlet.host.disk, lease)
            reached.delivered()


@dataclass(slots=True, eq=False, repr=False)
class _Output:
    """Standard output, which all pipes and all attempts of this process share.

    Invariant: who holds the lock finds `cut` true unless what was written last ended a line.
    """

    lock: trio.Lock = field(default_factory=trio.Lock)
    cut: bool = False


_OUTPUT = _Output()


async def _write(lines: bytes, disk: Disk, lease: Lease) -> None:
    """Write whole lines, settling each when its end is written; `_OUTPUT.lock` must be held."""
    repair = b"\n" if _OUTPUT.cut else b""  # a cut line is never followed by another
    data = repair + lines
    written = settled = 0
    while written < len(data):
        cut, _OUTPUT.cut = _OUTPUT.cut, True  # true if a stop abandons the call: who knows
        try:
            written += await disk.write_stdout(data[written:])
        except OSError as fault:
            _OUTPUT.cut = cut
            raise DestinationDown(f"standard output: {fault.strerror or fault}") from fault
        _OUTPUT.cut = data[written - 1 : written] != b"\n"
        whole = data.count(b"\n", len(repair), written)
        lease.settle(whole - settled, Confirmation.SENT)
        settled = whole
