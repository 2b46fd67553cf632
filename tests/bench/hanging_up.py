"""SIGHUP again and again, while a program is at work."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def hanging_up(pid: int, seconds: float) -> Iterator[None]:
    """Send the first one after so many seconds, and then at such intervals until the end."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(seconds):
            os.kill(pid, signal.SIGHUP)

    thread = threading.Thread(target=run, name="hanging-up")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
