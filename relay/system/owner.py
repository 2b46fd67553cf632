"""Working on the state of a relay as the user whose relay it is."""

import os


def become_owner(path: str) -> None:
    """As root, become the owner of this directory for good.

    What is made there belongs to the relay then, which could not open it otherwise; and nothing
    that this user has put there makes root do anything.

    Raises:
        OSError: there is no such directory.
    """
    status = os.stat(path)
    if os.geteuid() == 0 and status.st_uid != 0:
        os.setgroups([])
        os.setgid(status.st_gid)
        os.setuid(status.st_uid)
