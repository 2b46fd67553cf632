"""The ledger: every account of the process, one a pipe name and one a listener name.

An account lives as long as the process, so that no counter ever goes backwards, reload included.
"""

from dataclasses import dataclass, field

from relay.core.account import Drop, ListenerAccount, PipeAccount, Refusal
from relay.core.losses import Losses
from relay.core.upstreams import Upstreams


@dataclass(slots=True, eq=False, repr=False)
class Ledger:
    """Invariant, with no function of ours on the stack: this residual and each account's are 0."""

    losses: Losses = field(default_factory=Losses)
    upstreams: Upstreams = field(default_factory=Upstreams)
    pipes: dict[str, PipeAccount] = field(default_factory=dict)
    listeners: dict[str, ListenerAccount] = field(default_factory=dict)

    def pipe(self, name: str, *destinations: str) -> PipeAccount:
        """The account of this name; loss notices name these destinations from now on."""
        account = self.pipes.get(name)
        if account is None:
            account = self.pipes[name] = PipeAccount(name, self._tell)
        names = ",".join(destinations)
        if account.destination != names:  # else it may have addresses that are configured
            account.destination = names
            account.configure(destinations)
        return account

    def listener(self, name: str) -> ListenerAccount:
        account = self.listeners.get(name)
        if account is None:
            account = self.listeners[name] = ListenerAccount(name)
        return account

    def residual(self) -> int:
        """Messages offered that reached no pipe's book: 0, or there is a bug.

        Listeners offer what they accept, and pipes the dead letters they make.
        """
        offered = sum(account.offered for account in self.listeners.values())
        offered += sum(account.dead_letters for account in self.pipes.values())
        return offered - sum(account.received for account in self.pipes.values())

    def kernel_dropped(self, account: ListenerAccount, messages: int) -> None:
        """Book what the kernel dropped on this listener's sockets, and have it told."""
        account.kernel_dropped += messages
        self.losses.add(f"to listener {account.name}: kernel", messages)

    def refused(
        self, account: ListenerAccount, sender: str, messages: int, reason: Refusal
    ) -> None:
        """Have it told that a listener did not accept messages of this sender."""
        self.losses.add_from(sender, f"to listener {account.name}: {reason}", messages)

    def kernel_overwrote(self, account: ListenerAccount, messages: int) -> None:
        """Book records of the kernel's own log that were overwritten unread, and have it told."""
        account.kernel_dropped += messages
        self.losses.add(", buffer full", messages, noun="kernel message")

    def removed(self, account: ListenerAccount, messages: int) -> None:
        """Book what was removed from this listener's source before it was read; have it told."""
        account.missed += messages
        self.losses.add(f"to listener {account.name}: removed", messages)

    def _tell(self, account: PipeAccount, reason: Drop, messages: int) -> None:
        self.losses.add(f"to destination {account.destination}: {reason}", messages)
