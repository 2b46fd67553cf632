"""File descriptors: as many as the host allows, and some that connections never take.

A sender whose connection waits in the kernel has lost nothing, so senders come last. First come the
spools, log rotation, a destination to be reached again, and the admin server.
"""

import errno
import os
import resource
from dataclasses import dataclass

# How many are left to whoever needs one for a moment: a look-up, the next segment of a spool, a
# reload, a scrape; of few descriptors, one in so many. OpenBSD's syslogd keeps 5 (FD_RESERVE), and
# so do outputs of 30.
_LAST_MAX, _LAST_SHARE = 64, 5
_LAST_OUTPUT_MAX, _LAST_OUTPUT_SHARE = 16, 6
# However much outputs may need, connections may have one in so many, if nobody else has it.
_CONNECTIONS_SHARE = 8


@dataclass(slots=True, eq=False, repr=False)
class Descriptors:
    """Who may have one more. Invariant: `connections` are accepted and open."""

    needed: int = 0  # by everything that is no connection, at the most
    connections: int = 0

    @property
    def connections_max(self) -> int:
        """How many connections may be open in all."""
        limit = descriptors_max()
        return max(limit - self.needed, limit // _CONNECTIONS_SHARE, 1)

    def check_connection(self, descriptor: int) -> None:
        """Raise EMFILE when what is left is not for connections. Any open descriptor will do."""
        lowest = os.dup(descriptor)  # the lowest that is free, dup(2); raises when there is none
        os.close(lowest)
        if self.connections >= self.connections_max or _is_last(lowest, _LAST_MAX, _LAST_SHARE):
            raise _no_more()


def raise_limit() -> None:
    """Let this process have as many descriptors as it may.

    Service managers keep the soft limit at 1024 for the sake of select(2), which nobody here uses.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def descriptors_max() -> int:
    """How many this process may have open; never infinite, since fs.nr_open bounds it."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def check_output(descriptor: int) -> None:
    """Raise EMFILE when a descriptor just opened to stay is one of the last. The caller closes it.

    Output files and destinations leave a few to the spools and to who asks how we are.
    """
    if _is_last(descriptor, _LAST_OUTPUT_MAX, _LAST_OUTPUT_SHARE):
        raise _no_more()


def _is_last(descriptor: int, last_max: int, share: int) -> bool:
    limit = descriptors_max()
    return descriptor >= limit - min(last_max, limit // share)


def _no_more() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))
