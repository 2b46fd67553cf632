"""A program that has to read its configuration again while it is at work."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from tests.bench.child import Silent
from tests.bench.hanging_up import hanging_up
from tests.bench.program import Program, Running, configure
from tests.scenarios.harness.books import Scraper, sample
from tests.scenarios.harness.waiting import until

HEARD_SECONDS_MAX = 10.0  # a reload takes a tenth of a second, under load


@contextmanager
def reloading(program: Program, it: Running, seconds: float) -> Iterator[None]:
    """SIGHUP so often. Who counts what it has read has read as often, and taken it, at the end.

    Raises:
        Silent: it refused a configuration, or read it less often.
    """

    def turn(number: int) -> None:
        if program.turned:
            configure(program, {**it.values, **dict(program.turned if number % 2 == 0 else ())})

    with hanging_up(it.pid, seconds, turn) as sent:
        yield
    if program.counts_reloads():
        with closing(Scraper(it.ports["admin"])) as scraper:
            _check(program, scraper, sent.signals)


def _check(program: Program, scraper: Scraper, signals: int) -> None:
    """All were heard: one that comes while another is obeyed waits, and a second is one with it."""
    name = f"{program.name}: {signals} signals"
    if not signals:
        raise Silent(f"{name}: none was sent")
    with suppress(AssertionError):  # the numbers below say more
        until(lambda: sum(_read(scraper)) >= signals, f"{name}, all heard", HEARD_SECONDS_MAX)
    taken, refused = _read(scraper)
    if refused or taken != signals:
        raise Silent(f"{name}, {taken} configurations taken, {refused} refused")
    scraper.ledger()  # which balances


def _read(scraper: Scraper) -> tuple[int, int]:
    """How often a configuration was taken, and refused."""
    found = scraper.metrics()
    taken, refused = (
        int(sample(found, "relay_reloads_total", result=it)) for it in ("success", "failure")
    )
    return taken, refused
