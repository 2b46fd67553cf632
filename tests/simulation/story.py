"""One seed: faults, then none; every queue drains, fresh messages pass, and the books are right."""

import logging
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from unittest import mock

import trio

from relay.config import confined
from tests.simulation.configuration import OWN
from tests.simulation.faults import Faults
from tests.simulation.forms import form_of, without_stamps
from tests.simulation.life import Life
from tests.simulation.network import UNIX_DATAGRAM_MAX
from tests.simulation.oracle import judge
from tests.simulation.seeded import Seeded, run_seeded
from tests.simulation.watch import watched
from tests.simulation.world import World

FAULTS_SECONDS = (5.0, 10.0, 20.0)
DRAIN_SECONDS_MAX = 1000.0  # back-offs of 60 s, and epochs of a few messages in 2 s each
STOP_SECONDS_MAX = 60.0
LOOK_SECONDS = 1.0
SENDER_SECONDS = 0.1  # between the bursts of what is left when the faults are over


class Failed(Exception):
    """A promise is broken; the text says which, for this seed."""


@dataclass(slots=True, eq=False)
class Outcome:
    """What one seed has come to."""

    seed: int
    trace: int = 0
    steps: int = 0
    sent: int = 0
    faults: Sequence[str] = ()
    sometimes: Counter[str] = field(default_factory=Counter)


def run_seed(seed: int, faults: Sequence[str] = (), lines: list[str] | None = None) -> Outcome:
    """Run the story of one seed.

    Raises:
        Failed: a promise is broken.
    """
    seeded = Seeded(seed)
    seeded.trace.lines = lines
    story = Story(World(seeded), list(faults))
    logger = logging.getLogger("relay")
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        with (
            mock.patch.object(confined, "load", story.world.load),
            watched(story.world),
        ):
            run_seeded(seeded, story.run)
        judge(story.world)
    except (AssertionError, trio.TooSlowError, BaseExceptionGroup) as fault:
        first = _first(fault)
        raise Failed(f"seed {seed}: {str(first) or type(first).__name__}") from fault
    finally:
        logger.setLevel(level)
        logger.propagate = propagate
    return story.outcome()


def _first(fault: BaseException) -> BaseException:
    return _first(fault.exceptions[0]) if isinstance(fault, BaseExceptionGroup) else fault


@dataclass(slots=True, eq=False)
class Story:
    world: World
    fault_names: list[str]
    faults: Faults = field(init=False)

    async def run(self) -> None:
        world = self.world
        self.faults = Faults(world, world.chance, self.fault_names)
        self.faults.draw()
        steps = world.seeded.steps
        with trio.CancelScope() as scope:
            steps.look, steps.on_fault = world.look, scope.cancel
            async with trio.open_nursery() as nursery:
                for server in world.servers.values():
                    nursery.start_soon(server.run)
                nursery.start_soon(world.run_lives)
                await self._tell()
                nursery.cancel_scope.cancel()
        if steps.fault:
            raise steps.fault

    async def _tell(self) -> None:
        world = self.world
        async with trio.open_nursery() as sending:
            for sender in world.senders:
                sending.start_soon(sender.run)
            with trio.move_on_after(world.chance.choice(FAULTS_SECONDS)):
                await self.faults.run()
            self.faults.heal()
            for sender in world.senders:
                sender.pause_seconds = SENDER_SECONDS
            with trio.fail_after(DRAIN_SECONDS_MAX):
                await self._settle_configuration()
            sending.cancel_scope.deadline = trio.current_time() + DRAIN_SECONDS_MAX
        stuck = [sender.name for sender in world.senders if not sender.finished]
        assert not stuck, f"senders {stuck} do not get rid of their messages"
        await self._drain("after the faults")
        await self._pass_fresh()
        await self._stop()

    async def _settle_configuration(self) -> Life:
        """A life that has begun, and has read the file as it was at first."""
        while True:
            life = self.world.life
            if life is not None and not life.stopping and life.began.is_set():
                reloads = life.relay.reloads
                life.signal(signal.SIGHUP)
                while not life.ended.is_set() and life.relay.reloads == reloads:
                    await trio.sleep(LOOK_SECONDS)
                if not life.ended.is_set():
                    return life
            await trio.sleep(LOOK_SECONDS)

    async def _drain(self, when: str) -> None:
        life = self.world.life
        assert life
        with trio.move_on_after(DRAIN_SECONDS_MAX):
            while life.waits_for_disks() or life.holds():
                await trio.sleep(LOOK_SECONDS)
            return
        held = {name: pipe.held() for name, pipe in life.relay.ledger.pipes.items()}
        raise AssertionError(f"does not drain {when}: {held}")

    async def _pass_fresh(self) -> None:
        """One message to each listener reaches every peer that is to have it."""
        world = self.world
        fresh: dict[str, bytes] = {}
        async with trio.open_nursery() as sending:
            for number, listener in enumerate(world.plan.listeners):
                if listener == OWN:
                    continue
                sender = world.sender(listener, f"fresh{number}", f"203.0.113.{100 + number}")
                sender.left = 1
                known = set(world.truth.sent)
                sending.start_soon(sender.run)
                await trio.sleep(LOOK_SECONDS)
                fresh[listener] = next(it for it in world.truth.sent if it not in known)
                await self._drain("after a fresh message")  # some pipes hold three
        await trio.sleep(LOOK_SECONDS)
        for listener, message in fresh.items():
            for name, pipe in world.plan.pipes.items():
                if listener in world.plan.feeding(name) and pipe.needle in message:
                    servers = [it for each in pipe.destinations
                               if (it := world.servers.get(each)) is not None]  # fmt: skip
                    form = form_of(pipe, message)
                    refused = pipe.letters and len(message) > UNIX_DATAGRAM_MAX
                    gone = {form_of(pipe, it) for it in world.rules[name].gone}
                    ruled = form in gone or "ttl" in pipe.keys  # the rules have said no
                    read = any(form in without_stamps(pipe, it.read) for it in servers)
                    assert not servers or refused or ruled or read, (
                        f"a fresh message of {listener} does not pass {name}"
                    )

    async def _stop(self) -> None:
        life = self.world.life
        assert life
        self.world.over = True
        life.signal(signal.SIGTERM)
        with trio.move_on_after(STOP_SECONDS_MAX):
            await life.ended.wait()
            await trio.sleep(LOOK_SECONDS)  # what is underway arrives
            return
        raise AssertionError("the relay does not stop")

    def outcome(self) -> Outcome:
        world = self.world
        trace = world.seeded.trace
        for address in sorted(world.internet.outgoing):
            for end in world.internet.outgoing[address]:
                trace.note(end.out.data.hex())
        for life in world.lives:
            trace.note(repr(life.books))
        return Outcome(
            world.seeded.seed, trace.value, trace.steps, len(world.truth.sent),
            self.faults.names, world.sometimes,
        )  # fmt: skip
