"""Watching over certificates: how long they are valid, and who is not asked for one."""

import logging
from collections.abc import Sequence

import trio

from relay.config.tls import certificate_files, unverified
from relay.supervisor.state import Relay
from relay.system.ports import Certificate, Tls, TlsUnusable

log = logging.getLogger("relay.tls")

LOOK_SECONDS = 60.0


async def watch_certificates(relay: Relay) -> None:
    """Look at the files now, at each reload and once a minute; a service of `serve`."""
    host = relay.machine.host(relay.config.relay.name)
    while True:
        reloads = relay.reloads
        for name in unverified(relay.config):
            log.warning("destination %s: verify = false: whoever answers gets the messages, "
                        "and may be anybody", name)  # fmt: skip
        while relay.reloads == reloads:
            relay.certificates.files = {
                file: await _certificates(relay, host.tls, file)
                for file in certificate_files(relay.config)
            }
            for text in relay.certificates.due(host.clock.wall_ns() / 1e9):
                log.warning("%s", text)
            if relay.reloads == reloads:
                with trio.move_on_after(LOOK_SECONDS):
                    await relay.reloaded.park()


async def _certificates(relay: Relay, tls: Tls, file: str) -> Sequence[Certificate]:
    """What is wrong with a file is told by whoever needs it."""
    try:
        return await tls.certificates(file)
    except TlsUnusable:
        return relay.certificates.files.get(file, ())
