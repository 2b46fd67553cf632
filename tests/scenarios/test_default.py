"""The configuration that Relay ships with, and the program that everybody logs with."""

import json
import shutil
import subprocess

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.books import sample
from tests.scenarios.harness.process import ROOT

CONFIG = (
    (ROOT / "config" / "relay.toml")
    .read_text()
    .replace(":5514", ":@net@")
    .replace(":9514", ":@admin@")
)


@pytest.mark.skipif(not shutil.which("logger"), reason="logger (bsdutils) is not installed")
def test_three_loggers(prepare: Prepare) -> None:
    """A user starts Relay with the default configuration and tries it with logger.

    Over UDP, over TCP and over the unix socket. The three lines are in the file, in the ring and
    in the counters, and Relay's own messages are there as well.
    """
    relay = prepare(CONFIG)
    relay.start()
    port = str(relay.port("net"))
    for arguments in (
        ("-n", "127.0.0.1", "-P", port, "-d", "hello udp"),
        ("-n", "127.0.0.1", "-P", port, "-T", "hello tcp"),
        ("-u", "state/log.sock", "hello unix"),
    ):
        subprocess.run(["logger", *arguments], cwd=relay.directory, check=True)

    listeners = ("net-udp", "net-tcp", "log-socket")
    relay.until(
        lambda books: (
            all(books["listeners"][name]["received"] == 1 for name in listeners)
            and not books["totals"]["held"]
        ),
        "one message at each listener, delivered",
    )
    books, metrics = relay.ledger(), relay.metrics()
    own = books["listeners"]["internal"]["received"]
    for pipe in ("to-file", "to-memory"):
        assert books["pipes"][pipe]["delivered"]["stored"] == 3 + own
        labels = {"pipe": pipe, "confirmation": "stored"}
        assert sample(metrics, "relay_pipe_delivered_total", **labels) >= 3 + own
    for name in listeners:
        assert sample(metrics, "relay_listener_received_total", listener=name) == 1

    in_file = (relay.directory / "state" / "messages.log").read_text().splitlines()
    status, body = relay.get("/memory/recent")
    in_ring = body.decode().splitlines()
    assert status == 200
    for lines in (in_file, in_ring):
        for text in ("hello udp", "hello tcp", "hello unix"):
            assert sum(text in line for line in lines) == 1
        assert all(line.startswith("<") for line in lines)
    assert json.loads(relay.get("/readyz")[1])
    assert relay.stop() == 0
