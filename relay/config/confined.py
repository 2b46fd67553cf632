"""What a configuration needs of the host, and what of it a locked-in process cannot have."""

import os
from collections.abc import Iterator, Sequence
from typing import cast

from relay.config.lines import KeyPath
from relay.config.load import load, located
from relay.config.model import Config, RelayKeys
from relay.config.tables import Problem
from relay.config.toml import read_text
from relay.core.component import DestinationKeys, ListenerKeys
from relay.core.values import split_address
from relay.system.ports import Confinement, Touch

RESTART = "needs a restart"
# Of a table `tls`: files, which are read again when they change.
_TLS_FILES = ("certificate", "key", "passphrase_file", "ca", "client_ca")
_FIXED = ("user", "group", "sandbox", "state_dir")


def touches(config: Config) -> Iterator[tuple[KeyPath, Touch]]:
    """Every place in the file system that it needs, with the key that says so."""
    yield ("relay", "state_dir"), Touch("write", os.path.abspath(config.relay.state_dir))
    for touch in (*config.admin.touches(), *_tls_files(config.admin)) if config.admin else ():
        yield ("admin", *touch.key.split(".")), touch
    for section in ("listeners", "destinations"):
        for name, component in getattr(config, section).items():
            keys = cast("ListenerKeys | DestinationKeys", component)
            for touch in (*keys.touches(), *_tls_files(keys)):
                yield (section, name, *touch.key.split(".")), touch


def commands(config: Config) -> Sequence[tuple[str, ...]]:
    """The commands that it starts, each once."""
    return list(dict.fromkeys(it for _, it in _commands(config)))


def ports(config: Config) -> Iterator[tuple[KeyPath, tuple[str, str], int]]:
    """The ports that it listens on: the key, what is bound, and the number."""
    for name, listener in config.listeners.items():
        for endpoint in listener.endpoints():
            if endpoint.kind in ("udp", "tcp") and not endpoint.address.startswith("fd:"):
                port = split_address(endpoint.address)[1]
                yield (
                    ("listeners", name, "listen"), (endpoint.kind, endpoint.address), port
                )  # fmt: skip
    if config.admin:
        for address in config.admin.listen:
            if not address.startswith(("fd:", "unix:")):
                yield ("admin", "listen"), ("tcp", address), split_address(address)[1]


def load_within(path: str, now: Config, confinement: Confinement) -> Config:
    """As `load`, for a process that runs and is locked in.

    Raises:
        ConfigErrors: as `load`; what the process cannot do any more.
    """
    new = load(path)
    if problems := list(beyond(new, now, confinement)):
        raise located(problems, read_text(path), path)
    return new


def beyond(new: Config, now: Config, confinement: Confinement) -> Iterator[Problem]:
    """What of a new configuration the process cannot do that runs by another one now."""
    for key in _FIXED:
        if _fixed(new.relay, key) != _fixed(now.relay, key):
            yield Problem(("relay", key), f"cannot change while Relay runs: {RESTART}")
    yield from _places(new, confinement)
    yield from _ports(new, now, confinement)
    yield from _programs(new, confinement)
    yield from _kernel_logs(new, now, confinement)


def _places(new: Config, confinement: Confinement) -> Iterator[Problem]:
    for path, touch in touches(new):
        if path != ("relay", "state_dir") and not confinement.reaches(touch):
            text = f"{touch.place} is outside of what the process is locked in to: {RESTART}"
            yield Problem(path, text)


def _ports(new: Config, now: Config, confinement: Confinement) -> Iterator[Problem]:
    known = {bound for _, bound, _ in ports(now)}
    for path, bound, port in ports(new):
        if 0 < port < confinement.port_min and bound not in known:
            yield Problem(path, f"port {port} cannot be bound without privileges: {RESTART}")


def _programs(new: Config, confinement: Confinement) -> Iterator[Problem]:
    for path, command in _commands(new):
        if not confinement.starts(command):
            text = f"a process that is locked in can start no other command: {RESTART}"
            yield Problem(path, text)


def _kernel_logs(new: Config, now: Config, confinement: Confinement) -> Iterator[Problem]:
    known = {it.address for each in now.listeners.values() for it in each.endpoints()}
    for name, listener in new.listeners.items():
        opened = {it.address for it in listener.endpoints() if it.kind == "kmsg"}
        if not confinement.kmsg and opened - known:
            text = f"the kernel's log cannot be opened without privileges: {RESTART}"
            yield Problem(("listeners", name, "type"), text)


def _commands(config: Config) -> Iterator[tuple[KeyPath, tuple[str, ...]]]:
    for name, destination in config.destinations.items():
        for command in cast("DestinationKeys", destination).commands:
            yield ("destinations", name, "command"), command


def _fixed(keys: RelayKeys, key: str) -> object:
    value = getattr(keys, key)
    return os.path.abspath(value) if key == "state_dir" else value


def _tls_files(component: object) -> Iterator[Touch]:
    """The directories they are in: a new one is often put in place of the old by rename(2)."""
    tls = getattr(component, "tls", None)
    for name in _TLS_FILES if tls is not None else ():
        file = getattr(tls, name, None)
        if not isinstance(file, str) or file == "system":
            continue
        if file.startswith("credential:"):
            directory = os.environ.get("CREDENTIALS_DIRECTORY", "")  # of the service manager
        else:
            directory = os.path.dirname(os.path.realpath(file))
        if directory:
            yield Touch("read", directory, f"tls.{name}")
