"""The kernel's own log."""

from collections.abc import Sequence
from typing import Protocol

from relay.system.ports.endpoint import Endpoint


class KernelLog(Protocol):
    """An open /dev/kmsg. A new one begins with the oldest record that the kernel has."""

    @property
    def address(self) -> str: ...

    @property
    def boot_id(self) -> str:
        """Names the boot in which the sequence numbers count; empty where nobody knows."""

    def receive(self, records_max: int, octets_max: int) -> tuple[Sequence[bytes], bool]:
        """The next records, and whether these were all there are.

        Stops at `records_max` or once `octets_max` is passed. Records that were overwritten before
        they were read are missing: the sequence numbers say how many.

        Raises:
            OSError: the device is gone.
        """

    async def readable(self) -> None: ...

    def clock_ns(self) -> int:
        """Nanoseconds on the clock that stamps the records, now."""

    def adjust(self, endpoint: Endpoint) -> None:
        """Nothing about it can change."""

    def close(self) -> None: ...
