"""Every metric in one table: name, type, help, labels, and how it is read from the books.

The table is the exposition, so what docs/metrics.md says of it can be tested. Counters belong to
accounts, which live as long as the process: none goes backwards at a reload. What tells the state
of something (up, bound, capacities) is there while that thing is configured.
"""

import time
from collections.abc import Callable, Iterator, Sequence

from relay import __version__
from relay.admin.file_metrics import FILE_METRICS
from relay.admin.metric import (
    Metric,
    Numbers,
    Sample,
    addresses,
    by_destination,
    by_each_destination,
    by_listener,
    by_listener_and,
    by_pipe,
    by_pipe_and,
    by_ring,
    one,
)  # fmt: skip
from relay.admin.process import PROCESS
from relay.admin.senders import SENDERS
from relay.admin.state import Admin
from relay.admin.tls_metrics import TLS_METRICS
from relay.admin.upstreams import UPSTREAMS
from relay.admin.visits import VISITS
from relay.core.account import ListenerAccount, PipeAccount
from relay.core.backlog import Backlog
from relay.core.memory import cost


def _held(account: PipeAccount) -> Numbers:
    held = account.held()
    return {"memory": held.memory, "spool": held.spool, "lent": held.lent, "orphan": held.orphan}


def held_octets(account: PipeAccount) -> float:
    held = account.held()
    return cost(held.memory + held.lent, held.octets)


def _at_risk(account: PipeAccount) -> float:
    return account.held().at_risk


def oldest_seconds(account: PipeAccount) -> float:
    return _age(account.held().oldest_ns)


def at_risk_oldest_seconds(account: PipeAccount) -> float:
    return _age(account.held().at_risk_oldest_ns)


def _age(received_ns: int | None) -> float:
    return max(0.0, (time.time_ns() - received_ns) / 1e9) if received_ns is not None else 0.0


def _of_spools(number: Callable[[Backlog], float]) -> Callable[[Admin], Iterator[Sample]]:
    """By pipe; 0 for one without a spool."""

    def read(admin: Admin) -> Iterator[Sample]:
        for name, pipe in admin.relay.pipes.items():
            backlog = pipe.channel.backlog
            yield (name,), number(backlog) if backlog is not None else 0

    return read


def _capacity_messages(admin: Admin) -> Iterator[Sample]:
    for name, keys in admin.relay.config.pipes.items():
        yield (name,), keys.messages


def _capacity_octets(admin: Admin) -> Iterator[Sample]:
    for name, keys in admin.relay.config.pipes.items():
        yield (name,), keys.memory


def _frames(account: ListenerAccount) -> Numbers:
    return {
        "octet": account.frames.octet,
        "line": account.frames.line,
        "nul": account.frames.nul,
    }


def _skews(admin: Admin) -> Iterator[Sample]:
    for account in admin.relay.ledger.listeners.values():
        for sender, seconds in account.skews.seconds(time.time_ns()).items():
            yield (account.name, sender), seconds


def _bound(admin: Admin) -> Iterator[Sample]:
    for name, listening in admin.relay.listeners.items():
        yield (name,), listening.intake.account.bound


def _restarts(admin: Admin) -> Iterator[Sample]:
    for pipe in admin.relay.ledger.pipes.values():
        yield (f"pipe {pipe.name}",), pipe.restarts
    for listener in admin.relay.ledger.listeners.values():
        yield (f"listener {listener.name}",), listener.restarts
    yield ("admin server",), admin.restarts


_PIPES = (
    by_pipe("received_total", "counter",
            "Messages put to the pipe, before its match rules.", lambda it: it.received),
    by_pipe("recovered_total", "counter",
            "Messages found again after an unclean end.", lambda it: it.recovered),
    by_pipe("filtered_total", "counter",
            "Messages that no match rule took.", lambda it: it.filtered),
    by_pipe_and("delivered_total", "counter",
                "Messages delivered, by who confirmed it.", "confirmation",
                lambda it: it.delivered),
    by_pipe_and("dropped_total", "counter",
                "Messages dropped, by reason.", "reason", lambda it: it.dropped),
    by_pipe_and("changed_total", "counter",
                "Messages that a rule has changed, by rule.", "rule", lambda it: it.changed),
    by_pipe("dropped_notices_total", "counter",
            "Of the dropped: notices of loss, which are not told again.",
            lambda it: it.notices_dropped),
    by_pipe("dead_letters_total", "counter",
            "Of the dropped: messages that the destination refused and dead_letter took over.",
            lambda it: it.dead_letters),
    by_pipe("retried_total", "counter",
            "Messages taken back from a delivery that ended before they were delivered.",
            lambda it: it.retried),
    by_pipe("replayed_total", "counter",
            "Messages sent again although delivered, after an unclean break: possible duplicates.",
            lambda it: it.replayed),
    by_pipe("in_doubt_total", "counter",
            "Messages delivered that a peer may not have read when its connection broke, and that "
            "were not sent again.", lambda it: it.in_doubt),
    by_pipe("unseen_total", "counter",
            "Messages delivered while none of the users they are for was logged in.",
            lambda it: it.unseen),
    by_pipe("missed_total", "counter",
            "Messages that a user's terminal did not take, counted for each terminal.",
            lambda it: it.missed),
    by_pipe("truncated_total", "counter",
            "Messages cut because the destination takes no longer ones.", lambda it: it.truncated),
    by_pipe("truncated_bytes_total", "counter",
            "Bytes cut off these messages.", lambda it: it.truncated_octets),
    by_pipe("network_errors_total", "counter",
            "ICMP errors reported for datagrams sent; no message is dropped for one.",
            lambda it: it.network_errors),
    by_pipe_and("held_messages", "gauge",
                "Messages held: waiting in memory or in the spool, lent to a delivery, or left in "
                "the spool of a removed pipe.", "where", _held),
    by_pipe("held_bytes", "gauge",
            "Bytes held, each message's overhead included, as the key memory counts them.",
            held_octets),
    by_pipe("at_risk_messages", "gauge",
            "Messages that a crash would lose now: held, not on disk, and not their sender's.",
            _at_risk),
    by_pipe("at_risk_oldest_seconds", "gauge",
            "Age of the oldest of them; 0 when there is none.", at_risk_oldest_seconds),
    by_pipe("oldest_seconds", "gauge",
            "Age of the oldest message held; 0 when nothing is held.", oldest_seconds),
    Metric("relay_pipe_capacity_messages", "gauge",
           "Messages the pipe may hold (key messages).", ("pipe",), _capacity_messages),
    Metric("relay_pipe_capacity_bytes", "gauge",
           "Bytes the pipe may hold (key memory).", ("pipe",), _capacity_octets),
    Metric("relay_pipe_spool_bytes", "gauge",
           "Bytes of the spool's files.", ("pipe",), _of_spools(lambda it: it.octets)),
    Metric("relay_pipe_spool_capacity_bytes", "gauge",
           "Bytes that the spool may use (key spool_size); 0: the pipe has none.", ("pipe",),
           _of_spools(lambda it: it.octets_max)),
    Metric("relay_pipe_spool_failing", "gauge",
           "1 while the disk takes nothing, and the pipe runs from memory.", ("pipe",),
           _of_spools(lambda it: bool(it.failing))),
    Metric("relay_ledger_residual", "gauge",
           "Messages that the pipe's book cannot explain; anything but 0 is a bug.", ("pipe",),
           lambda admin: [((it.name,), it.residual()) for it in admin.relay.ledger.pipes.values()]),
    by_destination("up", "gauge", "1 while the destination is reached.", lambda it: it.up),
    by_destination("stalled", "gauge",
                   "1 while the destination is reached and does not read.", lambda it: it.stalled),
    by_destination("connections_total", "counter",
                   "Times the destination was reached.", lambda it: it.connections),
    by_destination("failures_total", "counter",
                   "Times the destination was found down.", lambda it: it.failures),
    by_destination("epochs_total", "counter",
                   "Times the destination has confirmed all that was sent over a connection.",
                   lambda it: it.epochs),
    by_pipe("failovers_total", "counter",
            "Times the messages of a pipe with several destinations went over to another one.",
            lambda it: it.failovers),
    by_pipe("resolve_failures_total", "counter",
            "Times a name with each_address could not be looked up, or not all of it.",
            lambda it: it.resolve_failures),
    addresses(),
    by_each_destination("active", "gauge",
                        "1 while the messages go to this one of several destinations, or would.",
                        lambda it: it.active),
    by_each_destination("up", "gauge", "1 while this one of several destinations is reached.",
                        lambda it: it.up),
    by_each_destination("failing", "gauge",
                        "1 while it was found down and has not been reached since.",
                        lambda it: bool(it.down_reason)),
    by_each_destination("stalled", "gauge", "1 while it is reached and does not read.",
                        lambda it: it.stalled),
    by_each_destination("delivered_total", "counter",
                        "Messages that it has taken, those that it was sent again included.",
                        lambda it: it.delivered),
    by_each_destination("connections_total", "counter", "Times it was reached.",
                        lambda it: it.connections),
    by_each_destination("failures_total", "counter", "Times it was found down.",
                        lambda it: it.failures),
)  # fmt: skip

_LISTENERS = (
    by_listener("received_total", "counter", "Messages received.", lambda it: it.received),
    by_listener("received_bytes_total", "counter",
                "Bytes that came over the wire for them.", lambda it: it.received_octets),
    by_listener("accepted_total", "counter", "Messages accepted.", lambda it: it.accepted),
    by_listener_and("refused_total", "Messages not accepted, by reason.", "reason",
                    lambda it: it.refused),
    by_listener("offered_total", "counter",
                "Accepted messages times the pipes they were put to.", lambda it: it.offered),
    by_listener("unrouted_total", "counter",
                "Accepted messages that no pipe took.", lambda it: it.unrouted),
    by_listener_and("frames_total", "Messages cut out of streams, by framing.", "framing", _frames),
    by_listener("empty_frames_total", "counter",
                "Frames without text, which give no message.", lambda it: it.frames.empty),
    by_listener("truncated_total", "counter",
                "Messages cut because they were longer than message_max.",
                lambda it: it.frames.truncated + it.truncated),
    by_listener("truncated_bytes_total", "counter", "Bytes cut off these messages.",
                lambda it: it.frames.truncated_octets + it.truncated_octets),
    by_listener("incomplete_total", "counter",
                "Frames that ended with their connection and gave no message.",
                lambda it: it.frames.incomplete),
    by_listener("incomplete_bytes_total", "counter",
                "Bytes of these frames.", lambda it: it.frames.incomplete_octets),
    by_listener("invalid_headers_total", "counter",
                "Messages that no parser understood; forwarded as they came.",
                lambda it: it.invalid_headers),
    Metric("relay_listener_skew_seconds", "gauge",
           "How far a sender's clock was ahead of ours in its last message looked at; behind is "
           "negative.", ("listener", "sender"), _skews),
    by_listener("kernel_dropped_total", "counter",
                "Datagrams that the kernel dropped on our sockets.", lambda it: it.kernel_dropped),
    by_listener("missed_total", "counter",
                "Messages removed from the listener's source before they were read.",
                lambda it: it.missed),
    by_listener("credentials_mended_total", "counter",
                "Messages with a process id that was not their sender's, and was replaced.",
                lambda it: it.credentials_mended),
    by_listener("repeats_possible_total", "counter",
                "Messages read again after an unclean end, that may have been put before it.",
                lambda it: it.repeats_possible),
    by_listener("connections_open", "gauge", "Connections open.", lambda it: it.connections_open),
    by_listener("connections_waiting", "gauge",
                "Of the open connections: not read now, because their senders' rates are spent.",
                lambda it: it.connections_waiting),
    by_listener("connections_paced_total", "counter",
                "Times a connection had to wait for its sender's rate.",
                lambda it: it.connections_paced),
    by_listener("connections_accepted_total", "counter",
                "Connections accepted.", lambda it: it.connections_accepted),
    by_listener_and("connections_refused_total", "Connections refused, by reason.", "reason",
                    lambda it: it.connections_refused),
    by_listener_and("connections_failed_total", "Connections that ended badly, by reason.",
                    "reason", lambda it: it.connections_failed),
    by_listener("accept_deferred_total", "counter",
                "Times that accepting was put off for a second, for want of descriptors.",
                lambda it: it.accept_deferred),
    Metric("relay_listener_bound", "gauge",
           "1 while all addresses of the listener are bound.", ("listener",), _bound),
    Metric("relay_ledger_listener_residual", "gauge",
           "Messages that the listener's book cannot explain; anything but 0 is a bug.",
           ("listener",),
           lambda admin: [
               ((it.name,), it.residual()) for it in admin.relay.ledger.listeners.values()
           ]),
)  # fmt: skip

_RELAY = (
    one("relay_ledger_offered_residual", "gauge",
        "Messages offered by listeners that reached no pipe's book; anything but 0 is a bug.",
        lambda admin: admin.relay.ledger.residual()),
    one("relay_losses_untold", "gauge",
        "Dropped messages that no notice of loss has told yet.",
        lambda admin: admin.relay.ledger.losses.untold),
    one("relay_memory_used_bytes", "gauge",
        "Bytes held by all pipes together, overhead included.",
        lambda admin: sum(admin.relay.memory.used.values())),
    one("relay_memory_max_bytes", "gauge",
        "Bytes that all pipes together may hold (key memory_max).",
        lambda admin: admin.relay.memory.octets_max),
    by_ring("overwritten_total", "counter",
            "Lines of a memory ring overwritten by newer ones.", lambda it: it.overwritten),
    by_ring("overflowed", "gauge",
            "1 while lines were overwritten since the ring was cleared.",
            lambda it: it.overflowed),
    by_ring("held_messages", "gauge", "Lines in a memory ring.", lambda it: len(it.lines)),
    by_ring("held_bytes", "gauge", "Bytes in a memory ring, overhead included.",
            lambda it: it.octets),
    Metric("relay_restarts_total", "counter",
           "Restarts of a component after an unexpected exception.", ("component",), _restarts),
    *PROCESS,
    one("relay_ready", "gauge", "1 while every listener is bound and the relay is not stopping.",
        lambda admin: admin.relay.ready),
    Metric("relay_info", "gauge", "Always 1; the version is in the label.", ("version",),
           lambda _: [((__version__,), 1)]),
)  # fmt: skip

METRICS: Sequence[Metric] = (
    *_PIPES, *_LISTENERS, *UPSTREAMS, *SENDERS, *FILE_METRICS, *TLS_METRICS, *_RELAY, *VISITS,
)  # fmt: skip
