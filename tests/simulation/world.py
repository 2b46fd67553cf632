"""All that one seed draws: a relay, its peers, its disk, and how long each phase takes."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio

from relay.config import Config, ConfigError, ConfigErrors
from relay.core.batch import Batch
from relay.core.channel import Channel
from tests.simulation.configuration import LISTENERS, OWN, TWIN, PipePlan, Plan, draw_plan
from tests.simulation.hops import NextHop
from tests.simulation.life import Book, Life
from tests.simulation.machine import SimulatedMachine
from tests.simulation.messages import SECRET
from tests.simulation.network import Internet, host_of
from tests.simulation.receivers import DatagramServer, Server, StreamServer
from tests.simulation.rules import RuleWatch
from tests.simulation.seeded import Seeded
from tests.simulation.senders import SENDERS, Sender
from tests.simulation.storage import Storage
from tests.simulation.stream import Buffers
from tests.simulation.truth import Truth

BUFFERS = (1 << 10, 4 << 10, 16 << 10, 64 << 10)
SENT_MESSAGES = (10, 30, 100, 200)  # by each sender
RESTART_SECONDS_MAX = 3.0


@dataclass(slots=True, eq=False)
class World:
    """Invariant: at most one life is not over; `lives` has all of them, the present one last."""

    seeded: Seeded
    sometimes: Counter[str] = field(default_factory=Counter)
    truth: Truth = field(default_factory=Truth)
    lives: list[Life] = field(default_factory=list)
    boots: int = 0
    over: bool = False  # no life begins any more
    short_of_descriptors: bool = False
    chance: random.Random = field(init=False)
    plan: Plan = field(init=False)  # as the file says now
    first_plan: Plan = field(init=False)
    invalid: bool = False  # what the file says now
    internet: Internet = field(init=False)
    storage: Storage = field(init=False)
    servers: dict[str, Server] = field(default_factory=dict)  # by destination
    senders: list[Sender] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)  # pipes that were removed once
    rules: dict[str, RuleWatch] = field(init=False)  # by pipe
    hops: dict[str, NextHop] = field(init=False)  # by pipe that stamps
    leaks: set[str] = field(default_factory=set)  # masking pipes whose spool had a secret

    def __post_init__(self) -> None:
        self.chance = self.seeded.chance
        self.internet = Internet(self.seeded.timeline, self.chance, self.sometimes)
        self.storage = Storage(self.chance, self.sometimes)
        self.plan = self.first_plan = draw_plan(self.chance)
        pipes = self.plan.pipes
        self.rules = {name: RuleWatch(pipe) for name, pipe in pipes.items()}
        self.hops = {name: NextHop(pipe) for name, pipe in pipes.items() if pipe.stamps}
        self._place_servers()
        self._place_senders()

    @property
    def life(self) -> Life | None:
        return self.lives[-1] if self.lives and not self.lives[-1].ended.is_set() else None

    async def run_lives(self) -> None:
        """Start the relay, and again after each end, as a service manager does."""
        while not self.over:
            machine = SimulatedMachine(
                self.internet, self.storage, f"boot-{self.boots}", self.chance,
                self._on_datagram, lambda: self.short_of_descriptors,
            )  # fmt: skip
            self.seeded.threads.process = machine
            life = Life(self.plan, machine, self.seeded.trace.note)
            self.lives.append(life)
            await life.run(self._on_end)
            await trio.sleep(RESTART_SECONDS_MAX * self.chance.random())

    def load(self, path: str) -> Config:
        """What a reload finds in the file."""
        if self.invalid:
            raise ConfigErrors([ConfigError(path, 1, None, "", "is not what it should be")])
        return self.plan.config()

    def look(self) -> None:
        if self.lives and not self.lives[-1].ended.is_set():
            self.lives[-1].check()

    def kill(self, *, power: bool = False) -> None:
        life = self.life
        if life is None:
            return
        life.power_cut = life.power_cut or power
        life.kill(self._on_end)
        if power:
            self.boots += 1
            self.storage.cut_power()

    def number(self, channel: Channel, first: int, batch: Batch) -> None:
        """A channel has given numbers to these messages."""
        if hop := self.hops.get(channel.account.name):
            hop.number(self.lives[-1], channel.account.renumbered, first, batch.messages)

    # -- what there is

    def _place_servers(self) -> None:
        for name, pipe in self.plan.pipes.items():
            self._place_server(name, pipe, pipe.address, f"peer{name[-1]}.example")
            if pipe.twin:
                twin = f"twin-of-peer{name[-1]}.example"
                self._place_server(name + TWIN, pipe, pipe.twin, twin)

    def _place_server(self, name: str, pipe: PipePlan, address: str, host_name: str) -> None:
        host = host_of(address)
        if host:
            link = self.internet.link(host + ":0")
            link.latency = self.chance.choice((0.0, 0.0, 0.001, 0.03))
            self.internet.names[host_name] = [host]
            self.internet.buffers[host] = self._buffers()
        if pipe.kind in ("tcp", "relp", "unix-stream"):
            self.servers[name] = StreamServer(
                self.internet, address, pipe.framing, self.chance, self.sometimes
            )
        elif pipe.kind in ("udp", "unix-datagram"):
            self.servers[name] = DatagramServer(self.internet, address, self.chance)
        if pipe.stamps and name in self.servers:
            self.servers[name].on_read = self.hops[pipe.name].take

    def _place_senders(self) -> None:
        number = 0
        for listener, table in self.plan.listeners.items():
            if listener == OWN:
                continue
            for _ in range(self.chance.choice((1, 1, 2))):
                number += 1
                self.senders.append(self.sender(listener, f"s{number}", f"203.0.113.{number}"))
                assert table["type"] == LISTENERS[listener]["type"]
                host = self.senders[-1].host
                self.internet.link(host + ":0").latency = self.chance.choice((0.0, 0.0, 0.01))
                self.internet.buffers[host] = self._buffers()

    def sender(self, listener: str, name: str, host: str) -> Sender:
        table = self.plan.listeners[listener]
        address = table["path"] if "path" in table else table["listen"][0]
        return SENDERS[listener](
            name, listener, address, host, self.internet, self.truth, self.chance, self.sometimes,
            left=self.chance.choice(SENT_MESSAGES),
            burst=self.chance.choice((1, 10, 50)),
            pause_seconds=self.chance.choice((0.1, 1.0, 3.0)),
        )  # fmt: skip

    def _buffers(self) -> Buffers:
        return Buffers(self.chance.choice(BUFFERS), self.chance.choice(BUFFERS))

    def _on_datagram(self, address: str, datagram: bytes) -> None:
        self.truth.take("unix" if "/" in address else "udp", datagram)

    def _on_end(self, life: Life) -> None:
        self.seeded.threads.killed.add(life.machine)
        what = "power cut" if life.power_cut else "killed" if life.killed else "stopped"
        self.sometimes[what] += 1
        if life.killed:
            held = sum(book.held for book in life.books.values())
            self.sometimes[f"{what} with messages held"] += held > 0
        for book in life.books.values():
            self._note_states(book)
        self._look_for_secrets()
        self.sometimes["a peer is found dead"] += any(" is dead" in it for it in life.log.lines)

    def _look_for_secrets(self) -> None:
        for name, contents in self.storage.directories.items():
            pipe = self.first_plan.pipes.get(name)
            if pipe is not None and "mask" in pipe.keys:
                nodes = [*contents.nodes.values(), *contents.durable.values()]
                if any(SECRET in node.content or SECRET in node.durable for node in nodes):
                    self.leaks.add(name)

    def _note_states(self, book: Book) -> None:
        for reason, number in book.dropped.items():
            self.sometimes[f"dropped: {reason}"] += number
        self.sometimes["retried"] += book.retried
        self.sometimes["replayed"] += book.replayed
        self.sometimes["in doubt"] += book.in_doubt
        self.sometimes["epochs"] += book.epochs
        self.sometimes["failovers"] += book.failovers
        self.sometimes["recovered"] += book.recovered
        self.sometimes["left on disk at an end"] += book.held - book.at_risk > 0

    def hosts(self) -> Sequence[str]:
        return sorted(host for host in self.internet.links if host)
