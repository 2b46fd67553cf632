"""Messages as datagrams, one each: what `udp` and `unix` share."""

import errno
from collections.abc import Sequence
from itertools import islice

from relay.core.account import Confirmation, Drop, PipeAccount
from relay.core.errors import DestinationDown
from relay.core.lease import Lease
from relay.core.outlet import Outlet
from relay.destinations.session import plain, wait_for_room
from relay.system.ports import DatagramSender
from relay.wire.clip import clip


async def send_datagrams(
    messages: Sequence[bytes],
    sender: DatagramSender,
    lease: Lease,
    outlet: Outlet,
    *,
    datagram_max: int | None = None,
) -> None:
    """Send the messages lent, in order; those longer than `datagram_max` are cut and counted.

    A message that the kernel finds too large even so is dropped, and counted as that. What was
    taken is settled before each wait, so a cancelled call leaves nothing in doubt.

    Raises:
        DestinationDown: the kernel reports anything else.
    """
    datagrams, cut = _clipped(messages, datagram_max)
    gone = 0  # settled or refused
    while gone < len(datagrams):
        taken, fault = _send_run(sender, datagrams, gone)
        if taken:
            outlet.health.stalled = False
            lease.settle(taken, Confirmation.SENT)
            _count_cut(outlet.account, cut[gone : gone + taken])
            gone += taken
        if fault is None:
            if gone < len(datagrams):
                await wait_for_room(sender, outlet.health)
        elif fault.errno == errno.EMSGSIZE:
            lease.refuse(1, Drop.TOO_LARGE, f"a datagram of {len(datagrams[gone])} octets")
            gone += 1
        else:
            raise DestinationDown(plain(fault.strerror or str(fault))) from fault


def _send_run(
    sender: DatagramSender, messages: Sequence[bytes], start: int
) -> tuple[int, OSError | None]:
    """Send from `start` on without waiting: how many were taken, and what fault stopped it."""
    send = sender.send
    taken = 0
    try:
        for message in islice(messages, start, None):
            if not send(message):
                break
            taken += 1
    except OSError as fault:
        return taken, fault
    return taken, None


def _clipped(
    messages: Sequence[bytes], octets_max: int | None
) -> tuple[Sequence[bytes], Sequence[int]]:
    """The messages as they fit, and how many octets each has lost; empty when none has."""
    if octets_max is None or max(map(len, messages)) <= octets_max:
        return messages, ()
    clipped = [clip(message, octets_max) for message in messages]
    return clipped, [len(m) - len(c) for m, c in zip(messages, clipped, strict=True)]


def _count_cut(account: PipeAccount, cut: Sequence[int]) -> None:
    # Only once they are delivered: a message that is recalled will be cut again.
    account.truncated += sum(map(bool, cut))
    account.truncated_octets += sum(cut)
