"""The ledger for people and scripts: every account with its identity written out."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from relay import __version__
from relay.admin.metrics import at_risk_oldest_seconds, held_octets, oldest_seconds
from relay.admin.process import sandbox
from relay.core.account import ListenerAccount, PipeAccount
from relay.core.health import Health
from relay.supervisor.state import Relay

View = dict[str, Any]


def books(relay: Relay) -> View:
    """Everything in the ledger, of one moment."""
    relay.refresh()
    pipes = [_pipe(relay, account) for account in relay.ledger.pipes.values()]
    listeners = [_listener(relay, account) for account in relay.ledger.listeners.values()]
    return {
        "version": __version__,
        "phase": relay.phase,
        "sandbox": sandbox(relay),
        "pipes": {it["name"]: it for it in pipes},
        "listeners": {it["name"]: it for it in listeners},
        "totals": _totals(relay, pipes, listeners),
    }


def unreadiness(relay: Relay) -> list[str]:
    """Why the relay is not ready; empty when it is."""
    reasons = [] if relay.phase == "running" else [f"the relay is {relay.phase}"]
    for name, listening in relay.listeners.items():
        if not listening.intake.account.bound:
            reasons.append(f"listener {name} is not bound")
    return reasons


def _pipe(relay: Relay, account: PipeAccount) -> View:
    held = account.held()
    keys = relay.config.pipes.get(account.name)
    delivered, dropped = sum(account.delivered.values()), sum(account.dropped.values())
    return {
        "name": account.name,
        "destination": account.destination,
        "state": _state(relay, account),
        "down_reason": account.down_reason,
        "received": account.received,
        "recovered": account.recovered,
        "filtered": account.filtered,
        "delivered": _named(account.delivered),
        "dropped": _named(account.dropped),
        "changed": dict(account.changed),
        "dropped_notices": account.notices_dropped,
        "dead_letters": account.dead_letters,
        "retried": account.retried,
        "replayed": account.replayed,
        "in_doubt": account.in_doubt,
        "epochs": account.epochs,
        "unseen": account.unseen,
        "missed": account.missed,
        "truncated": account.truncated,
        "truncated_bytes": account.truncated_octets,
        "network_errors": account.network_errors,
        "held": {
            "memory": held.memory,
            "spool": held.spool,
            "lent": held.lent,
            "orphan": held.orphan,
        },
        "at_risk": held.at_risk,
        "at_risk_oldest_seconds": round(at_risk_oldest_seconds(account), 3),
        "held_bytes": held_octets(account),
        "oldest_seconds": round(oldest_seconds(account), 3),
        "spool": _spool(relay, account.name),
        "capacity_messages": keys.messages if keys else 0,
        "capacity_bytes": keys.memory if keys else 0,
        "connections": account.connections,
        "failures": account.failures,
        "failovers": account.failovers,
        "resolve_failures": account.resolve_failures,
        "destinations": _destinations(account),
        "restarts": account.restarts,
        "identity": (
            f"received {account.received} + recovered {account.recovered} = "
            f"filtered {account.filtered} + delivered {delivered} + "
            f"dropped {dropped} + held {held.messages}"
        ),
        "residual": account.residual(),
    }


def _destinations(account: PipeAccount) -> View:
    """Each of several destinations; nothing where there is one."""
    configured = [it for it in account.healths.values() if it.configured]
    if len(configured) < 2 and not any(it.address for it in configured):
        return {}
    return {
        it.destination: {
            "address": it.address,
            "state": _health_state(it),
            "active": it.active,
            "down_reason": it.down_reason,
            "delivered": it.delivered,
            "connections": it.connections,
            "failures": it.failures,
        }
        for it in configured
    }


def _health_state(health: Health) -> str:
    if health.stalled:
        return "stalled"
    if health.up:
        return "up"
    return "down" if health.down_reason else "idle"  # nobody has reached for it


def _spool(relay: Relay, name: str) -> View | None:
    """What the pipe has on disk; None without a spool."""
    pipe = relay.pipes.get(name)
    backlog = pipe.channel.backlog if pipe is not None else None
    if backlog is None:
        return None
    return {
        "bytes": backlog.octets,
        "capacity_bytes": backlog.octets_max,
        "failing": backlog.failing,
    }


def _state(relay: Relay, account: PipeAccount) -> str:
    if account.name not in relay.pipes:
        if account.held().orphan:
            return "orphan"
        return "retiring" if account.name in relay.retiring else "removed"
    if account.stalled:
        return "stalled"
    return "up" if account.up else "down"


def _listener(relay: Relay, account: ListenerAccount) -> View:
    frames = account.frames
    configured = account.name in relay.listeners
    return {
        "name": account.name,
        "state": "removed" if not configured else "bound" if account.bound else "unbound",
        "received": account.received,
        "received_bytes": account.received_octets,
        "accepted": account.accepted,
        "refused": _named(account.refused),
        "offered": account.offered,
        "unrouted": account.unrouted,
        "frames": {"octet": frames.octet, "line": frames.line, "nul": frames.nul},
        "empty_frames": frames.empty,
        "truncated": frames.truncated + account.truncated,
        "truncated_bytes": frames.truncated_octets + account.truncated_octets,
        "incomplete": frames.incomplete,
        "incomplete_bytes": frames.incomplete_octets,
        "invalid_headers": account.invalid_headers,
        "kernel_dropped": account.kernel_dropped,
        "missed": account.missed,
        "credentials_mended": account.credentials_mended,
        "repeats_possible": account.repeats_possible,
        "connections": {
            "open": account.connections_open,
            "waiting": account.connections_waiting,
            "paced": account.connections_paced,
            "accepted": account.connections_accepted,
            "refused": _named(account.connections_refused),
            "failed": _named(account.connections_failed),
            "deferred": account.accept_deferred,
        },
        "files": asdict(account.files) if account.files else None,
        "restarts": account.restarts,
        "identity": (
            f"received {account.received} = accepted {account.accepted} + "
            f"refused {sum(account.refused.values())}"
        ),
        "residual": account.residual(),
    }


def _totals(relay: Relay, pipes: Iterable[View], listeners: Iterable[View]) -> View:
    offered = sum(it["offered"] for it in listeners)
    letters = sum(it["dead_letters"] for it in pipes)
    received = sum(it["received"] for it in pipes)
    came = f"offered {offered}" + (f" + dead letters {letters}" if letters else "")
    return {
        "received": sum(it["received"] for it in listeners),
        "offered": offered,
        "dead_letters": letters,
        "pipes_received": received,
        "delivered": sum(sum(it["delivered"].values()) for it in pipes),
        "dropped": sum(sum(it["dropped"].values()) for it in pipes),
        "held": sum(sum(it["held"].values()) for it in pipes),
        "losses_untold": relay.ledger.losses.untold,
        "identity": f"{came} = received by the pipes {received}",
        "residual": relay.ledger.residual(),
    }


def _named(numbers: Mapping[Any, int]) -> dict[str, int]:
    return {str(name): number for name, number in numbers.items()}
