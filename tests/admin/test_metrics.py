"""Every number of the books is a metric, there from the start, in both formats."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as classic_families
from prometheus_client.registry import Collector

from relay import __version__
from relay.admin.books import books
from relay.admin.exposition import (
    LABEL_CHARACTERS_MAX,
    Family,
    expose,
    family,
    registry_of,
)  # fmt: skip
from relay.admin.file_metrics import FILE_METRICS
from relay.admin.metric import Metric, Sample
from relay.admin.metrics import METRICS
from relay.admin.state import REFUSALS, Admin
from relay.admin.tls_metrics import TLS_METRICS
from relay.core.account import (
    CONNECTION_FAILURES,
    Confirmation,
    ConnectionRefusal,
    Drop,
    Refusal,
)
from relay.core.batch import Batch
from relay.core.files import FILE_FAILURES, FileCounts
from relay.core.tls import DestinationTls
from relay.destinations.tcp import TcpDestination
from relay.system.ports import Certificate, TlsReason
from tests.admin.conftest import TEXT, Rig

Series = Mapping[tuple[str, frozenset[tuple[str, str]]], float]

OPEN = "application/openmetrics-text; version=1.0.0"

WHERES = ("memory", "spool", "lent", "orphan")
LABELS = {
    "confirmation": tuple(Confirmation),
    "where": WHERES,
    "framing": ("octet", "line", "nul"),
    "component": ("pipe forward", "pipe look", "listener net", "listener internal", "admin server"),
    "result": ("success", "failure"),
    "version": (__version__,),
    "kind": ("landlock", "seccomp"),
    "pipe": ("forward", "look"),
    "listener": ("net", "internal"),
    "destination": ("recent",),
    "upstream": ("other",),
    "rule": (),  # there are none here
    "sender": (),  # nobody yet
}
REASONS = {
    "relay_pipe_dropped_total": tuple(Drop),
    "relay_listener_refused_total": tuple(Refusal),
    "relay_listener_connections_refused_total": tuple(ConnectionRefusal),
    "relay_listener_connections_failed_total": CONNECTION_FAILURES,
    "relay_listener_files_failures_total": FILE_FAILURES,
    "relay_admin_requests_refused_total": REFUSALS,
    "relay_tls_failures_total": tuple(TlsReason),
}
NOT_ZERO = {
    "relay_pipe_capacity_messages", "relay_pipe_capacity_bytes", "relay_listener_bound",
    "relay_memory_max_bytes", "relay_ready", "relay_info",
}  # fmt: skip


def series_of(rig: Rig, accept: str = "") -> Series:
    text, _ = expose(registry_of(Admin(rig.relay)), accept)
    families = open_families if accept else classic_families
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families(text.decode())
        for sample in family.samples
        if sample.name.startswith("relay_")
    }


def value(series: Series, name: str, **labels: str) -> float:
    return series[name, frozenset(labels.items())]


@pytest.mark.parametrize("accept", ["", OPEN])
def test_every_series_is_there_at_zero_from_the_start(rig: Rig, accept: str) -> None:
    series = series_of(rig, accept)
    assert series.keys() == expected([it for it in METRICS if not _is_of_some(it)], LABELS)
    assert {name for (name, _), number in series.items() if number} == NOT_ZERO


def test_a_listener_that_follows_files_has_series_of_its_own(rig: Rig) -> None:
    rig.relay.ledger.listeners["net"].files = FileCounts()
    series = series_of(rig)
    assert series.keys() >= expected(FILE_METRICS, {**LABELS, "listener": ("net",)})
    assert {name for (name, _), number in series.items() if number} == NOT_ZERO


@pytest.mark.parametrize("verify", [True, False])
def test_a_destination_that_speaks_tls_has_series_of_its_own(rig: Rig, verify: bool) -> None:
    siem = rig.relay.config.destinations["siem"]
    assert isinstance(siem, TcpDestination)
    secure = siem.model_copy(update={"tls": DestinationTls(verify=verify)})
    destinations = {**rig.relay.config.destinations, "siem": secure}
    rig.relay.config = rig.relay.config._replace(destinations=destinations)
    health = rig.relay.ledger.pipes["forward"].health("siem")
    edge = Certificate("host.pem", "edge1", ("edge1.example.net",), "ca", 1e9, 2e9)
    rig.relay.certificates.files = {"host.pem": [edge]}
    series = series_of(rig)
    labels = {**LABELS, "pipe": ("forward",), "destination": ("siem",),
              "file": ("host.pem",), "subject": ("edge1",)}  # fmt: skip
    assert series.keys() >= expected(TLS_METRICS, labels)
    assert value(series, "relay_tls_certificate_not_after_timestamp_seconds",
                 file="host.pem", subject="edge1") == 2e9  # fmt: skip
    assert value(series, "relay_tls_unverified", destination="siem") == (not verify)
    health.tls_failures[TlsReason.EXPIRED] += 2
    failures = {"pipe": "forward", "destination": "siem", "reason": "expired"}
    assert value(series_of(rig), "relay_tls_failures_total", **failures) == 2


def _is_of_some(metric: Metric) -> bool:
    """Whether only those of one type, of TLS, or with several destinations, have it."""
    several = metric.labels[:2] == ("pipe", "destination")
    return several or metric in FILE_METRICS or metric in TLS_METRICS


def expected(
    metrics: Sequence[Metric], labels: Mapping[str, Sequence[str]]
) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    """The series of these metrics, with each value of each label."""
    return {
        (metric.name, frozenset(zip(metric.labels, values, strict=True)))
        for metric in metrics
        for values in product(
            *(
                REASONS[metric.name] if label == "reason" else labels[label]
                for label in metric.labels
            )
        )
    }


def test_each_of_several_destinations_has_series_of_its_own(rig: Rig) -> None:
    account = rig.relay.ledger.pipes["forward"]
    account.configure(["recent", "spare"])
    recent, spare = account.health("recent"), account.health("spare")
    recent.down_reason, recent.active, recent.failures = "refused", False, 3
    spare.up, spare.delivered = True, 7
    account.failovers = 1

    def number(name: str, destination: str) -> float:
        labels = {"pipe": "forward", "destination": destination}
        return value(series_of(rig), f"relay_pipe_destination_{name}", **labels)

    assert [number(it, "recent") for it in ("active", "up", "failing", "stalled")] == [0, 0, 1, 0]
    assert [number(it, "spare") for it in ("active", "up", "failing", "stalled")] == [1, 1, 0, 0]
    assert (number("failures_total", "recent"), number("delivered_total", "spare")) == (3, 7)
    series = series_of(rig)
    assert value(series, "relay_pipe_failovers_total", pipe="forward") == 1
    assert value(series, "relay_destination_up", pipe="forward") == 1
    assert value(series, "relay_destination_failures_total", pipe="forward") == 3
    before = {key for key in series if key[0].startswith("relay_pipe_destination_")}

    account.configure(["spare"])
    after = {key for key in series_of(rig) if key[0].startswith("relay_pipe_destination_")}
    gone = before - after  # of what is no longer configured the counters stay
    assert {name for name, _ in gone} == {
        f"relay_pipe_destination_{it}" for it in ("active", "up", "failing", "stalled")
    }
    assert {dict(labels)["destination"] for _, labels in gone} == {"recent"}


def test_the_ledger_shows_each_of_several_destinations(rig: Rig) -> None:
    account = rig.relay.ledger.pipes["forward"]
    assert books(rig.relay)["pipes"]["forward"]["destinations"] == {}
    account.configure(["recent", "spare", "third"])
    account.health("recent").down_reason = "refused"
    account.health("spare").up = account.health("spare").stalled = True
    shown = books(rig.relay)["pipes"]["forward"]["destinations"]
    assert [it["state"] for it in shown.values()] == ["down", "stalled", "idle"]
    assert shown["recent"]["down_reason"] == "refused"


def test_addresses_are_shown_while_they_are_members(rig: Rig) -> None:
    account = rig.relay.ledger.pipes["forward"]
    account.configure(["siem/1"])
    account.health("siem/1").address = "a.example.net 192.0.2.7:514"
    labels = {"pipe": "forward", "destination": "siem/1", "address": "a.example.net 192.0.2.7:514"}
    assert value(series_of(rig), "relay_pipe_destination_info", **labels) == 1
    shown = books(rig.relay)["pipes"]["forward"]["destinations"]
    assert shown["siem/1"]["address"] == "a.example.net 192.0.2.7:514"
    account.configure(["recent"])
    assert not any(name == "relay_pipe_destination_info" for name, _ in series_of(rig))
    assert books(rig.relay)["pipes"]["forward"]["destinations"] == {}


def test_names_of_the_table_are_unique_and_follow_practice() -> None:
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))
    for metric in METRICS:
        assert re.fullmatch(r"relay_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.help.endswith(".")


def test_what_is_booked_is_what_is_exposed(rig: Rig) -> None:
    relay = rig.relay
    channel = relay.pipes["forward"].channel
    now = time.time_ns()
    messages = [b"0123456789"] * 10
    channel.put(Batch(messages, ["h"] * 10, "net", now - 2_000_000_000, 100, zone="UTC"))
    with channel.lease() as lease:
        channel._queue.lend(10, 1 << 20)
        lease.settle(3, Confirmation.ACKED)
        lease.refuse(1, Drop.REFUSED)
        series = series_of(rig)
        where = {"pipe": "forward", "where": "lent"}
        assert value(series, "relay_pipe_held_messages", **where) == 6
        acked = {"pipe": "forward", "confirmation": "acked"}
        assert value(series, "relay_pipe_delivered_total", **acked) == 3
        refused = {"pipe": "forward", "reason": "refused"}
        assert value(series, "relay_pipe_dropped_total", **refused) == 1
        assert value(series, "relay_pipe_held_bytes", pipe="forward") == 6 * (10 + 64)
        assert value(series, "relay_memory_used_bytes") == 6 * (10 + 64)
        assert 2 <= value(series, "relay_pipe_oldest_seconds", pipe="forward") < 60
    series = series_of(rig)
    assert value(series, "relay_pipe_retried_total", pipe="forward") == 6
    assert value(series, "relay_ledger_residual", pipe="forward") == 0
    assert value(series, "relay_losses_untold") == 1
    assert value(series, "relay_pipe_capacity_messages", pipe="forward") == 100


def test_listeners_sum_up_what_framing_and_length_cut(rig: Rig) -> None:
    account = rig.relay.ledger.listener("net")
    account.truncated, account.truncated_octets = 2, 20
    account.frames.truncated, account.frames.truncated_octets = 3, 30
    series = series_of(rig)
    assert value(series, "relay_listener_truncated_total", listener="net") == 5
    assert value(series, "relay_listener_truncated_bytes_total", listener="net") == 50


def test_the_kernel_is_asked_before_the_books_are_read(rig: Rig) -> None:
    account = rig.relay.ledger.listener("net")

    def refresh() -> None:
        rig.relay.ledger.kernel_dropped(account, 7)

    account.probes.append(refresh)
    series = series_of(rig)
    assert value(series, "relay_listener_kernel_dropped_total", listener="net") == 7


def test_a_book_that_does_not_balance_shows(rig: Rig) -> None:
    rig.relay.ledger.pipes["look"].received += 2
    rig.relay.ledger.listeners["net"].received += 3
    series = series_of(rig)
    assert value(series, "relay_ledger_residual", pipe="look") == 2
    assert value(series, "relay_ledger_offered_residual") == -2
    assert value(series, "relay_ledger_listener_residual", listener="net") == 3


def test_counters_of_what_is_no_longer_configured_stay_and_its_state_goes(rig: Rig) -> None:
    relay = rig.relay
    relay.ledger.pipes["forward"].filtered = relay.ledger.pipes["forward"].received = 5
    before = series_of(rig)
    text = TEXT[: TEXT.index("[pipes.forward]")] + TEXT[TEXT.index("[pipes.look]") :]
    relay.config = rig.load(text)
    del relay.pipes["forward"]
    del relay.listeners["net"]
    after = series_of(rig)
    counters = {metric.name for metric in METRICS if metric.kind == "counter"}
    kept = {key: number for key, number in before.items() if key[0] in counters}
    assert kept == {key: number for key, number in after.items() if key[0] in counters}
    assert {name for name, _ in before.keys() - after.keys()} == {
        "relay_pipe_capacity_messages", "relay_pipe_capacity_bytes", "relay_pipe_spool_bytes",
        "relay_pipe_spool_capacity_bytes", "relay_pipe_spool_failing",
        "relay_destination_up", "relay_destination_stalled", "relay_listener_bound",
    }  # fmt: skip


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_has_nothing_to_say(rig: Rig) -> None:
    text, _ = expose(registry_of(Admin(rig.relay)), "")
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


NAMES = st.text(max_size=400) | st.binary(max_size=40).map(
    lambda it: it.decode(errors="surrogateescape")
)


@given(st.lists(NAMES, max_size=8))
@example(["a\nb", "a#012b", 'q"q', "b\\", "\udcff", "\ud800", "x" * 65536, "x" * 65537, "\0\r\t"])
def test_no_name_spoils_the_exposition(names: list[str]) -> None:
    """Whatever senders and upstreams are called, a scrape can be read, and counts each once."""
    counted = {(name,): 1.0 for name in names}
    registry = CollectorRegistry()
    registry.register(Named(counted.items()))
    for accept, families in (("", classic_families), (OPEN, open_families)):
        text, _ = expose(registry, accept)
        [family] = families(text.decode())
        assert sum(sample.value for sample in family.samples) == len(counted)
        labels = [sample.labels["sender"] for sample in family.samples]
        assert len(set(labels)) == len(labels)
        assert all(len(it) <= LABEL_CHARACTERS_MAX and it.isprintable() for it in labels)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_reads_hostile_names() -> None:
    hostile = ['"', "\\", "\n", "\r", "\0", "\udcff", "{}", "=", "# HELP x", "x" * 65536, "\u202e"]
    registry = CollectorRegistry()
    registry.register(Named([((name,), 1.0) for name in hostile]))
    text, _ = expose(registry, "")
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


class Named(Collector):
    """One metric, with these labels."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterator[Family]:
        metric = Metric("relay_any", "gauge", "Any.", ("sender",), lambda _: self._samples)
        yield family(metric, self._samples)


@given(st.text(alphabet="aplication/openmetrics-textversion=;,.q0123*/ plain escaping=xyz\"'"))
def test_any_accept_header_gets_an_answer(accept: str) -> None:
    expose(CollectorRegistry(), accept)
    expose(CollectorRegistry(), "application/openmetrics-text;" + accept)
    expose(CollectorRegistry(), "text/plain;version=" + accept)
