"""Contexts that are kept, and made anew when their files change."""

import logging
import ssl
from collections.abc import Sequence
from typing import NamedTuple

import trio

from relay.system.ports import Certificate, TlsSettings, TlsUnusable
from relay.system.tls.certificates import certificates_in
from relay.system.tls.context import SYSTEM, SystemTlsContext
from relay.system.tls.files import Stamp, stamp_of

log = logging.getLogger("relay.tls")

Stamps = Sequence[Stamp | None]


class _Kept(NamedTuple):
    stamps: Stamps  # of the files as they were before they were read
    context: SystemTlsContext
    fault: str = ""  # why it is not the one of these files


class SystemTls:
    """Reads certificates, in threads of its component."""

    def __init__(self, limiter: trio.CapacityLimiter) -> None:
        self._limiter = limiter
        self._kept: dict[TlsSettings, _Kept] = {}

    async def load(self, settings: TlsSettings) -> SystemTlsContext:
        kept = self._kept.get(settings)
        now = await trio.to_thread.run_sync(
            _look, settings, kept, abandon_on_cancel=True, limiter=self._limiter
        )
        self._kept[settings] = now
        if kept is not None and now.fault:
            if now.fault != kept.fault or now.stamps != kept.stamps:
                log.warning("TLS files have changed to what cannot be used, "
                            "those read before stay in use: %s", now.fault)  # fmt: skip
        elif kept is not None and now is not kept:
            log.info("TLS files have changed and are in use: %s", ", ".join(_files(settings)))
        return now.context

    async def certificates(self, file: str) -> Sequence[Certificate]:
        return await trio.to_thread.run_sync(
            certificates_in, file, abandon_on_cancel=True, limiter=self._limiter
        )


def _look(settings: TlsSettings, kept: _Kept | None) -> _Kept:
    stamps = [stamp_of(name) for name in _files(settings)]
    if kept is not None and kept.stamps == stamps:
        return kept
    try:
        return _Kept(stamps, SystemTlsContext(settings))
    except TlsUnusable as unusable:
        if kept is None:
            raise
        return _Kept(stamps, kept.context, str(unusable))


def _files(settings: TlsSettings) -> Sequence[str]:
    names = settings.certificate, settings.key, settings.passphrase_file
    return [name for name in (*names, *_authorities(settings)) if name]


def _authorities(settings: TlsSettings) -> Sequence[str | None]:
    if settings.ca != SYSTEM:
        return [settings.ca]
    system = ssl.get_default_verify_paths()  # a bundle, and a directory of single ones
    return [system.cafile, system.capath]
