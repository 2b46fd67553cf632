"""The program `relay`."""

import gc
import signal


def main() -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 usage or configuration."""
    # Before anything takes time: a signal that comes while we start waits until we can obey it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGTERM})
    # What is imported stays. To look for garbage in it, again and again, is a tenth of the start.
    gc.disable()
    from relay.cli.commands import cli

    cli.main()


if __name__ == "__main__":
    main()
