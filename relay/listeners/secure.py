"""TLS of a listener: what it shows and asks for, as its files are now."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import trio

from relay.core.intake import Intake
from relay.system.ports import TlsContext, TlsSettings, TlsUnusable

log = logging.getLogger("relay.listener")

LOOK_SECONDS = 1.0  # between two looks at the files


@dataclass(slots=True, eq=False, repr=False)
class Secure:
    """Keeps the context of these settings up to date.

    What could be used last stays in use, also over a restart or a reload. Before there was anything
    to use there is no context; whoever connects then must be refused.
    """

    intake: Intake
    settings: TlsSettings
    fault: str = ""

    @property
    def context(self) -> TlsContext | None:
        kept = self.intake.streams.context
        return kept[1] if kept is not None and kept[0] == self.settings else None

    async def watch(self, looked: Callable[[], None]) -> None:
        """Look at the files once a second until cancelled; `looked` is called behind each."""
        while True:
            await self.load()
            looked()
            await trio.sleep(LOOK_SECONDS)

    async def load(self) -> None:
        """Read what has changed. Cancelled: nothing has changed."""
        listener, streams = self.intake.listener, self.intake.streams
        try:
            context = await self.intake.host.tls.load(self.settings)
        except TlsUnusable as unusable:
            if str(unusable) != self.fault:
                self.fault = str(unusable)
                self._tell()
            return
        streams.context = self.settings, context
        if self.fault:
            self.fault = ""
            log.info("listener %s: its TLS files can be used", listener)

    def _tell(self) -> None:
        if self.context is None:
            log.error("listener %s refuses all connections until its TLS files can be used: %s",
                      self.intake.listener, self.fault)  # fmt: skip
        else:
            log.warning("listener %s: its TLS files cannot be used, those read before stay in use: "
                        "%s", self.intake.listener, self.fault)  # fmt: skip
