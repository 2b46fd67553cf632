"""The rows that Relay is held to, and how all rows are chosen."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.bench.backlog import Backlog
from tests.bench.comparison import Comparison, Peer
from tests.bench.direct import Direct
from tests.bench.latency import Latency
from tests.bench.limits import Limits
from tests.bench.load import Load
from tests.bench.more import groups
from tests.bench.program import (
    RELAY_DURABLE,
    RELAY_RELP,
    RELAY_TLS,
    RSYSLOG_DISK,
    RSYSLOG_GNUTLS,
    RSYSLOG_OPENSSL,
    RSYSLOG_RELP,
    RSYSLOG_RELP_DIRECT,
    RSYSLOG_RELP_DISK,
    RSYSLOG_SYNCED,
)
from tests.bench.row import Row
from tests.bench.start import Start
from tests.bench.syslog_ng import durable_syslog_ng

_TCP = Load("tcp", 2_000_000)
_TLS = Load("tls", 1_000_000)
_UDP = Load("udp", 500_000, rate=100_000, burst=100)
_UDP_BURST = Load("udp", 500_000, rate=100_000, burst=100, segmented=True)
_UDP_FLOOD = Load("udp", 2_000_000, segmented=True)
# One message a write, and no burst: 900 senders that know nothing of each other.
_TRICKLE = Load("tcp", 200_000, connections=900, rate=20_000)
_RELP = Load("relp", 1_024_000)
_RELP_QUICK = replace(_RELP, quick=True)
_STEADY = Load("tcp", 100_000, rate=10_000, timed=True)

# Of the synced one 400 messages take six seconds; it is given no more.
_DISKS = (Peer(RSYSLOG_DISK, 4), Peer(RSYSLOG_SYNCED, 5000))
_RELPS = (Peer(RSYSLOG_RELP, 8), Peer(RSYSLOG_RELP_DISK, 8), Peer(RSYSLOG_RELP_DIRECT, 8))
_TLSES = (Peer(RSYSLOG_OPENSSL), Peer(RSYSLOG_GNUTLS))

_DURABLE = Comparison(
    "durable", "TCP to TCP, all of it written to disk and synced", _TCP, RELAY_DURABLE, _DISKS
)

ROWS: Sequence[Row] = (
    Comparison("tcp-tcp", "one connection, as fast as it goes", _TCP),
    Comparison("tls-tls", "TLS on both sides", _TLS, RELAY_TLS, _TLSES),
    Comparison("udp-tcp", "100,000 datagrams/s", _UDP),
    Comparison("udp-burst", "the same, 64 and 36 of them there at once", _UDP_BURST),
    Comparison("udp-flood", "datagrams as fast as they can be sent", _UDP_FLOOD),
    Comparison("trickle", "900 connections, 20,000 messages/s, one a write", _TRICKLE),
    _DURABLE,
    Comparison("relp", "RELP to RELP, windows of 1,024", _RELP, RELAY_RELP, _RELPS),
    Comparison(
        "relp-quick", "the same, the sender's kernel delays no ACK", _RELP_QUICK, RELAY_RELP, _RELPS
    ),
    Backlog("backlog", "{messages:,} messages wait on disk", Load("tcp", 1_000_000), RELAY_DURABLE),
    Latency("latency", "10,000 messages/s, written to disk and synced", _STEADY, RELAY_DURABLE),
    Start("start", "from the start of the process, then left alone", RELAY_DURABLE),
    Direct(
        "direct",
        "generators into the sink",
        (_TCP, _TLS, _UDP, _UDP_FLOOD, _TRICKLE, _RELP, _RELP_QUICK),
    ),
    Limits("limits", "what this machine does of messages of 256 octets, without any program"),
)
NAMES = [row.name for row in ROWS]
GROUPS = {group: [row.name for row in found] for group, found in groups(None).items()}


def rows(names: Sequence[str], *, backlog: int | None, syslog_ng: Path | None) -> Sequence[Row]:
    """Those of these names or groups; those that Relay is held to if there are none.

    A backlog has so many messages. syslog-ng takes part where it is installed, or in
    this directory.
    """
    found: list[Row] = []
    for row in ROWS:
        it = row
        if isinstance(row, Backlog) and backlog:
            it = replace(row, load=replace(row.load, messages=backlog))
        elif row is _DURABLE and (program := durable_syslog_ng(syslog_ng)):
            it = replace(_DURABLE, peers=[*_DISKS, Peer(program, 4)])
        if not names or row.name in names:
            found.append(it)
    for group, more in groups(syslog_ng).items():
        found += [row for row in more if group in names or row.name in names]
    return found
