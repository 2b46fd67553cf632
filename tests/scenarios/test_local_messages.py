"""What programs of this machine write, and what becomes of it on every output."""

import signal
import socket
from contextlib import ExitStack
from functools import partial

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import DatagramReceiver, StreamReceiver
from tests.scenarios.harness.waiting import until

CONFIG = """
[listeners.programs]
type = "unix"
path = "log.sock"

[destinations]
file = { type = "file", path = "all.log" }
tcp = { type = "tcp", address = "127.0.0.1:@tcp@", framing = "lf" }
udp = { type = "udp", address = "127.0.0.1:@udp@" }
ring = { type = "memory" }

[pipes]
file = { from = "*", to = "file" }
tcp = { from = "*", to = "tcp" }
udp = { from = "*", to = "udp" }
ring = { from = "*", to = "ring" }
"""
HEAD = b"<13>Nov 23 07:28:45 app[7]: "


def say(relay: RelayProcess, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(f"{relay.directory}/log.sock")
        for each in datagrams:
            sock.send(each)


def lines(relay: RelayProcess) -> list[bytes]:
    path = relay.directory / "all.log"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def written(relay: RelayProcess, count: int) -> bool:
    return len(lines(relay)) == count


def test_ends_of_lines(prepare: Prepare) -> None:
    """Programs end what they write with LF, NUL, both or nothing, and write nothing at all.

    No line is blank, and none has anything behind its text. What has no octet is refused; a tag
    without a text is a message.
    """
    with ExitStack() as stack:
        tcp = stack.enter_context(StreamReceiver("lf"))
        udp = stack.enter_context(DatagramReceiver())
        relay = prepare(CONFIG, {"tcp": tcp.port, "udp": udp.port})
        relay.start()
        texts = [b"foo", b"bar\n", b"foobar\n\n", b"", b"\n", b"\n\n", b"nul\0", b"both\n\0"]
        say(relay, *(HEAD + text for text in texts), b"\n", b"\n\0", b"")
        expected = [HEAD + text.rstrip(b"\n\0") for text in texts]
        until(lambda: len(lines(relay)) == len(expected), "all lines are written")
        udp.wait_messages(len(expected))
        books = relay.ledger()
        assert relay.stop() == 0
        tcp.wait_ended()
        for received in (lines(relay), tcp.messages, udp.messages):
            assert list(received) == expected
        assert books["listeners"]["programs"]["refused"]["empty"] == 3


def test_equal_messages(prepare: Prepare) -> None:
    """Equal messages follow each other, and others are equal but for their priority.

    So it goes before a reload, before another and before the stop. Every output has every one of
    them, in order: none is folded, none counted instead of shown.
    """
    with ExitStack() as stack:
        tcp = stack.enter_context(StreamReceiver("lf"))
        udp = stack.enter_context(DatagramReceiver())
        relay = prepare(CONFIG, {"tcp": tcp.port, "udp": udp.port})
        relay.start()
        texts = [b"foo", b"bar", b"bar", b"bar", b"foo", b"bar", b"bar"]
        told = [HEAD + text for text in texts]
        told += [b"<%d>%b" % (priority, HEAD[4:] + b"equal") for priority in (13, 11, 8)]
        for turns in range(1, 4):
            say(relay, *told)
            until(partial(written, relay, turns * len(told)), "all lines are written")
            if turns < 3:
                relay.reload()
        sent = told * 3
        ring = relay.get("/memory/ring")[1].splitlines()
        udp.wait_messages(len(sent))
        relay.signal(signal.SIGTERM)
        assert relay.wait() == 0
        tcp.wait_ended()
        for received in (lines(relay), tcp.messages, udp.messages, ring):
            assert list(received) == sent
