"""Receiving datagrams: wait, then drain the socket without waiting. Shared by udp and unix."""

from collections.abc import Sequence
from typing import cast

import trio

from relay.core.batch import TURN_OCTETS
from relay.core.intake import Intake
from relay.listeners.credentials import Attribution
from relay.listeners.gate import Gate
from relay.listeners.pause import Pause
from relay.system.ports import CredentialReceiver, DatagramReceiver

TURN_MESSAGES = 1024
PAUSE_SECONDS_MAX = 0.005
# Never so long that half of the receive buffer can fill meanwhile: 200,000 datagrams/s of 256
# octets, which Linux counts with 768 each. The buffer it gives unasked, 212,992, allows 0.7 ms.
FILL_OCTETS_PER_SECOND = 2 * 200_000 * 768
DROPS_SECONDS = 1.0


async def receive_datagrams(
    sockets: Sequence[DatagramReceiver],
    intake: Intake,
    *,
    room_seconds_max: float = float("inf"),
    attribution: Attribution | None = None,
    gate: Gate | None = None,
) -> None:
    """Receive from all sockets until `intake.draining` is set and they are empty.

    `gate`: what passes it is accepted; None: everything.
    """
    with book_kernel_drops(sockets, intake):
        with trio.CancelScope() as receiving:
            async with trio.open_nursery() as nursery:
                for socket in sockets:
                    nursery.start_soon(
                        _receive, socket, intake, room_seconds_max, attribution, gate
                    )
                nursery.start_soon(_watch_kernel_drops, sockets, intake)
                await intake.draining.wait()
                receiving.cancel()
        for socket in sockets:
            socket.seal()
        for socket in sockets:
            await _drain(socket, intake, attribution, gate)


async def _receive(
    socket: DatagramReceiver,
    intake: Intake,
    room_seconds_max: float,
    attribution: Attribution | None,
    gate: Gate | None,
) -> None:
    buffer = socket.receive_buffer_granted or 0
    seconds = min(PAUSE_SECONDS_MAX, buffer / FILL_OCTETS_PER_SECOND)
    # A turn that stopped short of its bounds has emptied the socket: the next one would be small.
    # At 100,000 datagrams/s on one processor one costs 1.32 µs, and 1.46 where half a turn is full.
    pause = Pause(seconds, TURN_MESSAGES, TURN_OCTETS)
    clock = intake.host.clock
    while True:
        await socket.readable()
        began = clock.now()
        await intake.room(room_seconds_max)
        messages, octets = take(socket, intake, attribution, gate)
        if wait := pause.after(messages, octets, began, clock.now()):
            await trio.sleep(wait)


async def _drain(
    socket: DatagramReceiver,
    intake: Intake,
    attribution: Attribution | None,
    gate: Gate | None,
) -> None:
    """What the kernel holds: the socket is sealed, so there is an end to it."""
    while True:
        await trio.lowlevel.checkpoint()
        with trio.move_on_at(intake.drain_by[0]):
            await intake.room()
        if take(socket, intake, attribution, gate) == (0, 0):
            return


def take(
    socket: DatagramReceiver,
    intake: Intake,
    attribution: Attribution | None = None,
    gate: Gate | None = None,
) -> tuple[int, int]:
    """Read one turn and put it; nothing awaits in between. Returns datagrams and their octets."""
    pids: list[int] = []
    if attribution is None:
        datagrams, senders = socket.receive(TURN_MESSAGES, TURN_OCTETS)
    else:
        socket = cast("CredentialReceiver", socket)
        datagrams, pids = socket.receive_credentials(TURN_MESSAGES, TURN_OCTETS)
        senders = ["local"] * len(datagrams)
    octets = sum(map(len, datagrams))
    if datagrams:
        # Senders end a datagram with LF, NUL or both, although its length says it all.
        messages = [datagram.rstrip(b"\r\n\0") for datagram in datagrams]
        if attribution is not None:
            messages = attribution.attributed(cast("CredentialReceiver", socket), messages, pids)
        admitted = gate.admit(messages, senders) if gate is not None else (messages, senders)
        intake.put(*admitted, octets=octets)
    return len(datagrams), octets


class book_kernel_drops:
    """While inside, a scrape finds the kernel's own count in the account; so does the end."""

    def __init__(self, sockets: Sequence[DatagramReceiver], intake: Intake) -> None:
        self._sockets = sockets
        self._intake = intake

    def __enter__(self) -> None:
        self._intake.account.probes.append(self.book)

    def __exit__(self, *_: object) -> None:
        self.book()
        self._intake.account.probes.remove(self.book)

    def book(self) -> None:
        _book(self._sockets, self._intake)


async def _watch_kernel_drops(sockets: Sequence[DatagramReceiver], intake: Intake) -> None:
    """The count rides on no datagram, so it is asked for: the last burst before silence counts."""
    while True:
        await trio.sleep(DROPS_SECONDS)
        _book(sockets, intake)


def _book(sockets: Sequence[DatagramReceiver], intake: Intake) -> None:
    dropped = sum(socket.new_kernel_drops() for socket in sockets)
    if dropped:
        intake.router.ledger.kernel_dropped(intake.account, dropped)
