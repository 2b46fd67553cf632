"""What may go wrong, and for how long. Which faults a seed has, and how often, it draws itself."""

import errno
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from tests.simulation.configuration import changed, with_pipe, without_pipe
from tests.simulation.receivers import Manner, Server
from tests.simulation.world import World

LASTS_SECONDS = (0.3, 2.0, 10.0, 40.0)  # one of these, at most


@dataclass(slots=True, eq=False)
class Faults:
    """Begins faults at random moments, each to end by itself; `heal` ends them all."""

    world: World
    chance: random.Random
    names: list[str] = field(default_factory=list)  # none: the seed draws them
    _undone: list[Callable[[], None]] = field(default_factory=list)

    def draw(self) -> None:
        """Swarm: each seed has its own mixture, or hardly any faults at all."""
        if not self.names:
            share = self.chance.choice((0.15, 0.3, 0.6))
            self.names = [name for name in FAULTS if self.chance.random() < share]
        for sender in self.world.senders:
            sender.is_safe = not CUTTING.intersection(self.names)

    async def run(self) -> None:
        if not self.names:
            await trio.sleep_forever()
        mean = self.chance.choice((0.2, 0.6, 2.0))
        while True:
            await trio.sleep(self.chance.expovariate(1 / mean))
            name = self.chance.choice(self.names)
            self.world.seeded.trace.note(f"fault: {name}")
            self.world.sometimes[f"fault: {name}"] += 1
            FAULTS[name](self)

    def heal(self) -> None:
        self.world.seeded.trace.note("heal")
        for undo in self._undone:
            undo()
        world = self.world
        world.storage.heal()
        world.invalid = world.short_of_descriptors = False
        world.seeded.threads.slow_seconds = 0.0
        world.plan = world.first_plan

    def lasts(self, begin: Callable[[], None], undo: Callable[[], None]) -> None:
        begin()
        seconds = self.chance.choice(LASTS_SECONDS) * self.chance.random()
        self._undone.append(undo)
        self.world.seeded.timeline.after(seconds, undo)

    def server(self) -> Server | None:
        servers = self.world.servers
        return servers[self.chance.choice(sorted(servers))] if servers else None


def _behave(faults: Faults, manner: Manner) -> None:
    server = faults.server()
    if server:
        faults.lasts(lambda: server.behave(manner), lambda: server.behave(Manner()))


def _deaf(faults: Faults) -> None:
    _behave(faults, Manner(deaf=True))


def _slow(faults: Faults) -> None:
    octets = faults.chance.choice((1, 100, 1000))
    _behave(faults, Manner(octets=octets, pause_seconds=faults.chance.choice((0.01, 0.5))))


def _early(faults: Faults) -> None:
    _behave(faults, Manner(ends_early=True))


def _silent(faults: Faults) -> None:
    _behave(faults, Manner(silent=True))


def _refusing(faults: Faults) -> None:
    _behave(faults, Manner(refuses=True))


def _die(faults: Faults) -> None:
    if server := faults.server():
        faults.lasts(server.die, lambda: None)
        faults._undone.append(server.revive)
        faults.world.seeded.timeline.after(5 * faults.chance.random(), server.revive)


def _reset(faults: Faults) -> None:
    if server := faults.server():
        server.reset()


def _hang_up(faults: Faults) -> None:
    if server := faults.server():
        server.hang_up()


def _cut_link(faults: Faults) -> None:
    link = faults.world.internet.links[faults.chance.choice(faults.world.hosts())]
    faults.lasts(link.cut, link.heal)


def _forget_name(faults: Faults) -> None:
    internet = faults.world.internet
    if internet.names:
        name = faults.chance.choice(sorted(internet.names))
        faults.lasts(
            lambda: internet.unresolved.add(name), lambda: internet.unresolved.discard(name)
        )


def _slow_threads(faults: Faults) -> None:
    threads = faults.world.seeded.threads
    seconds = faults.chance.choice((0.1, 2.0, 10.0))
    faults.lasts(
        lambda: setattr(threads, "slow_seconds", seconds),
        lambda: setattr(threads, "slow_seconds", 0.0),
    )


def _choke(faults: Faults) -> None:
    internet = faults.world.internet
    for address in sorted(internet.datagrams):
        faults.lasts(
            lambda address=address: internet.choked.add(address),  # type: ignore[misc]
            lambda address=address: internet.release(address),  # type: ignore[misc]
        )


def _lose_datagrams(faults: Faults) -> None:
    internet = faults.world.internet
    for address in sorted(internet.datagrams):
        faults.lasts(
            lambda address=address: internet.lossy.add(address),  # type: ignore[misc]
            lambda address=address: internet.lossy.discard(address),  # type: ignore[misc]
        )


def _fill_disk(faults: Faults) -> None:
    storage = faults.world.storage
    room = faults.chance.choice((0, 300, 5000))
    faults.lasts(lambda: setattr(storage, "room", room), lambda: setattr(storage, "room", None))


def _break_disk(faults: Faults) -> None:
    storage = faults.world.storage
    error = faults.chance.choice((errno.EIO, errno.EROFS, errno.EDQUOT))
    faults.lasts(lambda: setattr(storage, "error", error), lambda: setattr(storage, "error", 0))


def _fail_syncs(faults: Faults) -> None:
    faults.world.storage.sync_errors = faults.chance.choice((1, 1, 3, 50))


def _rotate(faults: Faults) -> None:
    for path in sorted(faults.world.storage.files):
        faults.world.storage.rotate(path)


def _take_descriptors(faults: Faults) -> None:
    world = faults.world
    faults.lasts(
        lambda: setattr(world, "short_of_descriptors", True),
        lambda: setattr(world, "short_of_descriptors", False),
    )


def _reset_sender(faults: Faults) -> None:
    faults.chance.choice(faults.world.senders).reset()


def _reload(faults: Faults) -> None:
    world = faults.world
    if world.life:
        world.plan = changed(world.plan, faults.chance)
        world.life.signal(signal.SIGHUP)


def _reload_invalid(faults: Faults) -> None:
    world = faults.world
    if world.life:
        world.invalid = True
        world.life.signal(signal.SIGHUP)
        world.seeded.timeline.after(1.0, lambda: setattr(world, "invalid", False))


def _remove_pipe(faults: Faults) -> None:
    """Configured again a little later."""
    world = faults.world
    if world.life is None or len(world.plan.pipes) < 2:
        return
    name = faults.chance.choice(sorted(world.plan.pipes))
    pipe = world.plan.pipes[name]
    if pipe.kind == "memory":
        return  # its ring would go with it
    world.plan = without_pipe(world.plan, name)
    world.removed.add(name)
    world.life.signal(signal.SIGHUP)

    def restore() -> None:
        if name not in world.plan.pipes:
            world.plan = with_pipe(world.plan, pipe)
            if world.life:
                world.life.signal(signal.SIGHUP)

    world.seeded.timeline.after(10 * faults.chance.random(), restore)


def _stop(faults: Faults) -> None:
    life = faults.world.life
    if life:
        life.signal(signal.SIGTERM)
        if faults.chance.random() < 0.2:
            faults.world.seeded.timeline.after(
                3 * faults.chance.random(), lambda: life.signal(signal.SIGTERM)
            )


def _kill(faults: Faults) -> None:
    faults.world.kill()


def _cut_power(faults: Faults) -> None:
    faults.world.kill(power=True)


CUTTING = {"a sender resets", "a link is down", "stop", "kill -9", "power cut"}

FAULTS: dict[str, Callable[[Faults], None]] = {
    "a peer reads nothing": _deaf,
    "a peer reads slowly": _slow,
    "a peer ends early": _early,
    "a peer does not answer": _silent,
    "a peer refuses": _refusing,
    "a peer dies": _die,
    "a peer resets": _reset,
    "a peer hangs up": _hang_up,
    "a link is down": _cut_link,
    "a name is forgotten": _forget_name,
    "threads are slow": _slow_threads,
    "no room for datagrams": _choke,
    "datagrams are lost": _lose_datagrams,
    "the disk is full": _fill_disk,
    "the disk is broken": _break_disk,
    "syncs fail": _fail_syncs,
    "files are rotated": _rotate,
    "descriptors run out": _take_descriptors,
    "a sender resets": _reset_sender,
    "reload": _reload,
    "reload, invalid": _reload_invalid,
    "a pipe is removed": _remove_pipe,
    "stop": _stop,
    "kill -9": _kill,
    "power cut": _cut_power,
}
