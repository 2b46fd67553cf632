"""What somebody does who means ill, from threads of the test. Each lasts as long as its block."""

import random
import resource
import socket
import ssl
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.senders import Load
from tests.scenarios.harness.waiting import SECONDS_MAX, until

CHUNK = b"A" * (64 << 10)
HEAD = b"<134>1 2026-11-23T07:28:45Z "
STRANGER = "127.0.0.66"
GONE = (BlockingIOError, ConnectionError, TimeoutError)  # what becomes of who is refused


@dataclass(slots=True, eq=False)
class Victim:
    """Where a relay listens, and what was sent to it so far."""

    tcp: int
    relp: int
    limited: int
    udp: int
    admin: int
    path: Path
    datagrams: int = 0

    def streams(self) -> Sequence[Callable[[], socket.socket]]:
        return self.to_tcp, self.to_relp, self.to_unix

    def to_tcp(self) -> socket.socket:
        return _connected(self.tcp)

    def to_relp(self) -> socket.socket:
        return _connected(self.relp)

    def to_limited(self) -> socket.socket:
        return _connected(self.limited)

    def to_admin(self) -> socket.socket:
        return _connected(self.admin, STRANGER)

    def to_unix(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(str(self.path))
        sock.setblocking(False)
        return sock


def _connected(port: int, host: str = "") -> socket.socket:
    source = (host, 0) if host else None
    sock = socket.create_connection((HOST, port), timeout=SECONDS_MAX, source_address=source)
    sock.setblocking(False)
    return sock


def say(sock: socket.socket, data: bytes) -> None:
    """As much as the kernel takes, if the connection is still there."""
    with suppress(*GONE):
        sock.send(data)


@contextmanager
def many(connect: Callable[[], socket.socket], count: int) -> Iterator[list[socket.socket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(connect()) for _ in range(count)]


# -- those who only keep a place


@contextmanager
def slowloris(victim: Victim, count: int) -> Iterator[None]:
    """On every stream a third each: half say nothing, half an octet now and then."""
    beginnings = b"<13>", b"1 open 50000 ", b"<13>"
    with ExitStack() as stack:
        dribbling: list[socket.socket] = []
        for connect, begin in zip(victim.streams(), beginnings, strict=True):
            socks = stack.enter_context(many(connect, count // 3))
            for sock in socks[::2]:
                say(sock, begin)
                dribbling.append(sock)

        def dribble(_: int) -> None:
            for sock in dribbling:
                say(sock, b"a")

        stack.enter_context(Load(dribble, pause_seconds=0.2))
        yield


@contextmanager
def all_places(victim: Victim, count: int) -> Iterator[None]:
    """So many connections to one listener, each of which says a word and stays."""

    def connect() -> socket.socket:
        sock = victim.to_tcp()
        say(sock, b"<13>hello\n")
        return sock

    with many(connect, count):
        yield


@contextmanager
def storm(victim: Victim, count: int) -> Iterator[None]:
    """Connections that are closed as soon as they are made."""

    def connect(_: int) -> None:
        for _ in range(count // 100):
            with suppress(*GONE):
                victim.to_limited().close()

    with Load(connect):
        yield


@contextmanager
def slow_headers(victim: Victim, count: int) -> Iterator[None]:
    """To the admin server: requests that do not end, and requests whose answers nobody reads."""
    with many(victim.to_admin, min(count, 200)) as socks:
        for number, sock in enumerate(socks):
            begin = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
            say(sock, begin + b"X: " if number % 2 else (begin + b"\r\n") * 20)

        def dribble(_: int) -> None:
            for sock in socks[1::2]:
                say(sock, b"a")

        with Load(dribble, pause_seconds=0.1):
            yield


# -- those who say what nobody can take


@contextmanager
def endless_lines(victim: Victim, _: int) -> Iterator[None]:
    """Lines and RELP frames that do not end, as fast as they are taken."""
    with ExitStack() as stack:
        socks = [
            sock for connect in victim.streams() for sock in stack.enter_context(many(connect, 10))
        ]
        for sock in socks[10:20]:
            say(sock, b"1 open 1000000 ")

        def go_on(_: int) -> None:
            for sock in socks:
                say(sock, CHUNK)

        stack.enter_context(Load(go_on))
        yield


FLOOD = (HEAD + b"h app - - - flood".ljust(200, b".") + b"\n") * 300


@contextmanager
def flood(victim: Victim, count: int) -> Iterator[None]:
    """Messages as they should be, as fast as they are taken, over hundreds of connections."""
    with many(victim.to_tcp, min(count, 300)) as socks:
        for sock in socks:  # a reset at the end: what waits in the kernel is not for who comes next
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        def go_on(_: int) -> None:
            for sock in socks:
                say(sock, FLOOD)

        with Load(go_on):
            yield


_BEHIND = 100, 1000, 10_000, len(CHUNK)


@contextmanager
def count_bombs(victim: Victim, count: int) -> Iterator[None]:
    """Counts of what is still believed, and of gigabytes, and little behind them."""
    bombs = b"1048576 <13>", b"4294967295 <13>", b"999999999 <13>", b"9" * 5000 + b" <13>"

    def throw(turn: int) -> None:
        for connect in (victim.to_tcp, victim.to_unix):
            with many(connect, count // 100) as socks:
                for number, sock in enumerate(socks):
                    say(sock, bombs[(turn + number) % len(bombs)] + CHUNK[: _BEHIND[number % 4]])

    with Load(throw, pause_seconds=0.1):
        yield


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(
        ssl.MemoryBIO(), outgoing, server_hostname="relay.example.net"
    )
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


OTHER_PROTOCOLS = (
    b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x4c\n",  # gzip
    b"\x78\x9c\x4b\x4c\x4a\x06\x00\x02\x4d\x01\x27\n",  # zlib
    b"\x28\xb5\x2f\xfd\x04\x58\x19\x00\x00abc\n",  # zstd
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\r\nUpgrade: TLS/1.3\r\nConnection: Upgrade\r\n\r\n",
    b"EHLO x\r\nSTARTTLS\r\n",
    b"1 open 52 relp_version=0\ncommands=syslog,starttls,compress\n",
)


@contextmanager
def other_protocols(victim: Victim, _: int) -> Iterator[None]:
    """TLS and compression, begun where neither is spoken."""
    hello = client_hello()

    def begin(_: int) -> None:
        for connect in victim.streams():
            for words in (hello, hello, *OTHER_PROTOCOLS):
                with connect() as sock:
                    say(sock, words)

    with Load(begin):
        yield


OPEN = b"1 open 30 relp_version=0\ncommands=syslog\n"
HOSTILE_RELP = (
    b"99999999999999999999 open 0\n",  # a number that is none
    b"999999999 open 0\n",
    b"2 syslog 5 hello\n",  # nobody has opened
    OPEN + b"1 syslog 5 hello\n",  # the number of before
    OPEN + b"7 syslog 5 hello\n",
    OPEN + b"2 open 0\n",
    OPEN + b"2 syslog 999999999 hello\n",  # more than is there
    OPEN + b"2 syslog 2 hello\n",  # less
    OPEN + b"2 syslog -1 hello\n",
    OPEN + b"2 syslog 0005 hello\n3 close 0\n4 syslog 5 hello\n",
    OPEN + b"2 rsp 6 200 OK\n",
    OPEN + b"2 " + b"s" * 5000 + b" 0\n",
    b"1" * 5000,
    b"1 open 65536 " + b"commands=" * 7000 + b"\n",  # offers without end
    b"\0\0\0\0\n",
)


@contextmanager
def hostile_relp(victim: Victim, _: int) -> Iterator[None]:
    """Numbers, orders and lengths that are wrong, each on a connection of its own."""

    def lie(_: int) -> None:
        for words in HOSTILE_RELP:
            with victim.to_relp() as sock:
                say(sock, words)

    with Load(lie):
        yield


@contextmanager
def unread_answers(victim: Victim, _: int) -> Iterator[None]:
    """Messages over RELP from who has room for no answer, and reads none."""
    frames = b"".join(b"%d syslog 5 hello\n" % number for number in range(2, 200_000))
    with ExitStack() as stack:
        socks = [stack.enter_context(_without_room(victim.relp)) for _ in range(3)]
        left = [memoryview(OPEN + frames) for _ in socks]

        def go_on(_: int) -> None:
            for place, sock in enumerate(socks):
                with suppress(*GONE):
                    left[place] = left[place][sock.send(left[place][: len(CHUNK)]) :]

        stack.enter_context(Load(go_on))
        yield


def _without_room(port: int) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel's least
    sock.connect((HOST, port))
    sock.setblocking(False)
    return sock


@contextmanager
def garbage_datagrams(victim: Victim, _: int) -> Iterator[None]:
    """Any octets, of any length, 10,000 a second."""
    chance = random.Random(1)
    garbage = [chance.randbytes(chance.randrange(1, 1400)) for _ in range(500)]
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.connect((HOST, victim.udp))

        def send(turn: int) -> None:
            for number in range(50):
                sock.send(garbage[(50 * turn + number) % len(garbage)])
            victim.datagrams += 50

        with Load(send, pause_seconds=0.005):
            yield


# -- those who have names

ESCAPES = (
    b"../../etc/x", b"..", b".." * 60, b"/etc/passwd", b"a/../../b", b"..\\..\\x",
    b"%2e%2e%2fx", b"~root", b"|sh", b"$(id)", b"{host}", b"{program}", b"x" * 255,
    b"\xff\xfe", b"-", b".ssh",
)  # fmt: skip


@contextmanager
def template_paths(victim: Victim, _: int) -> Iterator[None]:
    """Hosts and programs that are paths, to a file with both in its name."""
    with victim.to_tcp() as sock:

        def name(_: int) -> None:
            for host in ESCAPES:
                for program in ESCAPES:
                    say(sock, HEAD + b"%b %b - - - names-a-file\n" % (host, program))

        with Load(name, pause_seconds=0.1):
            yield


@dataclass(slots=True, eq=False)
class Hosts:
    """Each of these hosts says one thing, over one connection, as fast as it is taken."""

    said: int = 0
    rest: memoryview = field(default_factory=lambda: memoryview(b""))

    @contextmanager
    def __call__(self, victim: Victim, count: int) -> Iterator[None]:
        with victim.to_tcp() as sock:
            end = self.said + count

            def go_on(_: int) -> None:
                if not self.rest and self.said < end:
                    more = range(self.said, min(end, self.said + 1000))
                    rows = [HEAD + b"host%d app - - - names-a-file\n" % n for n in more]
                    self.rest = memoryview(b"".join(rows))
                    self.said += len(more)
                with suppress(BlockingIOError):
                    self.rest = self.rest[sock.send(self.rest) :] if self.rest else self.rest

            with Load(go_on, pause_seconds=0.001):
                yield
                until(lambda: self.said == end and not self.rest, "all hosts have spoken")


def descriptors_for(count: int) -> bool:
    """Whether a process may have so many, after it has asked for all that it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft >= count
