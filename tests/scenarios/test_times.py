"""Whose time messages bear, in which zone, and whose clock is wrong."""

import json
import re
import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta, timezone

import pytest

from relay.wire.timestamp import bsd, rfc3339, zone
from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import Samples
from tests.scenarios.harness.process import RelayProcess
from tests.scenarios.harness.receivers import StreamReceiver
from tests.scenarios.harness.waiting import until

CONFIG = """
[listeners.kept]
type = "udp"
listen = ["127.0.0.1:@kept@"]
timezone = "+05:30"

[listeners.ours]
type = "udp"
listen = ["127.0.0.1:@ours@"]
timezone = "Asia/Kolkata"
timestamp = "received"

[destinations]
tcp = { type = "tcp", address = "127.0.0.1:@tcp@", framing = "lf" }
rfc5424 = { type = "file", path = "rfc5424.log", format = "rfc5424" }
rfc3164 = { type = "file", path = "rfc3164.log", format = "rfc3164" }
json = { type = "file", path = "json.log", format = "json" }

[pipes]
tcp = { from = "*", to = "tcp" }
rfc5424 = { from = "*", to = "rfc5424" }
rfc3164 = { from = "*", to = "rfc3164" }
json = { from = "*", to = "json" }
"""
INDIA = zone("+05:30")
SLOW_SECONDS = 3600  # the sender's clock is an hour behind


def test_whose_time(prepare: Prepare) -> None:
    """A sender in India whose clock is an hour slow writes BSD stamps, in its own time.

    One listener keeps them, and the other gives the time of receipt. Every format says the moment
    that the listener says, and the clock shows in the metrics of both. A reload changes whose time
    it is, and nothing is lost by it.
    """
    with ExitStack() as stack:
        tcp = stack.enter_context(StreamReceiver("lf"))
        relay = prepare(CONFIG, {"tcp": tcp.port})
        relay.start()
        started = datetime.now(UTC)
        written_ns = time.time_ns() - SLOW_SECONDS * 10**9
        stamp = bsd(written_ns, INDIA)
        for listener in ("kept", "ours"):
            send(relay, listener, b"<13>%b h app[7]: %b" % (stamp, listener.encode()))
        until(lambda: all(len(lines(relay, it)) == 2 for it in ("json", "rfc3164", "rfc5424")),
              "all is written")  # fmt: skip
        skews = relay.metrics()

        written = datetime.fromtimestamp(written_ns // 10**9, UTC)
        told = {json.loads(line)["message"]: json.loads(line) for line in lines(relay, "json")}
        assert moment(told["kept"]["timestamp"]) == written
        assert told["ours"]["timestamp"] == told["ours"]["received"]
        assert started - timedelta(seconds=1) <= moment(told["ours"]["received"])
        assert {it["host"] for it in told.values()} == {"h"}
        kept, ours = sorted(lines(relay, "rfc5424"), key=lambda it: it.endswith("ours"))
        assert kept == f"<13>1 {rfc3339(written_ns // 10**9 * 10**9).decode()} h app 7 - - kept"
        assert ours == f"<13>1 {told['ours']['received']} h app 7 - - ours"
        kept, ours = sorted(lines(relay, "rfc3164"), key=lambda it: it.endswith("ours"))
        assert kept == f"<13>{stamp.decode()} h app[7]: kept"
        local = moment(told["ours"]["received"]).astimezone(timezone(timedelta(hours=5.5)))
        assert ours == f"<13>{local:%b} {local.day:2} {local:%H:%M:%S} h app[7]: ours"
        for listener in ("kept", "ours"):
            assert skew(skews, listener) == pytest.approx(-SLOW_SECONDS, abs=5)

        relay.write(CONFIG.replace('"received"', '"keep"').replace(
            'timezone = "+05:30"', 'timezone = "+05:30"\ntimestamp = "received"'))  # fmt: skip
        relay.reload()
        for listener in ("kept", "ours"):
            send(relay, listener, b"<13>%b h app[7]: again %b" % (stamp, listener.encode()))
        until(lambda: len(lines(relay, "json")) == 4, "all is written")
        assert relay.stop() == 0
        tcp.wait_ended()
        by_text = {it.partition(b"]: ")[2]: it for it in tcp.messages}
        for text in (b"kept", b"again ours"):
            assert by_text[text] == b"<13>%b h app[7]: %b" % (stamp, text)
        for text in (b"ours", b"again kept"):
            assert re.fullmatch(rb"<13>\d{4}-[\d-]{5}T[\d:]{8}\.\d{3}Z h app\[7\]: %b" % text,
                                by_text[text])  # fmt: skip


def send(relay: RelayProcess, listener: str, message: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(message, ("127.0.0.1", relay.port(listener)))


def lines(relay: RelayProcess, name: str) -> list[str]:
    path = relay.directory / f"{name}.log"
    return path.read_text().splitlines() if path.exists() else []


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def skew(samples: Samples, listener: str) -> float:
    labels = frozenset({"listener": listener, "sender": "127.0.0.1"}.items())
    return samples["relay_listener_skew_seconds", labels]
