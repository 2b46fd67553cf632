"""`relay run`: the configuration, the log and the signals; then the supervisor has it."""

import errno
import gc
import logging
import os
import signal
import threading
import time
import warnings
from functools import partial

import trio

from relay import __version__
from relay.admin.server import serve_admin
from relay.cli.configuration import load_or_fail
from relay.cli.failure import Failure
from relay.cli.lockdown import give_up_privileges, lock_in, make_state_dir
from relay.cli.logs import Writer, start_logging
from relay.config import Config
from relay.core.own import OwnMessages
from relay.supervisor.bindings import Bindings
from relay.supervisor.certificates import watch_certificates
from relay.supervisor.serve import serve
from relay.supervisor.state import Relay
from relay.supervisor.tell import own_messages
from relay.system.descriptors import raise_limit
from relay.system.machine import SystemMachine

log = logging.getLogger("relay")

SIGNALS = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)
FLUSH_SECONDS_MAX = 1.0  # for a stderr that nobody reads
LINGER_SECONDS_MAX = 1.0  # for the admin server, after the books are closed


def run(path: str, log_level: str) -> None:
    """Relay until a signal says to stop.

    Raises:
        Failure: the configuration is invalid, or there is no place for our state.
    """
    config = load_or_fail(path)
    # Trio 0.35 sees that Hypercorn still reads a name that moved.
    warnings.filterwarnings("ignore", category=trio.TrioDeprecationWarning)
    writer = start_logging(log_level)
    own = OwnMessages(wall_ns=time.time_ns)
    try:
        with own_messages(own):
            state_dir = _state_dir(config)
            log.info("relay %s, %s, state in %s", __version__, path, state_dir)
            raise_limit()
            machine = _machine(state_dir)
            # In the only thread so far: privileges are dropped, and a sandbox closed, for a thread.
            # What cannot be bound now is told and tried again by the listener that wants it.
            make_state_dir(config, state_dir)
            bindings = Bindings(machine)
            for listener in config.listeners.values():
                bindings.bind(listener.endpoints())
            give_up_privileges(config, machine, state_dir)
            machine.open_page()  # from here on all that is made belongs to whom we have become
            lock_in(config, machine)
            relay = Relay(config, machine, own=own, bound=bindings)
            writer.start()
            gc.freeze()  # the program itself, which no collection need go through: 12 ms each time
            gc.enable()
            trio.run(_run, relay, writer, machine.watchdog_seconds)
    finally:
        writer.close(FLUSH_SECONDS_MAX)


def _state_dir(config: Config) -> str:
    """Its absolute path. If it is only not there yet, it is waited for while the relay runs.

    Raises:
        Failure: it can never be: a part of its path is no directory.
    """
    path = os.path.abspath(config.relay.state_dir)
    try:
        os.stat(os.path.join(path, "."))
    except OSError as exc:
        if exc.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise Failure(f"state_dir {path}: {(exc.strerror or str(exc)).lower()}") from exc
    return path


def _machine(state_dir: str) -> SystemMachine:
    try:
        return SystemMachine.of(os.environ, state_dir)
    except OSError as exc:
        raise Failure(exc.strerror or str(exc)) from exc


async def _run(relay: Relay, writer: Writer, watchdog_seconds: float | None) -> None:
    with trio.open_signal_receiver(*SIGNALS) as signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        try:
            await serve(
                relay,
                signals,
                services=[serve_admin, watch_certificates, partial(_leave_anyway, writer)],
                watchdog_seconds=watchdog_seconds,
            )
        finally:
            # From here on a signal has nobody to obey it, and nothing left to end.
            signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


async def _leave_anyway(writer: Writer, relay: Relay) -> None:
    """Once the books are closed nothing is worth waiting for: see that the process ends soon."""
    try:
        await trio.sleep_forever()
    finally:
        if relay.phase == "stopped":
            timer = threading.Timer(LINGER_SECONDS_MAX, _leave, [writer])
            timer.daemon = True
            timer.start()


def _leave(writer: Writer) -> None:
    writer.close(FLUSH_SECONDS_MAX)
    os._exit(0)
