"""The program `relay`."""

import gc
import signal
import sys
from contextlib import suppress

INTERRUPTED = 130  # what shells say of a command that Ctrl-C has ended


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage or configuration."""
    # Before anything takes time: a signal that comes while we start waits until we can obey it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
    # What is imported stays. To look for garbage in it, again and again, is a tenth of the start.
    gc.disable()
    if sys.argv[1:2] == ["run"]:
        # From here and not from below Click. The interpreter's own stack grows by 16 KiB, and where
        # imports go on across such an end, these are had from the kernel and given back at nearly
        # every call: 1,000 to 1,800 times, which is 10 to 18 ms, and 200 to 300 times from here.
        # What is broken is told where it is imported for use.
        try:
            with suppress(ImportError, OSError):
                from relay.cli import run  # noqa: F401
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
    from relay.cli.commands import cli

    cli.main()


if __name__ == "__main__":
    main()
