"""Messages that would break out of their line, over every way there is.

One line each on what is made of lines; unchanged on what counts octets or has datagrams.
"""

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from relay.core.component import Destination
from relay.destinations import DESTINATIONS
from relay.destinations.console import ConsoleDestination
from relay.destinations.fifo import FifoDestination
from relay.destinations.file import FileDestination
from relay.destinations.memory import MemoryDestination
from relay.destinations.program import ProgramDestination
from relay.destinations.relp import RelpDestination
from relay.destinations.stdout import StdoutDestination
from relay.destinations.tcp import TcpDestination
from relay.destinations.udp import UdpDestination
from relay.destinations.unix import UnixDestination
from relay.destinations.users import UsersDestination
from relay.system.ports import Login
from relay.wire.formats import Format
from relay.wire.frames import OutFraming
from relay.wire.framing import Framer, FramingCounts
from relay.wire.message import view, well_formed
from tests.destinations.conftest import MakeRig, Rig
from tests.destinations.fakes import FakeConnection, FakeDisk, FakeNetwork, FakeSender
from tests.destinations.pty import Pty
from tests.destinations.test_fifo import Reader
from tests.destinations.test_relp import Peer
from tests.destinations.test_users import People

HEAD = b"<13>Nov 23 07:28:45 h a[7]: "
EVERY_OCTET = HEAD + bytes(range(256))
ESCAPES = HEAD + b"\x1b[2J\x1b]0;title\x07\x9b31m\xc2\x9b31mred\x08\x08\x7f"
LINES = HEAD + b"one\ntwo\r\nthree\0four\x85\xe2\x80\xa8five\x0b\x0c"
FORGED = HEAD + b"x\n<8>Nov 23 07:28:45 h su: forged\n36 <8>Nov 23 07:28:45 h su: forged"
NO_UTF8 = HEAD + b"\xc3\x28\xff\xfe\xed\xa0\x80\xc0\x80\xf4\x90\x80\x80\xe2\x82"
HOSTILE = [EVERY_OCTET, ESCAPES, LINES, FORGED, NO_UTF8, HEAD + b"\n\n\0\0\r\r"]
EQUAL = [b"<%d>Nov 23 07:28:45 h su: x" % priority for priority in (8, 13, 191)]

Way = Callable[[MakeRig, Path, Format, list[bytes]], Awaitable[list[bytes]]]


class Polite(FakeConnection):
    """Ends when we do."""

    def half_close(self) -> bool:
        self.end()
        return super().half_close()


async def deliver(rig: Rig, destination: Destination, messages: list[bytes]) -> None:
    rig.put(*messages)
    async with rig.delivering(destination):
        await rig.delivered()


def over_tcp(framing: OutFraming) -> Way:
    async def way(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
        connection = Polite()
        rig = make_rig(FakeNetwork(connection))
        tcp = TcpDestination(
            type="tcp", address="siem.example.net:514", framing=framing, format=form,
        )  # fmt: skip
        await deliver(rig, tcp, messages)
        return unframed(bytes(connection.taken), framing)

    return way


def unframed(data: bytes, framing: OutFraming) -> list[bytes]:
    framer = Framer(framing, 1 << 16, 1 << 20, FramingCounts())
    return framer.feed(data) + framer.close()


async def relp(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
    peer = Peer()
    to = RelpDestination(type="relp", address="siem.example.net:2514", format=form)
    await deliver(make_rig(FakeNetwork(peer)), to, messages)
    return peer.messages


async def udp(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
    sender = FakeSender()
    to = UdpDestination(
        type="udp", address="siem.example.net:514", format=form, datagram_max="2KiB"
    )
    await deliver(make_rig(FakeNetwork(sender)), to, messages)
    return sender.sent


async def unix_datagram(
    make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]
) -> list[bytes]:
    sender = FakeSender()
    to = UnixDestination(type="unix", path="log", format=form)
    await deliver(make_rig(FakeNetwork(sender)), to, messages)
    return sender.sent


async def unix_stream(
    make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]
) -> list[bytes]:
    connection = Polite()
    to = UnixDestination(type="unix", path="log", kind="stream", format=form)
    await deliver(make_rig(FakeNetwork(connection)), to, messages)
    return unframed(bytes(connection.taken), "lf")


async def file(
    make_rig: MakeRig, directory: Path, form: Format, messages: list[bytes]
) -> list[bytes]:
    to = FileDestination(type="file", path=str(directory / "all.log"), format=form)
    await deliver(make_rig(), to, messages)
    return (directory / "all.log").read_bytes().split(b"\n")[:-1]


async def memory(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
    rig = make_rig(FakeNetwork(), FakeDisk())
    await deliver(rig, MemoryDestination(type="memory", format=form), messages)
    return list(rig.rings.ring("sink", 1 << 20).lines)


async def stdout(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
    disk = FakeDisk()
    await deliver(make_rig(FakeNetwork(), disk), StdoutDestination(type="stdout", format=form),
                  messages)  # fmt: skip
    return bytes(disk.stdout).split(b"\n")[:-1]


async def console(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
    with terminal() as there:
        to = ConsoleDestination(type="console", path=there.path, format=form)
        return await shown(make_rig(), to, messages, there.read, b"\r\n")


async def users(make_rig: MakeRig, _: Path, form: Format, messages: list[bytes]) -> list[bytes]:
    people = People()
    with terminal() as there:
        people.here.append(Login("root", there.path, closed=False))
        to = UsersDestination(type="users", users=("root",), format=form)
        return await shown(make_rig(None, None, people), to, messages, there.read, b"\r\n")


async def fifo(
    make_rig: MakeRig, directory: Path, form: Format, messages: list[bytes]
) -> list[bytes]:
    os.mkfifo(directory / "pipe")
    reader = Reader(directory / "pipe")
    try:
        to = FifoDestination(type="fifo", path=str(directory / "pipe"), format=form)
        return await shown(make_rig(), to, messages, reader.read, b"\n")
    finally:
        reader.leave()


async def program(
    make_rig: MakeRig, directory: Path, form: Format, messages: list[bytes]
) -> list[bytes]:
    out = directory / "out"
    to = ProgramDestination(type="program", command=("tee", str(out)), format=form)
    await deliver(make_rig(), to, messages)
    return out.read_bytes().split(b"\n")[:-1]


@contextmanager
def terminal() -> Iterator[Pty]:
    there = Pty()
    try:
        yield there
    finally:
        there.close()


async def shown(
    rig: Rig, to: Destination, messages: list[bytes], read: Callable[[], bytes], end: bytes
) -> list[bytes]:
    """What somebody has read who goes on reading until nothing is held."""
    rig.put(*messages)
    async with rig.delivering(to):
        await rig.until(lambda: read() and not rig.channel.held().messages)
    return read().split(end)[:-1]


FOR_PEOPLE: dict[str, Way] = {
    "file": file, "memory": memory, "stdout": stdout, "console": console, "users": users,
    "fifo": fifo, "program": program,
}  # fmt: skip
BY_LF: dict[str, Way] = {"tcp, lf": over_tcp("lf"), "unix, stream": unix_stream}
UNCHANGED: dict[str, Way] = {
    "tcp, octet": over_tcp("octet"), "relp": relp, "udp": udp, "unix, datagram": unix_datagram,
}  # fmt: skip
WAYS = {**FOR_PEOPLE, **BY_LF, **UNCHANGED, "tcp, nul": over_tcp("nul")}


def test_every_destination_has_a_way() -> None:
    assert {name.split(",")[0] for name in WAYS} == set(DESTINATIONS)


@pytest.mark.parametrize("way", FOR_PEOPLE.values(), ids=FOR_PEOPLE)
async def test_for_people_nothing_is_left_that_moves_a_terminal(
    way: Way, make_rig: MakeRig, tmp_path: Path
) -> None:
    received = await way(make_rig, tmp_path, "preserve", HOSTILE)
    assert len(received) == len(HOSTILE)
    for line, message in zip(received, HOSTILE, strict=True):
        assert line.startswith(HEAD)
        text = line.decode()
        assert all(it == "\t" or it.isprintable() or it in "\u2028\xa0\xad" for it in text), text
        assert unescaped(line) == message


@pytest.mark.parametrize("way", BY_LF.values(), ids=BY_LF)
async def test_by_lines_only_lf_is_escaped(way: Way, make_rig: MakeRig, tmp_path: Path) -> None:
    received = await way(make_rig, tmp_path, "preserve", HOSTILE)
    # A receiver takes CRLF and NUL for ends as well; what is sent has neither more nor less lines.
    sent = b"\n".join(message.replace(b"\n", b"#012") for message in HOSTILE) + b"\n"
    assert b"".join(received) == b"".join(unframed(sent, "lf"))
    assert not any(message.startswith((b"<8>", b"36 ")) for message in received)


async def test_by_nul_only_nul_is_escaped(make_rig: MakeRig, tmp_path: Path) -> None:
    received = await WAYS["tcp, nul"](make_rig, tmp_path, "preserve", HOSTILE)
    assert received == [message.replace(b"\0", b"#000") for message in HOSTILE]


@pytest.mark.parametrize("way", UNCHANGED.values(), ids=UNCHANGED)
async def test_counted_octets_and_datagrams_are_unchanged(
    way: Way, make_rig: MakeRig, tmp_path: Path
) -> None:
    assert await way(make_rig, tmp_path, "preserve", HOSTILE) == HOSTILE


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_equal_texts_of_different_priority_stay_apart(
    way: Way, make_rig: MakeRig, tmp_path: Path
) -> None:
    """Nor are equal messages of one priority folded."""
    assert await way(make_rig, tmp_path, "preserve", EQUAL * 3) == EQUAL * 3


@pytest.mark.parametrize("form", ["rfc5424", "rfc3164", "json"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
async def test_converted_too_each_stays_one(
    way: Way, form: Format, make_rig: MakeRig, tmp_path: Path
) -> None:
    messages = [message.replace(b"\0", b"").replace(b"\r", b"") for message in HOSTILE] + EQUAL
    received = await way(make_rig, tmp_path, form, messages)
    assert len(received) == len(messages)
    for each in received:
        if form == "json":
            assert json.loads(each)["host"] == "h"
        else:
            assert view(each).host == b"h"
        assert form != "rfc5424" or well_formed(each)


def unescaped(line: bytes) -> bytes:
    """What `#ooo` stood for; none of the messages has such a text of its own."""
    parts = line.split(b"#")
    octets = [parts[0]]
    for part in parts[1:]:
        is_escape = part[:3].isdigit() and part[0] in b"0123" and not part[:3].strip(b"01234567")
        octets.append(bytes([int(part[:3], 8)]) + part[3:] if is_escape else b"#" + part)
    return b"".join(octets)
