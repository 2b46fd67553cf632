"""`relay senders`: against a relay that runs, and its table."""

import json
from pathlib import Path

from relay.cli.senders import senders_text
from tests.cli.conftest import Execute


def test_it_shows_who_has_sent(execute: Execute, running: Path) -> None:
    execute("send", "--unix", f"{running}/log.sock", "--count", "5", "hello")
    config = ("--config", f"{running}/relay.toml")
    while (
        not (found := json.loads(execute("senders", *config, "--json").stdout))["programs"][
            "senders"
        ]
        or found["programs"]["senders"][0]["messages"] < 5
    ):
        pass
    result = execute("senders", *config, "-n", "1")
    assert (result.exit_code, result.stderr) == (0, "")
    head, *rows = result.stdout.splitlines()
    assert head.split()[:4] == ["LISTENER", "SENDER", "DIALECT", "RATE"]
    assert any(row.split()[:3] == ["programs", "local", "rfc5424"] for row in rows)


def test_the_table_has_errors_ages_clocks_and_who_is_awaited() -> None:
    def talker(name: str, **changes: object) -> dict[str, object]:
        return {
            "sender": name, "messages": 70, "weight": 80.0, "error": 0.0, "rate": 7.04,
            "last_seen_seconds": 3.2, "dialect": "rfc3164", "skew_seconds": None,
        } | changes  # fmt: skip

    def expected(name: str, *, silent: bool, heard: bool) -> dict[str, object]:
        return {"sender": name, "silent": silent, "heard": heard, "silence_seconds": 7300.0}

    listener = {
        "known": 1000, "known_max": 1000, "error_max": 12.4,
        "senders": [
            talker("192.0.2.7"),
            talker("fe80::1", error=9.0, skew_seconds=-3600.0, last_seen_seconds=600.0),
        ],
        "expected": [
            expected("fw1", silent=True, heard=True),
            expected("fw2", silent=False, heard=False),
            expected("fw3", silent=False, heard=True),
        ],
    }  # fmt: skip
    assert senders_text(json.dumps({"net": listener}).encode()).splitlines() == [
        "LISTENER  SENDER     DIALECT   RATE  MESSAGES  WEIGHT   LAST SEEN       SKEW",
        "net       192.0.2.7  rfc3164  7.0/s        70      80     3 s ago          -",
        "net       fe80::1    rfc3164  7.0/s        70   80 -9  10 min ago  -3600.0 s",
        "",
        "LISTENER  EXPECTED  STATE    LAST HEARD",
        "net       fw1       silent      2 h ago",
        "net       fw2       awaited       never",
        "net       fw3       heard       2 h ago",
        "",
        "listener net: more senders than the 1000 that are counted: "
        "a weight is too high by 12 at most",
    ]
