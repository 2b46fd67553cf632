"""`relay send`: a small logger, which also numbers what it sends."""

import os
import select
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, repeat
from typing import Any, Self

from relay.cli.failure import Failure, Mistake
from relay.core.values import split_address
from relay.wire.frames import OutFraming, frame
from relay.wire.priority import parse_facility, parse_severity

CONNECT_SECONDS_MAX = 10.0
END_SECONDS_MAX = 5.0  # for the peer's end, after ours; some wait for more instead
TOGETHER_MESSAGES = 256  # written at once on a stream when no rate is asked for


@dataclass(frozen=True, slots=True)
class Sending:
    """What to send and where."""

    kind: str  # udp, tcp, unix or unix-stream
    address: str
    framing: OutFraming
    count: int | None
    numbered: bool
    rate: float | None
    pri: int
    program: str
    rfc: str
    text: bytes | None  # None: the lines of stdin

    @classmethod
    def of(cls, **options: Any) -> Self:  # noqa: ANN401 - as click gives them
        """Check what belongs together.

        Raises:
            Mistake: it does not.
        """
        targets = [kind for kind in ("udp", "tcp", "unix") if options[kind]]
        if len(targets) != 1:
            raise Mistake("give one of --udp, --tcp and --unix")
        kind, words = targets[0], options["message"]
        if options["stream"] and kind != "unix":
            raise Mistake("--stream belongs to --unix")
        if options["count"] and not words:
            raise Mistake("--count needs a message")
        if kind != "unix":
            try:
                split_address(options[kind])
            except ValueError as exc:
                raise Mistake(f"--{kind}: {exc}") from exc
        return cls(
            kind="unix-stream" if options["stream"] else kind,
            address=options[kind],
            framing=options["framing"],
            count=options["count"],
            numbered=options["number"] or (options["count"] or 0) > 1,
            rate=options["rate"],
            pri=_pri(options["facility"], options["severity"], options["priority"]),
            program=options["program"],
            rfc=options["rfc"],
            text=os.fsencode(" ".join(words)) if words else None,
        )

    @property
    def stream(self) -> bool:
        return self.kind in ("tcp", "unix-stream")


def transmit(sending: Sending) -> str:
    """Send everything, wait until it is out, and return a line that says so.

    Raises:
        Failure: not everything was sent.
    """
    began = time.monotonic()
    sent = 0
    try:
        with _connect(sending) as sock:
            for messages in _paced(_messages(sending), sending):
                _write(sock, messages, sending)
                sent += len(messages)
            if sending.stream:
                _end(sock)
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise Failure(f"{sending.address}: {reason} ({sent} messages sent)") from exc
    return f"sent {sent} messages in {time.monotonic() - began:.3f} s"


def _pri(facility: str, severity: str, both: str | None) -> int:
    if both is not None:
        facility, dot, severity = both.partition(".")
        if not dot:
            raise Mistake(f"--priority: expected FACILITY.SEVERITY, not {both!r}")
    first, second = parse_facility(facility), parse_severity(severity)
    if first is None:
        raise Mistake(f"unknown facility {facility!r}")
    if second is None:
        raise Mistake(f"unknown severity {severity!r}")
    return first * 8 + second


# -- messages


def _messages(sending: Sending) -> Iterator[bytes]:
    header = _header(sending)
    for number, text in enumerate(_texts(sending), 1):
        end = b" seq=%d" % number if sending.numbered else b""
        yield header() + text + end


def _texts(sending: Sending) -> Iterable[bytes]:
    if sending.text is not None:
        return repeat(sending.text, sending.count or 1)
    return (line.rstrip(b"\r\n") for line in sys.stdin.buffer)


def _header(sending: Sending) -> Callable[[], bytes]:
    if sending.rfc == "raw":
        return lambda: b""
    host, program, process = socket.gethostname() or "-", sending.program, os.getpid()

    def rfc5424() -> bytes:  # section 6
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return f"<{sending.pri}>1 {stamp} {host} {program} {process} - - ".encode()

    def rfc3164() -> bytes:  # section 4.1: local time, the day padded with a space
        stamp = time.strftime("%b %e %H:%M:%S")
        return f"<{sending.pri}>{stamp} {host} {program}[{process}]: ".encode()

    return rfc5424 if sending.rfc == "5424" else rfc3164


# -- the way out


def _paced(messages: Iterator[bytes], sending: Sending) -> Iterator[list[bytes]]:
    """Messages that are sent together, each when its time has come."""
    together = TOGETHER_MESSAGES if sending.stream and sending.text is not None else 1
    if sending.rate is None:
        while taken := list(islice(messages, together)):
            yield taken
        return
    began = time.monotonic()
    for number, message in enumerate(messages):
        pause = began + number / sending.rate - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        yield [message]


def _connect(sending: Sending) -> socket.socket:
    if sending.kind == "tcp":
        return socket.create_connection(split_address(sending.address), CONNECT_SECONDS_MAX)
    if sending.kind == "udp":
        host, port = split_address(sending.address)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        family, kind, _, _, address = found[0]
        return _connected(socket.socket(family, kind), address)
    kind = socket.SOCK_STREAM if sending.stream else socket.SOCK_DGRAM
    return _connected(socket.socket(socket.AF_UNIX, kind), sending.address)


def _connected(sock: socket.socket, address: Any) -> socket.socket:  # noqa: ANN401 - a family's own
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def _write(sock: socket.socket, messages: list[bytes], sending: Sending) -> None:
    sock.settimeout(None)  # a peer that does not read makes us wait
    if sending.stream:
        sock.sendall(frame(messages, sending.framing).data)
        return
    for message in messages:
        sock.send(message)


def _end(sock: socket.socket) -> None:
    """End our half and wait for the peer's end: then its program has read everything."""
    sock.shutdown(socket.SHUT_WR)
    deadline = time.monotonic() + END_SECONDS_MAX
    while (left := deadline - time.monotonic()) > 0:
        readable, _, _ = select.select([sock], [], [], left)
        if readable and not sock.recv(4096):
            return
