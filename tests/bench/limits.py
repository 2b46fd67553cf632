"""What this machine can do at best: the disk, the checksum, loopback and the TLS library."""

import os
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.messages import OCTETS
from tests.bench.row import Show, Told
from tests.bench.secure import NAME, certificates, client, server

PIECE_OCTETS = 256 << 10  # of one turn, and so of one write to a spool
PIECES = 800
TLS_RECORD_OCTETS = 16 << 10


@dataclass(frozen=True, slots=True)
class Limit:
    """So many messages of `OCTETS` a second would be all that is possible."""

    what: str
    seconds: float
    octets: int
    calls: int

    @property
    def messages_per_second(self) -> float:
        return self.octets / OCTETS / self.seconds

    @property
    def message_ns(self) -> float:
        return 1e9 / self.messages_per_second

    @property
    def call_us(self) -> float:
        return self.seconds / self.calls * 1e6


def written(pieces: int, *, each: int, sync: bool) -> Limit:
    """Append to a file where spools would be, and sync after each write."""
    data = os.urandom(each)
    with TemporaryDirectory(prefix="relay-bench-", dir=Path.cwd()) as directory:
        file = os.open(Path(directory, "file"), os.O_WRONLY | os.O_CREAT)
        os.posix_fallocate(file, 0, pieces * each)
        os.fsync(file)
        began = time.monotonic()
        for n in range(pieces):
            os.pwrite(file, data, n * each)
            if sync:
                os.fdatasync(file)
        seconds = time.monotonic() - began
        os.close(file)
    what = f"write {each >> 10} KiB" + (" and fdatasync" if sync else "")
    return Limit(what, seconds, pieces * each, pieces)


def checked(pieces: int) -> Limit:
    """CRC-32 of zlib, as in the frames of a spool."""
    data = os.urandom(PIECE_OCTETS)
    began = time.monotonic()
    for _ in range(pieces):
        zlib.crc32(data)
    return Limit("CRC-32", time.monotonic() - began, pieces * PIECE_OCTETS, pieces)


def carried(pieces: int) -> Limit:
    """Through loopback, from one thread to another, nothing looked at."""
    octets = pieces * PIECE_OCTETS
    with socket.create_server(("127.0.0.1", 0)) as listening:
        sender = socket.create_connection(listening.getsockname())
        receiver, _ = listening.accept()
    with sender, receiver:
        data = os.urandom(PIECE_OCTETS)
        sending = threading.Thread(target=_send, args=(sender, data, pieces))
        began = time.monotonic()
        sending.start()
        room, got = bytearray(PIECE_OCTETS), 0
        while got < octets:
            got += receiver.recv_into(room)
        seconds = time.monotonic() - began
        sending.join()
    return Limit("loopback TCP", seconds, octets, pieces)


def _send(sender: socket.socket, data: bytes, times: int) -> None:
    for _ in range(times):
        sender.sendall(data)


def encrypted(pieces: int) -> Limit:
    """Encrypt and decrypt in memory, one after the other: what a relay does, in and out."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    with certificates() as directory:
        ours = client(directory).wrap_bio(to_client, to_server, server_hostname=NAME)
        theirs = server(directory).wrap_bio(to_server, to_client, server_side=True)
    _shake_hands(ours, theirs)
    data = os.urandom(PIECE_OCTETS)
    began = time.monotonic()
    for _ in range(pieces):
        ours.write(data)
        left = len(data)
        while left:
            left -= len(theirs.read(min(left, TLS_RECORD_OCTETS)))
    seconds = time.monotonic() - began
    cipher = (ours.cipher() or ("TLS",))[0]
    return Limit(f"{cipher}, encrypt and decrypt", seconds, pieces * PIECE_OCTETS, pieces)


def _shake_hands(*ends: ssl.SSLObject) -> None:
    undone = list(ends)
    while undone:
        for end in list(undone):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            undone.remove(end)


@dataclass(frozen=True, slots=True)
class Limits:
    name: str
    about: str
    pieces: int = PIECES

    def steps(self, rounds: int) -> int:
        return rounds

    def part(self, divisor: int) -> "Limits":
        return replace(self, pieces=max(1, self.pieces // divisor))

    def tell(self, rounds: int, show: Show) -> Told:
        found: list[Sequence[Limit]] = []
        for number in range(1, rounds + 1):
            show(f"{self.name}, round {number}")
            found.append([measure(self.pieces) for measure in _MEASURES])
        lines = [_line(each) for each in zip(*found, strict=True)]
        return Told([f"{self.name}: {self.about}", *lines], found)


_MEASURES: Sequence[Callable[[int], Limit]] = (
    carried,
    encrypted,
    checked,
    lambda pieces: written(pieces, each=PIECE_OCTETS, sync=False),
    lambda pieces: written(pieces, each=PIECE_OCTETS, sync=True),
    lambda pieces: written(pieces, each=4 << 10, sync=True),
)


def _line(rounds: Sequence[Limit]) -> str:
    rates = [limit.messages_per_second for limit in rounds]
    return (
        f"  {rounds[0].what:<42} {median(rates):>12,.0f} messages/s"
        f"  ({min(rates):,.0f} to {max(rates):,.0f}),"
        f" {median(limit.message_ns for limit in rounds):>8,.0f} ns each,"
        f" {median(limit.call_us for limit in rounds):>8,.0f} µs a call"
    )
