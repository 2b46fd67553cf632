"""Giving up for good what root may do, and seeing that it is gone (credentials(7))."""

import ctypes
import grp
import os
import pwd
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple, Self

_CAPABILITIES = {"CAP_NET_BIND_SERVICE": 10, "CAP_SYSLOG": 34}  # linux/capability.h
_VERSION_3 = 0x20080522  # of struct __user_cap_header_struct: two words of 32 bits

# linux/prctl.h
_SET_DUMPABLE = 4
_SET_KEEPCAPS = 8
_CAPBSET_READ, _CAPBSET_DROP = 23, 24
_SET_NO_NEW_PRIVS = 38
_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL = 47, 4

_UMASK = 0o077


class NotDropped(Exception):
    """Privileges are not gone that were to go: to run all the same would break a promise."""


class Identity(NamedTuple):
    """Whom the process becomes."""

    name: str
    uid: int
    gid: int
    groups: frozenset[int]

    @classmethod
    def of(cls, user: str, group: str | None) -> Self:
        """A user by name or number, with all groups it is in.

        Raises:
            LookupError: there is no such user or group here.
        """
        entry = pwd.getpwuid(int(user)) if user.isdigit() else pwd.getpwnam(user)
        gid = entry.pw_gid
        if group is not None:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        groups = frozenset({*os.getgrouplist(entry.pw_name, gid), gid})
        return cls(entry.pw_name, entry.pw_uid, gid, groups)


def drop(to: Identity, keep: Collection[str]) -> None:
    """Become this user, with these capabilities and no others, without a way back.

    Call it in the only thread: identities and capabilities are a thread's.

    Raises:
        NotDropped: not all of it has taken effect; the process must end.
    """
    try:
        _drop(to, keep)
        _verify(to, keep)
    except OSError as exc:
        raise NotDropped(f"privileges cannot be dropped: {exc.strerror or exc}") from exc


def forbid_more() -> None:
    """No program that is executed has more rights than we, and nobody of our user looks into us.

    Raises:
        OSError: as prctl(2).
    """
    _prctl(_SET_NO_NEW_PRIVS, 1)
    _prctl(_SET_DUMPABLE, 0)


def may_bind_low_ports() -> bool:
    """Whether the capability for ports below `port_min` is there."""
    try:
        effective = _status()["CapEff"][0]
    except OSError:  # no /proc here: bind(2) will tell
        return True
    return bool(int(effective, 16) & 1 << _CAPABILITIES["CAP_NET_BIND_SERVICE"])


def unprivileged_port_min() -> int:
    """The lowest port that anybody may bind (net.ipv4.ip_unprivileged_port_start)."""
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        return 1024


def _drop(to: Identity, keep: Collection[str]) -> None:
    kept = {_CAPABILITIES[name] for name in keep}
    for number in range(64):
        if number not in kept and _prctl_or_none(_CAPBSET_READ, number) == 1:
            _prctl(_CAPBSET_DROP, number)
    _prctl(_SET_KEEPCAPS, 1)
    os.setgroups(sorted(to.groups))
    os.setresgid(to.gid, to.gid, to.gid)
    os.setresuid(to.uid, to.uid, to.uid)
    _prctl(_SET_KEEPCAPS, 0)
    _prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL)
    _set_capabilities(sum(1 << number for number in kept))
    forbid_more()
    os.umask(os.umask(_UMASK) | _UMASK)


def _verify(to: Identity, keep: Collection[str]) -> None:
    """Look at what the kernel says, and try the way back."""
    for name, back in (("uid", os.setuid), ("gid", os.setgid)):
        try:
            back(0)
        except PermissionError:
            continue
        if name == "uid" or to.gid != 0:
            raise NotDropped(f"privileges are not gone: {name} 0 can be had back")
    status = _status()
    kept = sum(1 << _CAPABILITIES[name] for name in keep)
    wanted = {
        "Uid": {to.uid}, "Gid": {to.gid}, "Groups": set(to.groups), "NoNewPrivs": {1},
    }  # fmt: skip
    for name, values in wanted.items():
        if {int(it) for it in status[name]} != values:
            raise NotDropped(f"privileges are not gone: {name} is {' '.join(status[name])}")
    for name in ("CapPrm", "CapEff", "CapBnd"):
        if int(status[name][0], 16) & ~kept:
            raise NotDropped(f"privileges are not gone: {name} is {status[name][0]}")
    for name in ("CapInh", "CapAmb"):
        if int(status[name][0], 16):
            raise NotDropped(f"privileges are not gone: {name} is {status[name][0]}")


def _status() -> dict[str, list[str]]:
    """Of this process, which is its only thread (proc_pid_status(5))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: values.split() for name, _, values in (line.partition(":") for line in lines)}


_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, value: int) -> int:
    answer = int(_libc.prctl(option, *(ctypes.c_ulong(it) for it in (value, 0, 0, 0))))
    if answer < 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))
    return answer


def _prctl_or_none(option: int, value: int) -> int | None:
    try:
        return _prctl(option, value)
    except OSError:  # a number that this kernel has no capability for
        return None


def _set_capabilities(bits: int) -> None:
    """Permitted and effective are these, inheritable none (capset(2))."""
    low, high = bits & 0xFFFFFFFF, bits >> 32
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    if _libc.capset(header, data) < 0:
        raise OSError(number := ctypes.get_errno(), os.strerror(number))
