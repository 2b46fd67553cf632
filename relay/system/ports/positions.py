"""Where it is kept how far a listener has read what can be read again."""

from typing import Protocol


class PositionStore(Protocol):
    """One small text a name. Each call is one hop to a thread, abandoned when it is cancelled."""

    async def load(self, name: str) -> bytes | None:
        """What was saved last; None: nothing was.

        Raises:
            OSError: it cannot be read now.
        """

    async def save(self, name: str, content: bytes) -> None:
        """Replace it: the old one or the new one is there whole at any time, a power cut included.

        Of calls that overlap the later one wins.

        Raises:
            OSError: no space or no permission; the old one is still there.
        """
