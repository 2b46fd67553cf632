"""What must be true in the end: numbered messages against the ledger, by pipe and by reason."""

import re
from collections import Counter

from relay.config.model import dead_letter_pipe
from relay.core.account import Drop
from tests.simulation.configuration import OWN, REFUSED, RELP
from tests.simulation.letters import judge_letters
from tests.simulation.life import Life
from tests.simulation.messages import SECRET, is_cut_count, is_own
from tests.simulation.sockets import SimulatedAcceptor
from tests.simulation.verdict import Verdict, names
from tests.simulation.world import World

TOLD = re.compile(r"dropped (\d+) messages? to destination ([\w,-]+): ([\w-]+)")


def judge(world: World) -> None:
    """All promises that can be judged at the end of a run.

    Raises:
        AssertionError: one of them is broken.
    """
    _judge_intake(world)
    _judge_lives(world)
    for name, pipe in world.first_plan.pipes.items():
        verdict = Verdict(world, pipe, [life.books[name] for life in world.lives
                                         if name in life.books])  # fmt: skip
        verdict.judge()
        if pipe.letters:
            judge_letters(world, pipe)


def _judge_intake(world: World) -> None:
    """What the relay took from the kernel it put to its pipes, whole and once."""
    truth = world.truth
    for listener in world.first_plan.listeners:
        put, taken = truth.put[listener], truth.taken[listener]
        if listener == OWN:
            continue
        put = Counter({it: n for it, n in put.items() if not is_own(it) and not is_cut_count(it)})
        for message in put:
            assert message in truth.sent, f"{listener}: nobody has sent {message!r:.300}"
        if listener == "relp":
            assert not put - taken, f"{listener}: put more often than read"
            answered = truth.answered - put
            assert not answered, f"{listener}: answered and not put: {names(answered)}"
        else:
            assert put == taken, (
                f"{listener}: read and not put: {names(taken - put)}; "
                f"put and not read: {names(put - taken)}"
            )


def _judge_lives(world: World) -> None:
    for life in world.lives:
        for record in [] if life.killed else life.log.tracebacks:
            assert record.exc_info
            text = f"unexpected: {record.getMessage()}: {record.exc_info[1]!r}"
            raise AssertionError(text) from record.exc_info[1]
        for line in life.log.lines:
            assert SECRET.decode() not in line, f"a secret is in the log: {line}"
        if not life.killed:
            _judge_telling(life)
            if not life.hurried:
                _judge_stop(life)
    drops = Counter({"udp": sum(life.kernel_dropped["udp"] for life in world.lives)})
    if not any(life.killed for life in world.lives):
        expected = world.truth.kernel_drops["udp"]
        assert drops["udp"] == expected, f"{drops['udp']} kernel drops counted, {expected} were"


def _judge_telling(life: Life) -> None:
    """The numbers told in the stream add up to those in the books."""
    told: Counter[tuple[str, str]] = Counter()
    for line in life.log.lines:
        if found := TOLD.match(line):
            told[_pipe_to(found[2]), found[3]] += int(found[1])
    booked: Counter[tuple[str, str]] = Counter()
    for pipe, book in life.books.items():
        booked.update({(pipe, str(reason)): n for reason, n in book.dropped.items()})
        silent = sum(book.dropped.values()) - book.notices_dropped - book.dead_letters
        silent -= book.dropped[Drop.SAMPLED]
        assert sum(n for (name, _), n in told.items() if name == pipe) == silent, (
            f"{pipe}: {silent} dropped, told {told}"
        )
    assert not told - booked, f"told and not booked: {told - booked}"


def _pipe_to(destination: str) -> str:
    """Destinations are called as their pipes, but for those of dead letters."""
    destination = destination.partition(",")[0]  # that of the pipe, a second one behind it
    name = destination.removesuffix(REFUSED)
    return dead_letter_pipe(name) if name != destination else name


def _judge_stop(life: Life) -> None:
    """A stop resets nothing away that our kernel has acknowledged; RELP's is the sender's still."""
    for socket in life.machine.opened:
        if isinstance(socket, SimulatedAcceptor) and socket.address != RELP:
            unread = sum(end.unread_at_close for end in socket.accepted)
            assert not unread, f"{socket.address}: {unread} octets unread at the stop"
