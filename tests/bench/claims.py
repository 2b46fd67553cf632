"""What a program says of the messages it was given: its own counters, in its own words."""

import http.client
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.bench.generator import HOST
from tests.scenarios.harness.books import samples_of

Claims = Mapping[str, int]

ANSWER_SECONDS_MAX = 10.0
_RELAY_WORDS = ("delivered", "retried", "replayed", "in_doubt", "dropped")


def of_relay(admin_port: int) -> Claims:
    connection = http.client.HTTPConnection(HOST, admin_port, timeout=ANSWER_SECONDS_MAX)
    try:
        connection.request("GET", "/metrics")
        return from_metrics(connection.getresponse().read().decode())
    finally:
        connection.close()


def from_metrics(text: str) -> Claims:
    """Of all pipes together. What is delivered is told by its confirmation."""
    claims = dict.fromkeys((*_RELAY_WORDS, "held"), 0)
    for (name, labels), value in samples_of(text).items():
        word = name.removeprefix("relay_pipe_").removesuffix("_total")
        if name == "relay_pipe_held_messages":
            claims["held"] += int(value)
        elif word in _RELAY_WORDS:
            claims[word] += int(value)
            confirmation = dict(labels).get("confirmation")
            if confirmation and value:
                claims[confirmation] = claims.get(confirmation, 0) + int(value)
    return claims


def of_rsyslog(stats: Path) -> Claims:
    """From the file that impstats writes once a second."""
    return from_impstats(stats.read_text() if stats.exists() else "")


def from_impstats(text: str) -> Claims:
    """Of the action `forward` and its queue, in the last line of each."""
    claims = dict.fromkeys(("processed", "failed", "suspended", "discarded", "queued"), 0)
    for line in text.splitlines():
        _, brace, rest = line.partition("{")
        if not rest.endswith("}"):
            continue  # being written
        counters = json.loads(brace + rest)
        if counters.get("name") == "forward":
            claims |= {word: counters[word] for word in ("processed", "failed", "suspended")}
        elif counters.get("name") in ("forward queue", "forward queue[DA]"):
            discarded = counters["discarded.full"] + counters["discarded.nf"]
            claims[counters["name"]] = counters["size"]
            claims[f"{counters['name']} discarded"] = discarded
    claims["queued"] = claims.pop("forward queue", 0) + claims.pop("forward queue[DA]", 0)
    claims["discarded"] = claims.pop("forward queue discarded", 0) + claims.pop(
        "forward queue[DA] discarded", 0
    )
    return claims


def of_syslog_ng(command: Sequence[str]) -> Claims:
    """From `syslog-ng-ctl stats`."""
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return from_ctl(said.stdout)


def from_ctl(text: str) -> Claims:
    """Of the destination `sink`; the queue of its driver."""
    claims = dict.fromkeys(("processed", "written", "dropped", "queued"), 0)
    for line in text.splitlines():
        fields = line.split(";")
        if len(fields) == 6 and fields[0].startswith("dst.") and fields[1].startswith("sink#"):
            word, value = fields[4:]
            if word in claims:
                claims[word] = int(value)
    return claims
