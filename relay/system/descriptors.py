"""File descriptors: as many as the host allows, and some that connections never take."""

import errno
import os
import resource

# For destinations to be reached again, files, look-ups and the admin server, while more senders
# are connected than there are descriptors. OpenBSD's syslogd keeps 5 for that (FD_RESERVE).
_RESERVE_MAX = 64
_RESERVE_SHARE = 4  # of few descriptors a quarter


def raise_limit() -> None:
    """Let this process have as many descriptors as it may.

    Service managers keep the soft limit at 1024 for the sake of select(2), which nobody here uses.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_reserve(descriptor: int) -> None:
    """Raise EMFILE when what is left is not for connections. Any open descriptor will do."""
    lowest = os.dup(descriptor)  # the lowest that is free, dup(2); raises when there is none
    os.close(lowest)
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)  # never infinite: fs.nr_open bounds it
    if lowest >= limit - min(_RESERVE_MAX, limit // _RESERVE_SHARE):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
