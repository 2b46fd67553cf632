"""Between binding and running: giving up privileges, and locking the process in."""

import logging
import os
import sys
from contextlib import suppress

from relay import __file__ as package
from relay.cli.failure import Failure
from relay.config import Config
from relay.config.confined import commands, ports, touches
from relay.system.children import Helper
from relay.system.machine import SystemMachine
from relay.system.ports import Confinement, Touch
from relay.system.privileges import (
    Identity,
    NotDropped,
    drop,
    forbid_more,
    may_bind_low_ports,
    unprivileged_port_min,
)
from relay.system.sandbox import close, grant

log = logging.getLogger("relay")


def make_state_dir(config: Config, state_dir: str) -> None:
    """One that is new belongs to the user; one that is there stays whose it is.

    Before anything is bound: a socket's file may be in it.
    """
    if config.relay.user is None or os.geteuid() != 0:
        return
    identity = Identity.of(config.relay.user, config.relay.group)
    # It is there, or what it is in is not yet, and is waited for; or root may not do everything:
    # whether the user can write in it is asked when we are the user.
    with suppress(OSError):
        os.mkdir(state_dir, 0o700)
        os.chown(state_dir, identity.uid, identity.gid)


def give_up_privileges(config: Config, machine: SystemMachine, state_dir: str) -> None:
    """Become the user that the configuration names. All sockets are bound by now.

    Raises:
        Failure: that cannot be, or has not taken effect.
    """
    user = config.relay.user
    if user is None:
        if os.geteuid() == 0:
            log.warning("running as root with all its privileges: set user in [relay]")
        return
    identity = Identity.of(user, config.relay.group)
    if os.geteuid() != 0:
        if os.geteuid() != identity.uid:
            raise Failure(f"relay.user: {user}: only root can become another user")
        return
    kept = _kept(config)
    try:
        drop(identity, kept)
    except NotDropped as exc:
        raise Failure(f"relay.user: {user}: {exc}") from exc
    for path in (sys.executable, os.__file__, package):  # what is imported and started later
        if not os.access(path, os.R_OK):
            raise Failure(f"relay.user: {user} cannot read {path}: install it where it can")
    if os.path.isdir(state_dir) and not os.access(state_dir, os.W_OK | os.X_OK):
        raise Failure(f"relay.state_dir: {state_dir} is not writable for {user}")
    log.info("running as %s, capabilities: %s", identity.name, " ".join(kept) or "none")
    machine.confinement = machine.confinement._replace(
        user=identity.name, kmsg="CAP_SYSLOG" in kept
    )


def lock_in(config: Config, machine: SystemMachine) -> None:
    """Start the helper for programs, then close the sandbox behind us. No thread runs yet.

    Raises:
        Failure: it is required, and cannot be had.
    """
    port_min = 0 if may_bind_low_ports() else unprivileged_port_min()
    machine.confinement = machine.confinement._replace(port_min=port_min)
    if config.relay.sandbox == "off":
        log.info("sandbox: off")
        return
    starts = commands(config)
    if starts:
        try:
            machine.helper = Helper(starts)
        except OSError as exc:
            raise Failure(f"the helper that starts programs: {exc.strerror or exc}") from exc
    # The file may be a link, and may be put in its place by rename(2).
    read = {os.path.dirname(it(config.path)) for it in (os.path.abspath, os.path.realpath)}
    wanted = [it for _, it in touches(config)] + [Touch("read", it) for it in sorted(read)]
    wanted = [it._replace(place=os.path.realpath(it.place)) for it in wanted]
    rules = grant(wanted)
    forbid_more()
    closed = close(rules)
    missing = ", ".join(closed.missing)
    if missing and config.relay.sandbox == "require":
        raise Failure(f"relay.sandbox is required, and cannot be had: {missing}")
    if missing:
        log.warning("sandbox: not as closed as it could be: %s", missing)
    log.info("sandbox: landlock %s, seccomp %s",
             *("on" if it else "off" for it in (closed.landlock, closed.seccomp)))  # fmt: skip
    machine.confinement = Confinement(
        user=machine.confinement.user,
        landlock=closed.landlock,
        seccomp=closed.seccomp,
        granted=(*rules, *wanted),
        port_min=port_min,
        kmsg=machine.confinement.kmsg,
        commands=frozenset(starts),
    )


def _kept(config: Config) -> list[str]:
    """The capabilities with which a listener can open anew what it has, after a fault."""
    kept = []
    if any(0 < port < unprivileged_port_min() for _, _, port in ports(config)):
        kept.append("CAP_NET_BIND_SERVICE")
    endpoints = (it for each in config.listeners.values() for it in each.endpoints())
    if any(it.kind == "kmsg" for it in endpoints):
        kept.append("CAP_SYSLOG")
    return kept
