"""Who sends on a unix socket, as the kernel says: SCM_CREDENTIALS of unix(7)."""

from collections.abc import Sequence
from typing import NamedTuple

from relay.core.account import ListenerAccount
from relay.system.ports import CredentialReceiver
from relay.wire.attribution import attribute


class Attribution(NamedTuple):
    """`credentials` of a unix listener other than "off"; costs 5.6 us a message."""

    account: ListenerAccount
    add: bool  # what a message does not say; else only what it says is verified

    def attributed(
        self, socket: CredentialReceiver, messages: Sequence[bytes], pids: Sequence[int]
    ) -> list[bytes]:
        """The messages with their senders' process ids; 0 is one that the kernel cannot tell."""
        names: dict[int, bytes] = {}  # asked once a process and batch: ids are used again

        def program(pid: int) -> bytes:
            if pid not in names:
                names[pid] = socket.program(pid)
            return names[pid]

        known: list[bytes] = []
        for message, pid in zip(messages, pids, strict=True):
            if not pid or not message:
                known.append(message)
                continue
            named, wrong = attribute(message, pid, program if self.add else None)
            known.append(named)
            self.account.credentials_mended += wrong
        return known
