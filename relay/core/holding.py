"""What a channel holds, and what of it a crash would cost."""

from typing import TYPE_CHECKING

from relay.core.account import Held, Record

if TYPE_CHECKING:
    from relay.core.channel import Channel


def at_risk(channel: "Channel", head: int) -> int:
    """What a crash would lose now: held, not on disk, and no sender waits for its answer."""
    if channel.orphan:
        return 0
    backlog = channel.backlog
    if backlog is None or not backlog.active:
        return channel._queue.messages - channel.debts.above(head)
    secured = max(backlog.committed, head)
    holes = backlog.in_holes(secured, channel.next)
    return channel.next - secured - holes - channel.debts.above(secured)


def write_record(channel: "Channel", record: Record) -> None:
    """Bring what the next process has to know to where it survives this one."""
    head = channel.head
    first, end = channel.backlog.given_up if channel.backlog is not None else (0, 0)
    record.write(
        channel.account,
        next_number=channel.next,
        head=head,
        owed=channel.debts.above(head),
        at_risk=at_risk(channel, head),
        end=first if first < end else None,
    )


def held(channel: "Channel") -> Held:
    queue = channel._queue
    lent = queue.lent_messages - queue.lent_echoes
    oldest = queue.oldest()
    head = channel.head
    return Held(
        memory=queue.messages - lent,
        lent=lent,
        octets=queue.octets,
        at_risk=at_risk(channel, head),
        oldest_ns=oldest.batch.received_ns if oldest else None,
        at_risk_oldest_ns=_at_risk_oldest_ns(channel, head),
        **channel.spooling.held(),
    )


def _at_risk_oldest_ns(channel: "Channel", head: int) -> int | None:
    if not at_risk(channel, head):
        return None
    rows = channel._queue.held()
    if channel.backlog is not None and channel.backlog.active:
        rows = iter(channel.backlog.unwritten)
    return next((entry.batch.received_ns for entry in rows if entry.end > head), None)
