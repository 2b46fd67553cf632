"""Locking the process in: Landlock for files, seccomp for system calls.

Both hold threads that are started later and none that run already, so this is done in the only one.
"""

import contextlib
import errno
import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from relay.system.ports.confinement import Right, Touch

if TYPE_CHECKING:
    from landlockpy import AccessFS, Ruleset
    from pyseccomp import SyscallFilter

T = TypeVar("T")

# What any program reads: names and users, time zones, libraries, certificates.
_READ = (
    "/etc", "/usr", "/lib", "/lib64", "/bin", "/sbin", "/proc", "/sys", "/var/lib/ca-certificates",
    "/run/systemd", "/run/utmp", "/var/run/utmp", "/run/nscd", "/run/resolvconf",
    "/run/NetworkManager", "/run/connman", "/run/log/journal", "/var/log/journal",
    "/dev/urandom", "/dev/random",
)  # fmt: skip

# Nothing of these is of use to a relay, and each a step towards the whole machine. A list of what
# is refused, not of what is allowed: what Python and libc call changes with their versions, and a
# call refused by surprise could lose messages.
_REFUSED = (
    "execve", "execveat",
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp",
    "mount", "umount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount",
    "fspick", "mount_setattr", "pivot_root", "chroot", "swapon", "swapoff",
    "init_module", "finit_module", "delete_module", "create_module",
    "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key",
    "io_uring_setup", "io_uring_enter", "io_uring_register",
    "kexec_load", "kexec_file_load", "reboot", "setns", "unshare",
    "settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64",
    "adjtimex", "stime", "sethostname", "setdomainname", "acct", "quotactl", "quotactl_fd",
    "iopl", "ioperm", "modify_ldt", "vm86", "vm86old", "open_by_handle_at", "syslog", "vhangup",
    "lookup_dcookie", "nfsservctl", "uselib", "personality", "vmsplice", "move_pages",
)  # fmt: skip
_FAMILIES = {
    1: "AF_UNIX",
    2: "AF_INET",
    10: "AF_INET6",
    16: "AF_NETLINK",
}  # getaddrinf(3): the last
_FAMILY_MAX = 64
_SOCK_RAW, _SOCK_PACKET, _SOCK_TYPE_MASK = 3, 10, 0xF
_CLONE_NEW = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # type into the terminal of whoever started us


class _Unavailable(Exception):
    """This kernel, or this installation, has no such thing."""


class Closed(NamedTuple):
    """What is in force from now on, and what cannot be had here, in words."""

    landlock: bool
    seccomp: bool
    missing: Sequence[str]


def close(rules: Iterable[Touch]) -> Closed:
    """Lock this thread in, and all that it starts.

    Landlock: files are opened, made and removed as the rules say, and others' are not. What is open
    stays so. Nobody outside gets signals from us, where the kernel sees to that (Linux 6.12).
    seccomp: the system calls that a relay has no use for are answered with EPERM.
    """
    missing: list[str] = []
    # Both are prepared before either is closed: to find their libraries, programs are started.
    ruleset = _try(missing, lambda: _ruleset(rules))
    calls = _try(missing, _filter)
    landlock = ruleset is not None and _try(missing, lambda: _restrict(ruleset)) is not None
    seccomp = calls is not None and _try(missing, lambda: _load(calls)) is not None
    return Closed(landlock, seccomp, missing)


def grant(touches: Iterable[Touch]) -> list[Touch]:
    """The rules for these touches and for what any program reads, as far as the places are there.

    Of a configured place that is missing, what it will be made in is granted.
    """
    rules: dict[Touch, None] = {}
    for touch in touches:
        # One that is a pattern (terminals) means what is there now.
        places = glob.glob(touch.place) if "*" in touch.place else [_existing(touch.place)]
        rules.update((Touch(touch.right, place), None) for place in places)
    for place in (*_READ, *_python()):
        if os.path.exists(place):
            rules[Touch("read", os.path.realpath(place))] = None
    rules[Touch("device", "/dev/null")] = None
    return list(rules)


def _try(missing: list[str], step: Callable[[], T]) -> T | None:
    try:
        return step()
    except _Unavailable as exc:
        missing.append(str(exc))
        return None


def _ruleset(rules: Iterable[Touch]) -> "Ruleset":
    try:
        import landlockpy
    except ImportError as exc:
        raise _Unavailable("landlockpy is not installed") from exc
    if landlockpy.abi_version() == 0:
        raise _Unavailable("the kernel has no Landlock")
    try:
        ruleset = landlockpy.Ruleset(
            handled_fs=_every(),
            handled_net=landlockpy.AccessNet.NONE,
            scoped=landlockpy.Scope.SIGNAL,
        )
        for rule in rules:
            with contextlib.suppress(FileNotFoundError):  # gone in this moment
                ruleset.allow_path(rule.place, _access(rule.right, rule.place))
    except OSError as exc:
        raise _Unavailable(f"Landlock: {exc.strerror or exc}") from exc
    return ruleset


def _restrict(ruleset: "Ruleset") -> bool:
    try:
        with ruleset:
            ruleset.restrict()
    except OSError as exc:
        raise _Unavailable(f"Landlock: {exc.strerror or exc}") from exc
    return True


def _filter() -> "SyscallFilter":
    try:
        import pyseccomp
    except ImportError as exc:
        raise _Unavailable("pyseccomp is not installed") from exc
    except RuntimeError as exc:
        raise _Unavailable("libseccomp is not installed") from exc
    try:
        calls = pyseccomp.SyscallFilter(defaction=pyseccomp.ALLOW)
        # Of a foreign architecture (32 bits, x32) no call passes by under another number.
        calls.set_attr(pyseccomp.Attr.ACT_BADARCH, pyseccomp.ERRNO(errno.EPERM))
        _refuse(calls)
    except OSError as exc:
        raise _Unavailable(f"seccomp: {exc.strerror or exc}") from exc
    return calls


def _load(calls: "SyscallFilter") -> bool:
    try:
        calls.load()
    except OSError as exc:
        raise _Unavailable(f"seccomp: {exc.strerror or exc}") from exc
    return True


def _refuse(calls: "SyscallFilter") -> None:
    from pyseccomp import EQ, ERRNO, GT, MASKED_EQ, Arch, Arg, resolve_syscall

    refused = ERRNO(errno.EPERM)
    for name in _REFUSED:
        try:
            number = resolve_syscall(Arch.NATIVE, name)
        except OSError:  # not known to this libseccomp
            continue
        if number >= 0:  # else this architecture has none
            calls.add_rule(refused, number)
    for family in range(_FAMILY_MAX + 1):
        if family not in _FAMILIES:
            calls.add_rule(refused, "socket", Arg(0, EQ, family))
    calls.add_rule(refused, "socket", Arg(0, GT, _FAMILY_MAX))
    for family in (2, 10):
        for kind in (_SOCK_RAW, _SOCK_PACKET):
            of_kind = Arg(1, MASKED_EQ, _SOCK_TYPE_MASK, kind)
            calls.add_rule(refused, "socket", Arg(0, EQ, family), of_kind)
    for flag in _CLONE_NEW:  # namespaces
        calls.add_rule(refused, "clone", Arg(0, MASKED_EQ, flag, flag))
    # Its flags are in memory, where no filter sees them; libc takes clone(2) instead then.
    calls.add_rule(ERRNO(errno.ENOSYS), "clone3")
    for request in (_TIOCSTI, _TIOCLINUX):
        calls.add_rule(refused, "ioctl", Arg(1, MASKED_EQ, 0xFFFFFFFF, request))


def _every() -> "AccessFS":
    """All rights that are handled: those up to ABI 5.

    Not RESOLVE_UNIX of ABI 9: names are looked up, and the service manager told, through sockets
    whose places belong to others.
    """
    from landlockpy import fs_for_abi

    return fs_for_abi(5)


def _access(right: Right, place: str) -> "AccessFS":
    from landlockpy import AccessFS

    read = AccessFS.READ_FILE | AccessFS.READ_DIR
    device = read | AccessFS.WRITE_FILE | AccessFS.IOCTL_DEV
    if right == "read":
        access = read
    elif right == "device":
        access = device
    else:
        never = AccessFS.EXECUTE | AccessFS.MAKE_CHAR | AccessFS.MAKE_BLOCK | AccessFS.MAKE_SYM
        access = _every() & ~never
    if os.path.isdir(place):
        return access
    # landlock(7): a rule on a file takes what is of files alone
    return access & (device | AccessFS.TRUNCATE) & ~AccessFS.READ_DIR


def _existing(place: str) -> str:
    """The place, or the nearest above it that is there."""
    place = os.path.realpath(place)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    return place


def _python() -> Iterator[str]:
    """What is still to be imported, and libraries beside the interpreter."""
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix)
    yield from (path for path in sys.path if path)
    yield os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
