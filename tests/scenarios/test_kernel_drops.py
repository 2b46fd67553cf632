"""What the kernel drops on our UDP sockets is counted to the message, and told."""

import signal
import time

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import in_order, numbered, numbers, told
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.senders import send_datagrams

DATAGRAMS = 20_000

CONFIG = """
[listeners.net]
type = "udp"
listen = ["127.0.0.1:@net@", "[::1]:@net@"]
receive_buffer = "64KiB"

[listeners.internal]
type = "internal"

[destinations.peer]
type = "tcp"
address = "127.0.0.1:@peer@"
framing = "lf"

[pipes.forward]
from = "*"
to = "peer"
"""


def test_drops_while_stopped(prepare: Prepare) -> None:
    """20,000 datagrams come while the process stands still, and its socket holds a few of them.

    Once it runs again, received and dropped add up to what was sent, and after one more second of
    silence they still do. A notice tells the number downstream.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port})
        relay.start()
        relay.pause()
        send_datagrams(relay.port("net"), numbered(DATAGRAMS))
        relay.resume()

        def all_counted() -> tuple[int, int]:
            listener = relay.ledger()["listeners"]["net"]
            return listener["received"], listener["kernel_dropped"]

        relay.until(lambda _: sum(all_counted()) == DATAGRAMS, "all datagrams in the books")
        time.sleep(1)  # the second of silence
        received, dropped = all_counted()
        assert received + dropped == DATAGRAMS
        assert received > 0
        assert dropped > 0
        peer.wait_for(b"to listener net: kernel")
        assert relay.stop() == 0
        peer.wait_ended()
        found = numbers(peer.messages)["a"]
        assert len(found) == received
        assert in_order(found)
        assert told(peer.messages) == {("net", "kernel"): dropped}


def test_drops_just_before_the_stop(prepare: Prepare) -> None:
    """The same, but the signal to stop comes before the process runs again.

    The socket is read to its end, the drops are counted before it is closed, and the last notice
    still goes out.
    """
    with StreamReceiver() as peer:
        relay = prepare(CONFIG, {"peer": peer.port})
        relay.start()
        relay.until(lambda books: books["pipes"]["forward"]["state"] == "up", "the peer is reached")
        relay.pause()
        send_datagrams(relay.port("net"), numbered(DATAGRAMS))
        relay.signal(signal.SIGTERM)
        relay.resume()
        assert relay.wait() == 0
        peer.wait_ended()
        received = len(numbers(peer.messages)["a"])
        assert received + told(peer.messages)["net", "kernel"] == DATAGRAMS
