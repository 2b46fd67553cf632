"""Messages around the longest length, and as many of them as a stopped relay's kernel keeps."""

import socket
from contextlib import ExitStack

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import sample
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import DatagramReceiver, StreamReceiver
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until

LONGEST = 8192
LENGTHS = [LONGEST - 2, LONGEST - 1, LONGEST, LONGEST + 1, 9000]
CUT = [min(length, LONGEST) for length in LENGTHS]
DATAGRAM = 1180
CONFIG = """
[listeners]
udp = { type = "udp", listen = ["127.0.0.1:@net@", "[::1]:@net@"], message_max = "8KiB" }
unix = { type = "unix", path = "log.sock", message_max = "8KiB" }
tcp = { type = "tcp", listen = ["127.0.0.1:@net@"], message_max = "8KiB" }

[destinations]
file = { type = "file", path = "all.log" }
tcp = { type = "tcp", address = "127.0.0.1:@tcp@" }
udp = { type = "udp", address = "127.0.0.1:@udp@" }

[pipes]
file = { from = "*", to = "file" }
tcp = { from = "*", to = "tcp" }
udp = { from = "*", to = "udp" }
"""


def message(length: int, name: str = "length") -> bytes:
    head = b"<13>Nov 23 07:28:45 h %b: " % name.encode()
    return head + b"x" * (length - len(head) - 1) + b"."


def lines(relay: RelayProcess) -> list[bytes]:
    path = relay.directory / "all.log"
    return path.read_bytes().split(b"\n")[:-1] if path.exists() else []


def test_lengths(prepare: Prepare) -> None:
    """Five lengths around 8192 come over every transport.

    What is longer is cut to 8192 and counted with the octets it lost. A file and a frame have all
    of it; a datagram has 1180 octets, and what that costs is counted, too. The streams stay in
    step. Framing does not count.
    """
    with ExitStack() as stack:
        tcp = stack.enter_context(StreamReceiver("octet"))
        udp = stack.enter_context(DatagramReceiver())
        relay = prepare(CONFIG, {"tcp": tcp.port, "udp": udp.port})
        relay.start()
        send_over_udp(relay, [message(length) for length in LENGTHS])
        with program(relay) as sock:
            for length in LENGTHS:
                sock.send(message(length) + b"\n\0")
        with connected(relay.port("net")) as sock:
            for length in LENGTHS:
                sock.sendall(b"%d " % length + message(length))
            for length in LENGTHS:
                sock.sendall(message(length) + b"\n")
        count = 4 * len(LENGTHS)
        until(lambda: len(lines(relay)) == count, "all lines are written")
        udp.wait_messages(count)
        metrics = relay.metrics()
        assert relay.stop() == 0
        tcp.wait_ended()
        assert sorted(map(len, lines(relay))) == sorted(4 * CUT)
        assert sorted(map(len, tcp.messages)) == sorted(4 * CUT)
        assert set(map(len, udp.messages)) == {DATAGRAM}
        for listener, times in ("udp", 1), ("unix", 1), ("tcp", 2):
            labels = {"listener": listener}
            truncated = sample(metrics, "relay_listener_truncated_total", **labels)
            octets = sample(metrics, "relay_listener_truncated_bytes_total", **labels)
            assert truncated == 2 * times, listener
            assert octets == (sum(LENGTHS) - sum(CUT)) * times, listener
        assert sample(metrics, "relay_pipe_truncated_total", pipe="udp") == count
        lost = 4 * (sum(CUT) - DATAGRAM * len(CUT))
        assert sample(metrics, "relay_pipe_truncated_bytes_total", pipe="udp") == lost


def test_what_comes_while_it_stands_still(prepare: Prepare) -> None:
    """The relay is stopped; eight long messages come over UDP (IPv6) and eight over `/dev/log`.

    Their kernel keeps them: when it goes on, all of them are there.
    """
    with ExitStack() as stack:
        tcp = stack.enter_context(StreamReceiver("octet"))
        udp = stack.enter_context(DatagramReceiver())
        relay = prepare(CONFIG, {"tcp": tcp.port, "udp": udp.port})
        relay.start()
        relay.pause()
        sent = [message(LONGEST, f"{name}{n}") for name in ("udp", "unix") for n in range(8)]
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            for each in sent[:8]:
                sock.sendto(each, ("::1", relay.port("net")))
        with program(relay) as sock:
            for each in sent[8:]:
                sock.send(each)
        relay.resume()
        until(lambda: len(lines(relay)) == len(sent), "all lines are written")
        assert relay.stop() == 0
        tcp.wait_ended()
        assert sorted(lines(relay)) == sorted(tcp.messages) == sorted(sent)


def send_over_udp(relay: RelayProcess, messages: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for each in messages:
            sock.sendto(each, ("127.0.0.1", relay.port("net")))


def program(relay: RelayProcess) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.connect(f"{relay.directory}/log.sock")
    return sock
