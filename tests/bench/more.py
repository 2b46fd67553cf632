"""Rows beside those that Relay is held to: one question each, by groups.

A group varies one thing, and all else is as in the row `tcp-tcp`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench import outputs
from tests.bench.comparison import Comparison, Peer
from tests.bench.latency import Latency
from tests.bench.load import Load
from tests.bench.messages import Dialect
from tests.bench.overload import Overload
from tests.bench.program import RELAY, RSYSLOG, Program
from tests.bench.row import Row
from tests.bench.syslog_ng import datagram_syslog_ng, plain_syslog_ng

TCP = Load("tcp", 1_000_000)
UDP = Load("udp", 0, burst=100)
RFC5424_OUT, JSON_OUT = ("rfc5424", "RFC 5424"), ("json", "JSON")
CONVERSIONS: Sequence[tuple[Dialect, str, str, Sequence[tuple[str, str]]]] = (
    ("rfc3164", "", "RFC 3164", (RFC5424_OUT, JSON_OUT)),
    ("fleet", "-fleet", "RFC 3164, each of another host and process,", (RFC5424_OUT, JSON_OUT)),
    ("rfc5424", "-rfc5424", "RFC 5424", (JSON_OUT,)),
)
OFFERED = (50_000, 100_000, 150_000, 200_000, 300_000, 400_000)  # datagrams a second
HUP_SECONDS = 1.0


def variant(program: Program, text: str, name: str = "") -> Program:
    """The program with other outputs."""
    return replace(program, name=name or program.name, values=(("outputs", text),))


def pair(name: str, about: str, load: Load, relay: Program, rsyslog: Program) -> Comparison:
    return Comparison(name, about, load, relay, (Peer(rsyslog),))


def _sizes() -> Sequence[Row]:
    return [
        Comparison(f"size-{octets}", f"{octets:,} octets a message", replace(
            TCP, octets=octets, messages=messages))
        for octets, messages in (
            (64, 2_000_000), (256, 2_000_000), (1024, 600_000), (8192, 100_000))
    ]  # fmt: skip


def _connections() -> Sequence[Row]:
    """As fast as they go."""
    return [
        Comparison(
            f"connections-{count}",
            f"{count:,} connections, as fast as they go",
            replace(TCP, connections=count),
        )
        for count in (1, 10, 100, 900, 5000)
    ]


def _flat() -> Sequence[Row]:
    """The same in all, which should cost the same."""
    return [
        Comparison(
            f"flat-{count}",
            f"20,000 messages/s over {count:,} connections, one a write",
            Load("tcp", 100_000, connections=count, rate=20_000),
        )
        for count in (1, 10, 100, 900, 5000)
    ]


def _fan_out() -> Sequence[Row]:
    return [
        pair(
            f"fan-out-{count}",
            f"each message to {count} destinations",
            replace(TCP, messages=TCP.messages // count),
            replace(variant(RELAY, outputs.relay_copies(count)), copies=count),
            replace(variant(RSYSLOG, outputs.rsyslog() * count), copies=count),
        )
        for count in (1, 3, 10)
    ]


def _rules() -> Sequence[Row]:
    return [
        pair(
            f"rules-{count}",
            f"{count} texts that no message contains are looked for",
            replace(TCP, messages=TCP.messages // (1 + count // 20)),
            variant(RELAY, outputs.relay_rules(count)),
            variant(RSYSLOG, outputs.rsyslog_rules(count)),
        )
        for count in (0, 10, 100)
    ]


def _formats() -> Sequence[Row]:
    return [
        pair(
            f"to-{name}{suffix}",
            f"{came} in, {about} out, one a line",
            replace(TCP, dialect=dialect),
            replace(variant(RELAY, outputs.relay_format(name)), ends="lines"),
            replace(variant(RSYSLOG, outputs.rsyslog_format(name)), ends="lines"),
        )
        for dialect, suffix, came, to in CONVERSIONS
        for name, about in to
    ]


def _local() -> Sequence[Row]:
    """What stays on this machine; rsyslog has no ring in memory."""
    file = replace(
        variant(RELAY, outputs.relay("file", 'type = "file"\npath = "@directory@/out"')),
        ends="file",
    )
    omfile = 'type="omfile" file="@directory@/out" template="line"'
    # As its documentation advises for throughput: a large buffer, written when a batch has ended.
    buffered = 'ioBufferSize="256k" flushOnTXEnd="on"'
    rsyslog = replace(variant(RSYSLOG, outputs.rsyslog(omfile, buffered)), ends="file")
    ring = replace(variant(RELAY, outputs.relay("ring", 'type = "memory"')), ends="ledger")
    return [
        pair("file", "to a file", TCP, file, rsyslog),
        Comparison("memory", "to a ring in memory of 1 MiB", TCP, ring, ()),
    ]


def _dead() -> Sequence[Row]:
    """The ratio to itself is what the dead one takes from the live one.

    Long enough that the 64 MiB which wait for it, new memory, are a sixteenth of what passes.
    """
    gone = outputs.TO_SINK.replace("@sink@", "@dead@")
    live = outputs.relay("live", outputs.TO_SINK)
    relay = variant(RELAY, live + "\n" + outputs.relay("dead", gone, ""))
    queue = outputs.rsyslog(outputs.FORWARD, outputs.LIVE_QUEUE)
    nobody = outputs.rsyslog(outputs.FORWARD.replace("@sink@", "@dead@"), outputs.DEAD_QUEUE)
    peers = (
        Peer(variant(RELAY, live, "relay, the live one alone")),
        Peer(variant(RSYSLOG, queue + nobody), 4),
        Peer(variant(RSYSLOG, queue, "rsyslog, the live one alone"), 4),
    )
    load = replace(TCP, messages=4_000_000)
    return [Comparison("dead", "a dead destination beside a live one", load, relay, peers)]


def _reload() -> Sequence[Row]:
    """SIGHUP has Relay read its configuration again, and rsyslog only open its files anew."""
    load = replace(TCP, messages=8_000_000)
    undisturbed = Peer(replace(RELAY, name="relay, undisturbed"))
    rsyslog = Peer(replace(RSYSLOG, hup_seconds=HUP_SECONDS), 8)
    same = replace(RELAY, hup_seconds=HUP_SECONDS)
    changed = replace(same, turned=(("outputs", outputs.relay_turned()),))
    again = Peer(replace(same, name="relay, nothing changed"))
    return [
        Comparison("reload", "SIGHUP every second", load, same, (undisturbed, rsyslog)),
        Comparison(
            "reload-changed",
            "the same, and each time the configuration is another one",
            load,
            changed,
            (undisturbed, again, rsyslog),
        ),
    ]


def _latencies() -> Sequence[Row]:
    return [
        Latency(
            f"latency-{rate}",
            f"{rate:,} messages/s",
            Load("tcp", messages, rate=rate, timed=True),
            RELAY,
            (RSYSLOG,),
        )
        for rate, messages in ((100, 1_000), (10_000, 50_000), (100_000, 300_000))
    ]


def groups(unpacked: Path | None) -> Mapping[str, Sequence[Row]]:
    """All of them by group; syslog-ng takes part where it is."""
    others = [Peer(program) for program in [plain_syslog_ng(unpacked)] if program]
    datagrams = [program for program in [datagram_syslog_ng(unpacked)] if program]
    return {
        "sizes": _sizes(),
        "connections": _connections(),
        "flat": _flat(),
        "fan-out": _fan_out(),
        "rules": _rules(),
        "formats": _formats(),
        "local": _local(),
        "isolation": _dead(),
        "reloads": _reload(),
        "latencies": _latencies(),
        "syslog-ng": [
            Comparison("tcp-tcp-all", "one connection", TCP, RELAY, (Peer(RSYSLOG), *others))
        ],
        "curve": [
            Overload(
                "udp-loss", "datagrams at rising rates", UDP, OFFERED, (RELAY, RSYSLOG, *datagrams)
            )
        ],
    }
