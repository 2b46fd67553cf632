"""Reading the ledger of a running relay, and the identities that hold at every look."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from tests.scenarios.harness.ports import HOST
from tests.scenarios.harness.waiting import until

Books = dict[str, Any]
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

ANSWER_SECONDS_MAX = 30.0
LOOK_SECONDS = 0.05


class Scraper:
    """One HTTP connection to the admin server, kept open while the server keeps it.

    The server begins to listen after the relay has said that it is ready.
    """

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=ANSWER_SECONDS_MAX)
        until(self._connects, "the admin server listens")

    def get(self, path: str) -> tuple[int, bytes]:
        """The status and the body."""
        try:
            return self._get(path)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            self.close()  # it had been idle for too long; the next request connects anew
            return self._get(path)

    def ledger(self) -> Books:
        """All books, which balance."""
        status, body = self.get("/ledger")
        assert status == 200, body
        books: Books = json.loads(body)
        check(books)
        return books

    def metrics(self) -> Samples:
        status, body = self.get("/metrics")
        assert status == 200, body
        return samples_of(body.decode())

    def close(self) -> None:
        self._connection.close()

    def _connects(self) -> bool:
        with suppress(ConnectionRefusedError):
            self._connection.connect()
            return True
        return False

    def _get(self, path: str) -> tuple[int, bytes]:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        return response.status, response.read()


def samples_of(text: str) -> Samples:
    """The samples of a scrape by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]


def check(books: Books) -> None:
    """Every identity of the ledger, added up here from its numbers."""
    pipes, listeners = books["pipes"].values(), books["listeners"].values()
    for pipe in pipes:
        came = pipe["received"] + pipe["recovered"]
        gone = pipe["filtered"] + total(pipe["delivered"]) + total(pipe["dropped"])
        assert came == gone + total(pipe["held"]), pipe
        assert pipe["residual"] == 0, pipe
    for listener in listeners:
        assert listener["received"] == listener["accepted"] + total(listener["refused"]), listener
        assert listener["residual"] == 0, listener
    offered = sum(listener["offered"] for listener in listeners)
    offered += sum(pipe["dead_letters"] for pipe in pipes)
    assert offered == sum(pipe["received"] for pipe in pipes), books
    assert books["totals"]["residual"] == 0, books


def check_metrics(samples: Samples) -> None:
    """The identities as they are exported."""
    residuals = [
        value
        for (name, _), value in samples.items()
        if name.startswith("relay_ledger_") and name.endswith("residual")
    ]
    assert len(residuals) >= 2
    assert not any(residuals), samples
    by_pipe = {it: summed(samples, f"relay_pipe_{it}", "pipe") for it in (
        "received_total", "recovered_total", "filtered_total", "delivered_total", "dropped_total",
        "held_messages",
    )}  # fmt: skip
    for pipe, received in by_pipe["received_total"].items():
        came = received + by_pipe["recovered_total"][pipe]
        gone = ("filtered_total", "delivered_total", "dropped_total", "held_messages")
        assert came == sum(by_pipe[it][pipe] for it in gone), pipe
    accepted = summed(samples, "relay_listener_accepted_total", "listener")
    refused = summed(samples, "relay_listener_refused_total", "listener")
    for listener, received in summed(samples, "relay_listener_received_total", "listener").items():
        assert received == accepted[listener] + refused[listener], listener
    offered = summed(samples, "relay_listener_offered_total", "listener").total()
    letters = summed(samples, "relay_pipe_dead_letters_total", "pipe").total()
    assert offered + letters == by_pipe["received_total"].total()


def summed(samples: Samples, name: str, label: str) -> Counter[str]:
    """The samples of this name, added up for each value of the label."""
    sums: Counter[str] = Counter()
    for (found, labels), value in samples.items():
        if found == name:
            sums[dict(labels)[label]] += int(value)
    return sums


def check_forward(before: Samples, after: Samples) -> None:
    """No series has gone away, and no counter has gone backwards.

    Rings come and go, and so do the few senders that have series.
    """
    for key, value in before.items():
        if key[0].startswith("relay_") and not key[0].startswith("relay_ring_"):
            assert key in after or "sender" in dict(key[1]), key
        if key[0].startswith("relay_") and key[0].endswith("_total"):
            assert after[key] >= value, (key, value, after[key])


def total(numbers: Mapping[str, int]) -> int:
    return sum(numbers.values())


class Watch:
    """Scrapes without end while inside, in a thread; leaving fails if any scrape was wrong."""

    def __init__(self, port: int, look_seconds: float = LOOK_SECONDS) -> None:
        self.scrapes = 0
        self._port = port
        self._look_seconds = look_seconds
        self._fault: Exception | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._fault and not kind:
            raise self._fault
        assert kind or self.scrapes >= 2

    def _watch(self) -> None:
        scraper = Scraper(self._port)
        before: Samples = {}
        try:
            for after in self._scrapes(scraper):
                check_metrics(after)
                check_forward(before, after)
                before = after
        except Exception as fault:
            self._fault = fault
        finally:
            scraper.close()

    def _scrapes(self, scraper: Scraper) -> Iterator[Samples]:
        """Until the watch is over, and once more then: the first and the last are always taken."""
        while True:
            over = self._over.wait(self._look_seconds)
            scraper.ledger()
            yield scraper.metrics()
            self.scrapes += 1
            if over and self.scrapes >= 2:
                return
