"""The process that sends: prepares everything, says so, waits for the word, sends, reports."""

import itertools
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.bench import secure
from tests.bench.datagrams import SegmentedDatagrams, SingleDatagrams
from tests.bench.load import Load
from tests.bench.messages import DISTINCT, line_octets, messages
from tests.bench.pace import Send, pace
from tests.bench.relp import Sender

HOST = "127.0.0.1"
PIECE = 64  # messages in one send where many connections are as fast as they go


Trail = list[tuple[int, float]]  # how many messages were on their way, and since when


def sending(
    load: Load, port: int, trail: Trail, certificates: Path | None = None
) -> Callable[[], None]:
    """Connect, and return what sends the whole load; if it is timed, with a trail."""
    send = sender(load, connections(load, port, certificates))
    if load.timed:
        send = _timed(send, trail)
    if load.rate is None:
        return partial(send, 0, load.messages)
    return partial(pace, load.messages, load.rate, load.burst, send)


def connections(load: Load, port: int, certificates: Path | None = None) -> Sequence[socket.socket]:
    """As many as the load has."""
    kind = socket.SOCK_DGRAM if load.transport == "udp" else socket.SOCK_STREAM
    sockets: Sequence[socket.socket]
    sockets = [socket.socket(type=kind) for _ in range(load.connections)]
    for sock in sockets:
        sock.connect((HOST, port))
        if kind is socket.SOCK_STREAM:
            # Or the sender's kernel keeps small writes back until the relay's acknowledges those
            # before (Nagle): twice the latency, and none of the relay's making.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if load.transport == "tls":
        assert certificates is not None
        context = secure.client(certificates)
        sockets = [context.wrap_socket(it, server_hostname=secure.NAME) for it in sockets]
    return sockets


def sender(load: Load, sockets: Sequence[socket.socket]) -> Send:
    """What sends any messages of the load over these connections."""
    row = messages(load.octets, load.dialect)
    if load.transport == "udp":
        return _send_datagrams(sockets[0], row, segmented=load.segmented)
    if load.transport == "relp":
        return Sender(sockets[0], row, quick=load.quick).send
    if len(sockets) == 1 or load.rate is None:
        return _send_buffers(sockets, row)
    return _send_lines(sockets, row)


def _timed(send: Send, trail: Trail) -> Send:
    def timed(start: int, stop: int) -> None:
        trail.append((stop, time.monotonic()))
        send(start, stop)

    return timed


def _send_buffers(sockets: Sequence[socket.socket], row: Sequence[bytes]) -> Send:
    """On one connection all that there is, on many a small buffer on each in turn."""
    size = len(row[0])
    buffer = memoryview(b"".join([each + b"\n" for each in row]))
    most = DISTINCT if len(sockets) == 1 else PIECE
    turns = itertools.cycle(sockets)

    def flood(start: int, stop: int) -> None:
        for piece in pieces(start, stop, most):
            octets = slice(line_octets(piece.start, size), line_octets(piece.stop, size))
            next(turns).sendall(buffer[octets])

    return flood


def _send_lines(sockets: Sequence[socket.socket], row: Sequence[bytes]) -> Send:
    """One message a call, each connection in turn."""
    lines = [each + b"\n" for each in row]
    sends = [sock.send for sock in sockets]

    def trickle(start: int, stop: int) -> None:
        for number in range(start, stop):
            sends[number % len(sends)](lines[number % DISTINCT])

    return trickle


def _send_datagrams(sock: socket.socket, row: Sequence[bytes], *, segmented: bool) -> Send:
    datagrams = (SegmentedDatagrams if segmented else SingleDatagrams)(sock, row)

    def send(start: int, stop: int) -> None:
        for piece in pieces(start, stop, DISTINCT):
            datagrams.send(piece)

    return send


def pieces(start: int, stop: int, size: int) -> Iterator[range]:
    """The places in the buffer of these messages, `size` at most and none across its end."""
    while start < stop:
        place = start % DISTINCT
        count = min(size, stop - start, DISTINCT - place)
        yield range(place, place + count)
        start += count


def main() -> None:
    load, port = Load(**json.loads(sys.argv[1])), int(sys.argv[2])
    trail: Trail = []
    certificates = Path(sys.argv[3]) if load.transport == "tls" else None
    send = sending(load, port, trail, certificates)
    print(json.dumps({}), flush=True)
    sys.stdin.readline()
    started = time.monotonic()
    send()
    sent = {"started": started, "ended": time.monotonic(), "trail": trail}
    print(json.dumps(sent), flush=True)
    sys.stdin.readline()  # the connections stay open until everybody has counted


if __name__ == "__main__":
    main()
