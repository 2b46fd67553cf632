"""Who holds a lock, asked without taking it: even for a moment it would be missing to its owner."""

import os


def is_held(path: str) -> bool:
    """Whether some process holds a flock(2) on this file, as /proc/locks (proc(5)) says."""
    try:
        inode = os.stat(path, follow_symlinks=False).st_ino
        with open("/proc/locks") as locks:
            rows = [line.split() for line in locks]
    except OSError:
        return False
    return any(row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode) for row in rows)
