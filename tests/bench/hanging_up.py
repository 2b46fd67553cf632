"""SIGHUP again and again, while a program is at work."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class Sent:
    """How many there were so far."""

    signals: int = 0


@contextmanager
def hanging_up(
    pid: int, seconds: float, before: Callable[[int], None] = lambda _: None
) -> Iterator[Sent]:
    """Send one now, so that a short run has one, and others at such intervals until the end.

    `before` is called before each, with its number from 0 on.
    """
    sent, over = Sent(), threading.Event()

    def run() -> None:
        while True:
            before(sent.signals)
            os.kill(pid, signal.SIGHUP)
            sent.signals += 1
            if over.wait(seconds):
                return

    thread = threading.Thread(target=run, name="hanging-up")
    thread.start()
    try:
        yield sent
    finally:
        over.set()
        thread.join()
