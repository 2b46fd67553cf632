"""The process that looks how far a program is whose messages do not come to the sink.

It begins when all is sent: to answer costs Relay something, and there is nothing to learn until
then.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench.sink import QUIET_SECONDS
from tests.scenarios.harness.books import Scraper, total

FILE_SECONDS = 0.001
LEDGER_SECONDS = 0.02


def watch(look: Callable[[], int], expected: int, pause: float) -> tuple[int, float]:
    """Until so much is there, or nothing more comes; returns how much, and since when."""
    found, since = 0, time.monotonic()
    while found < expected and time.monotonic() - since < QUIET_SECONDS:
        now = look()
        if now != found:
            found, since = now, time.monotonic()
        else:
            time.sleep(pause)
    return found, since


def main() -> None:
    what, path, admin, expected = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    print(json.dumps({}), flush=True)
    sys.stdin.readline()  # all is sent
    if what == "file":
        octets, last = watch(
            lambda: path.stat().st_size if path.exists() else 0, int(expected), FILE_SECONDS
        )
    else:
        scraper = Scraper(admin)

        def delivered() -> int:
            return sum(total(pipe["delivered"]) for pipe in scraper.ledger()["pipes"].values())

        octets, last = watch(delivered, int(expected), LEDGER_SECONDS)
    print(json.dumps({"octets": octets, "last": last, "trail": []}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
