"""A real Prometheus scrapes the relay."""

import http.client
import json
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.conftest import Prepare
from tests.scenarios.harness.messages import numbered, stream
from tests.scenarios.harness.ports import HOST, free_port
from tests.scenarios.harness.senders import connected
from tests.scenarios.harness.waiting import until

CONFIG = """
[listeners.net]
type = "tcp"
listen = ["127.0.0.1:@net@"]

[listeners.internal]
type = "internal"

[destinations]
ring = { type = "memory" }
away = { type = "tcp", address = "127.0.0.1:@away@" }

[pipes.ring]
from = "*"
to = "ring"

[pipes.away]
from = "net"
to = "away"
"""

SCRAPING = """
scrape_configs:
  - job_name: relay
    scrape_interval: 200ms
    scrape_timeout: 200ms
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
MESSAGES = 1000


@contextmanager
def prometheus(directory: Path, target: int) -> Iterator[int]:
    """Prometheus with one target; gives the port of its API."""
    config = directory / "prometheus.yml"
    config.write_text(SCRAPING.format(port=target))
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'tsdb'}",
        f"--web.listen-address={HOST}:{port}",
    ]
    log = (directory / "prometheus.log").open("wb")
    with log, subprocess.Popen(command, stdout=log, stderr=log, cwd=directory) as process:
        try:
            yield port
        finally:
            process.terminate()


def _query(port: int, query: str) -> list[dict[str, Any]]:
    """The result vector; empty while Prometheus has none, or does not answer yet."""
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request("GET", f"/api/v1/query?query={urllib.parse.quote(query)}")
        response = connection.getresponse()
        body = response.read()
    except ConnectionError:
        return []
    finally:
        connection.close()
    if response.status != 200:
        return []
    result: list[dict[str, Any]] = json.loads(body)["data"]["result"]
    return result


def _value(port: int, query: str) -> float | None:
    found = _query(port, query)
    return float(found[0]["value"][1]) if found else None


@pytest.mark.skipif(not shutil.which("prometheus"), reason="prometheus is not installed")
def test_prometheus_scrapes(prepare: Prepare, tmp_path: Path) -> None:
    """Prometheus finds the target up, every residual 0, and the numbers that the books have."""
    relay = prepare(CONFIG)
    relay.start()
    with connected(relay.port("net")) as sender:
        sender.sendall(stream(numbered(MESSAGES), "lf"))
    relay.until(lambda books: books["pipes"]["away"]["received"] == MESSAGES, "all came")
    with prometheus(tmp_path, relay.port("admin")) as port:
        until(lambda: _value(port, "up") == 1, "the target is up")
        received = 'relay_listener_received_total{listener="net"}'
        until(lambda: _value(port, received) == MESSAGES, "the messages are counted")
        residuals = _query(port, "relay_ledger_residual")
        assert {it["metric"]["pipe"]: it["value"][1] for it in residuals} == {
            "ring": "0",
            "away": "0",
        }
        assert _value(port, "relay_ledger_offered_residual") == 0
        held = 'relay_pipe_held_messages{pipe="away",where="memory"}'
        assert _value(port, held) == MESSAGES
        assert _value(port, 'relay_destination_up{pipe="away"}') == 0
        assert _value(port, "relay_ready") == 1
    relay.kill()


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_has_no_complaint(prepare: Prepare) -> None:
    """The names, types and helps of all metrics are as Prometheus' own linter wants them."""
    relay = prepare(CONFIG)
    relay.start()
    status, body = relay.get("/metrics")
    assert status == 200
    checked = subprocess.run(
        ["promtool", "check", "metrics"], input=body, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr.decode()
    assert not checked.stderr, checked.stderr.decode()
    relay.kill()
