"""Deadlines of connections: how long a peer may take."""

from typing import Literal, NamedTuple

from relay.core.streams import Stream

Late = Literal["first-byte", "unfinished", "unread", "idle"]

NEVER = float("inf")


class Deadlines(NamedTuple):
    """Seconds, of a connection that is read whenever it has something to say."""

    first_byte: float = NEVER  # from connecting to the first octet
    unfinished: float = NEVER  # from the begin of a message to its end
    idle: float = NEVER  # of silence
    handshake: float = NEVER  # from connecting to the end of the TLS handshake

    @property
    def any(self) -> bool:
        return min(self.first_byte, self.unfinished, self.idle) < NEVER

    def missed(self, stream: Stream, now: float, waited_at: float) -> Late | None:
        """Which one this connection has missed. Until `waited_at` nobody was read.

        What arrived and was not read counts as silence: read before you act on it.
        """
        silent = now - stream.heard_at
        if stream.mute and silent > self.first_byte:
            return "first-byte"
        if stream.begun_at is not None and now - max(stream.begun_at, waited_at) > self.unfinished:
            return "unfinished"
        return "idle" if silent > self.idle else None

    def text(self, late: Late) -> str:
        """For the log; "" where the operator has asked for it, and it is no offence."""
        if late == "first-byte":
            return f"ended: it has said nothing for {self.first_byte:g} s"
        if late == "unfinished":
            return f"ended: a message was unfinished for {self.unfinished:g} s"
        if late == "unread":
            return f"ended: it has left its answers unread for {self.unfinished:g} s"
        return ""
