"""Who holds a file's lock, without taking it: what the kernel says in /proc/locks (proc(5))."""

import os


def lock_holder(path: str) -> int | None:
    """The process that holds flock(2) of this file; None when nobody does, as far as is known.

    A process in another PID namespace is not seen, and some file systems (btrfs) have another
    device in that table than in stat(2).
    """
    try:
        status = os.stat(path, follow_symlinks=False)
        with open("/proc/locks") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    wanted = f"{device}:{status.st_ino}"
    for line in lines:
        _, kind, *fields = line.split()
        if kind == "FLOCK" and wanted in fields:
            return int(fields[2])
    return None
