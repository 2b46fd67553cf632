"""Who holds a lock, asked without taking it: even for a moment it would be missing to its owner."""

import os
from collections.abc import Iterator


def is_held(path: str) -> bool:
    """Whether some process holds a flock(2) on this file, as /proc/locks (proc(5)) says."""
    try:
        number = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        wanted = _device(number), os.fstat(number).st_ino
        return any(wanted == held for held in _held())
    except OSError:
        return False
    finally:
        os.close(number)


def _held() -> Iterator[tuple[str, int]]:
    """Device, as `major:minor` in hexadecimal, and inode of each file that is held."""
    with open("/proc/locks") as locks:
        for line in locks:
            row = line.split()
            if row[1] == "FLOCK":
                device, _, inode = row[5].rpartition(":")
                yield device, int(inode)


def _device(number: int) -> str:
    """That of the mount the file is on, as /proc/locks has it; on btrfs stat(2) says another."""
    status = os.fstat(number)
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}"
    with open(f"/proc/self/fdinfo/{number}") as info:
        mount = next((line.split()[1] for line in info if line.startswith("mnt_id:")), "")
    with open("/proc/self/mountinfo") as mounts:
        for line in mounts:
            row = line.split()
            if row[0] == mount:
                major, _, minor = row[2].partition(":")
                return f"{int(major):02x}:{int(minor):02x}"
    return device
