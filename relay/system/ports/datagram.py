"""Datagram sockets, both ways."""

from typing import Protocol

from relay.system.ports.endpoint import Endpoint


class DatagramReceiver(Protocol):
    """A bound datagram socket (UDP or unix)."""

    @property
    def address(self) -> str: ...

    def adjust(self, endpoint: Endpoint) -> None:
        """Take over what a reload has changed: receive buffer, or the file's mode and owner.

        Raises:
            OSError: not permitted, or an unknown owner.
        """

    @property
    def receive_buffer_granted(self) -> int | None:
        """Octets of receive buffer that the kernel gave; `None` when no size was asked for."""

    def receive(self, messages_max: int, octets_max: int) -> tuple[list[bytes], list[str]]:
        """Datagrams that have arrived and their senders' addresses (`local` on unix), in order.

        Stops at `messages_max` datagrams or once `octets_max` is passed (a few datagrams beyond it
        over UDP, which come together); empty lists: nothing there. A datagram is never cut. Pending
        socket errors are swallowed.
        """

    async def readable(self) -> None: ...

    def kernel_drops(self) -> int:
        """Datagrams our kernel dropped on this socket since it was opened here (SO_MEMINFO).

        Grows past 2**32 although the kernel's own count wraps there; always 0 on unix sockets,
        whose senders wait instead.
        """

    def new_kernel_drops(self) -> int:
        """Those of `kernel_drops` that no earlier call has returned: book them now."""

    def seal(self) -> None:
        """From now on our kernel ignores what arrives, uncounted; what it holds can be read."""

    def close(self) -> None: ...


class CredentialReceiver(DatagramReceiver, Protocol):
    """A unix datagram socket whose endpoint asks for credentials."""

    def receive_credentials(
        self, messages_max: int, octets_max: int
    ) -> tuple[list[bytes], list[int]]:
        """As `receive`, with the process ids of the senders as the kernel says.

        0 where it cannot: a process of another pid namespace, or a datagram that was sent before
        the kernel was asked for credentials.
        """

    def program(self, pid: int) -> bytes:
        """The name of a process (`comm` in proc(5)); empty when it has ended."""


class DatagramSender(Protocol):
    """A connected datagram socket (UDP or unix)."""

    def send(self, message: bytes) -> bool:
        """True: our kernel took it. False: no room now, wait for `writable`.

        Raises:
            ConnectionRefusedError: an ICMP error answered an earlier datagram; this is not sent.
            OSError: anything else, EMSGSIZE included.
        """

    async def writable(self) -> None: ...

    def close(self) -> None: ...
