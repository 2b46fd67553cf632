"""Whose turn it is."""

import socket
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.core.account import ListenerAccount
from relay.core.batch import TURN_OCTETS
from relay.core.intake import Intake
from relay.core.streams import READ_OCTETS_FIRST, Stream
from relay.listeners import reader as reader_module
from relay.listeners import streams as streams_module
from relay.listeners.acceptance import Acceptance
from relay.listeners.reader import Reader
from relay.listeners.rota import Rota
from relay.listeners.turn import Turn
from relay.listeners.unix import UnixListener
from relay.system.ports import Acceptor, Connection
from relay.system.readyset import EpollReadySet
from relay.wire.framing import Framer
from tests.listeners.conftest import Rig
from tests.listeners.test_network import from_address, listener
from tests.listeners.test_tcp import STAMPED, until


def streams(*groups: str) -> list[Stream]:
    """One of each address; nothing but that is looked at."""
    framer = Framer("auto", 64, 1024, ListenerAccount("in").frames)
    line: Any = SimpleNamespace(peer="192.0.2.1")
    return [Stream(line, framer, 0.0, group=group) for group in groups]


SHARE = 100


def serve(rota: Rota, octets: int = SHARE) -> Stream:
    """Who is next brings so much."""
    stream, _ = rota.pop(SHARE)
    rota.charge(stream, octets)
    return stream


def served(rota: Rota, octets: int = SHARE) -> str:
    return "".join(serve(rota, octets).group for _ in range(len(rota)))


@pytest.mark.parametrize(
    ("added", "octets", "order"),
    [
        ("", 100, ""),
        ("abc", 100, "abc"),
        ("abc", 0, "abc"),
        ("aaab", 100, "abaa"),
        ("aabbc", 200, "abcab"),
        ("aaabb", 50, "aabba"),  # two of them have a share together
        ("aaabb", 1, "aaabb"),
    ],
)
def test_addresses_take_turns_of_so_many_octets(added: str, octets: int, order: str) -> None:
    rota = Rota()
    for stream in streams(*added):
        rota.add(stream)
    assert len(rota) == len(added)
    assert served(rota, octets) == order
    assert not rota


def test_who_comes_back_is_behind_the_others_of_its_address_and_its_address_behind_others() -> None:
    rota = Rota()
    first, second, third = streams("a", "a", "b")
    for stream in (first, second, third):
        rota.add(stream)
    assert serve(rota) is first
    assert rota.add(first)
    assert not rota.add(second)  # it is there already, and keeps its place
    assert [serve(rota) for _ in range(3)] == [third, second, first]


def test_a_share_lasts_as_long_as_the_turn_that_began_with_it() -> None:
    """How large shares are depends on how many wait; nobody's rest becomes negative by that."""
    rota = Rota()
    first, second = streams("a", "b")
    rota.add(first)
    assert rota.pop(SHARE) == (first, SHARE)
    rota.charge(first, SHARE - 1)
    rota.add(second)
    rota.resume(first)
    assert rota.pop(10) == (first, 1)
    rota.charge(first, 1)
    rota.add(first)
    assert rota.pop(10) == (second, 10)


def test_an_address_is_contested_while_another_one_waits() -> None:
    rota = Rota()
    first, second, third = streams("a", "a", "b")
    rota.add(second)
    assert not rota.contested(first)
    rota.add(third)
    assert rota.contested(first)
    rota.discard(third)
    rota.discard(third)
    assert not rota.contested(first)
    rota.discard(second)
    assert not rota.contested(first)
    assert not rota


@given(
    crowds=st.lists(st.integers(1, 9), min_size=2, max_size=6),
    brought=st.lists(st.integers(1, SHARE), min_size=1, max_size=200),
    leaving=st.sets(st.integers(0, 50)),
)
def test_whoever_always_has_more_to_say_gets_as_much_as_any_other_address(
    crowds: list[int], brought: list[int], leaving: set[int]
) -> None:
    """Whatever the sizes of the crowds, and however little each of them brings at a time."""
    everybody = streams(*[chr(97 + n) for n, size in enumerate(crowds) for _ in range(size)])
    rota = Rota()
    for stream in everybody:
        rota.add(stream)
    for place in leaving:  # of the larger crowds some go
        if place < len(everybody) and crowds[ord(everybody[place].group) - 97] > 1:
            crowds[ord(everybody[place].group) - 97] -= 1
            rota.discard(everybody[place])
    octets: Counter[str] = Counter({stream.group: 0 for stream in everybody})
    times: Counter[Stream] = Counter({it: 0 for it in everybody if it in rota})
    for number in brought:
        stream, left = rota.pop(SHARE)
        assert rota.contested(stream)
        # Who is alone brings its share at once; who brings less has nothing more to say.
        number = left if crowds[ord(stream.group) - 97] == 1 else min(left, number)
        octets[stream.group] += number
        times[stream] += 1
        rota.charge(stream, number)
        rota.add(stream)
    assert max(octets.values()) - min(octets.values()) <= SHARE
    for group in octets:
        each = [number for it, number in times.items() if it.group == group]
        assert max(each) - min(each) <= 1
    assert len(rota) == len(times)


@pytest.mark.parametrize("crowd", [15, 40])
async def test_a_crowd_of_one_address_gets_no_more_than_who_is_alone(
    rig: Rig, crowd: int, read_octets: int
) -> None:
    """The kernel is full of both when the listener begins: they come half and half."""
    line = STAMPED.ljust(200, b".")
    octets = 96 << 10  # less than what the kernel holds of one connection that nobody reads
    alone, many = octets // len(line), octets // len(line) // crowd
    rig.open(listener("tcp").endpoints())
    with ExitStack() as stack:
        for _ in range(crowd):
            stack.enter_context(from_address("127.0.0.1", rig)).sendall((line + b"many\n") * many)
        stack.enter_context(from_address("127.0.0.9", rig)).sendall((line + b"alone\n") * alone)
        async with rig.running(listener("tcp")):
            await until(lambda: rig.account.accepted == crowd * many + alone)
    came = [message.endswith(b"alone") for message in rig.held()]
    furthest = max(abs(2 * came[:end].count(True) - end) for end in range(0, len(came), 100))
    assert furthest * len(line) <= 2 * read_octets


async def test_a_crowd_with_the_shortest_of_lines_does_not_hold_up_who_is_alone(rig: Rig) -> None:
    """A turn is full of messages before it is full of octets; both count."""
    line, crowd, each = STAMPED.ljust(199, b".") + b"\n", 20, 8192
    alone = (96 << 10) // len(line)
    rig.open(listener("tcp").endpoints())
    with ExitStack() as stack:
        for _ in range(crowd):
            stack.enter_context(from_address("127.0.0.1", rig)).sendall(b"a\n" * each)
        stack.enter_context(from_address("127.0.0.9", rig)).sendall(line * alone)
        async with rig.running(listener("tcp")):
            await until(lambda: rig.account.accepted == crowd * each + alone)
    last = max(place for place, message in enumerate(rig.held()) if len(message) > 100)
    assert last < crowd * each // 8  # of which most are what nobody knew before the first reads


async def test_where_nobody_waits_who_says_little_does_not_stand_in_line(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who turns out to say more does from then on: nothing is lost, and its order is kept."""
    lined_up: list[Stream] = []
    add = Rota.add

    def noted(rota: Rota, stream: Stream) -> bool:
        lined_up.append(stream)
        return add(rota, stream)

    monkeypatch.setattr(Rota, "add", noted)
    async with rig.running(listener("tcp")):
        with ExitStack() as stack:
            socks = [stack.enter_context(from_address("127.0.0.1", rig)) for _ in range(20)]
            for number, sock in enumerate(socks):
                sock.sendall(STAMPED + b"%d\n" % number)
            await until(lambda: rig.account.accepted == 20)
            assert not lined_up
            lines = b"".join(STAMPED + b"%d\n" % number for number in range(20, 1000))
            socks[3].sendall(lines)
            await until(lambda: rig.account.accepted == 1000)
            assert {stream.connection for stream in lined_up} == {lined_up[0].connection}
    assert sorted(rig.held()) == sorted(STAMPED + b"%d" % number for number in range(1000))
    assert rig.held()[20:] == [STAMPED + b"%d" % number for number in range(20, 1000)]


async def test_who_has_said_much_and_says_little_now_is_soon_served_at_once(rig: Rig) -> None:
    async with rig.running(listener("tcp")) as intake:
        with from_address("127.0.0.1", rig) as sock:
            sock.sendall(STAMPED.ljust(255, b".").join([b"\n"] * 200))
            await until(lambda: rig.account.accepted == 199)
            [stream] = intake.streams.table.values()
            assert stream.read_octets > READ_OCTETS_FIRST
            for number in range(200, 230):
                sock.sendall(STAMPED + b"\n")
                await until(lambda: rig.account.accepted == number)  # noqa: B023
            assert stream.read_octets == READ_OCTETS_FIRST


async def test_a_crowd_that_says_little_brings_no_more_at_once_than_an_address_may(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has more to say than is read of it at first, and yet some line up."""
    serve_at_once = Reader._serve_at_once
    served: list[tuple[int, int]] = []

    def noted(reader: Reader, ready: list[Stream], turn: Turn) -> list[Stream]:
        rest = serve_at_once(reader, ready, turn)
        served.append((turn.octets, len(turn.messages)))
        return rest

    monkeypatch.setattr(Reader, "_serve_at_once", noted)
    short, long = b"a\n" * (READ_OCTETS_FIRST // 2 - 1), STAMPED.ljust(3999, b".") + b"\n"
    rig.open(listener("tcp").endpoints())
    with ExitStack() as stack:
        for text in [short] * 40 + [long] * 40:
            stack.enter_context(from_address("127.0.0.1", rig)).sendall(text)
        async with rig.running(listener("tcp")):
            await until(lambda: rig.account.accepted == 40 * (READ_OCTETS_FIRST // 2 - 1) + 40)
    octets, messages = zip(*served, strict=True)
    assert max(octets) < reader_module.READ_OCTETS + READ_OCTETS_FIRST
    share = reader_module.READ_OCTETS // reader_module.WEIGHT_OCTETS
    assert max(messages) < share + READ_OCTETS_FIRST // 2


@pytest.mark.parametrize("paced", [False, True])
async def test_nobody_is_served_at_once_where_others_wait(
    rig: Rig, read_octets: int, monkeypatch: pytest.MonkeyPatch, paced: bool
) -> None:
    """Nor where senders have a rate, nor where deadlines are looked at first."""
    monkeypatch.setattr(streams_module, "SWEEP_SECONDS", 0.01)
    turn, serve_at_once = Reader.turn, Reader._serve_at_once
    sweeping: list[bool] = []
    served = 0

    def noted_turn(
        reader: Reader, acceptance: Acceptance, *, sweep: bool = False, **keys: float
    ) -> tuple[int, int]:
        sweeping.append(sweep)
        return turn(reader, acceptance, sweep=sweep, **keys)

    def noted(reader: Reader, ready: list[Stream], turn: Turn) -> list[Stream]:
        nonlocal served
        served += 1
        assert (len(reader.queue), reader.pacing, sweeping[-1]) == (0, None, False)
        return serve_at_once(reader, ready, turn)

    monkeypatch.setattr(Reader, "turn", noted_turn)
    monkeypatch.setattr(Reader, "_serve_at_once", noted)
    keys = {"rate_limit": "1000000/s"} if paced else {}
    async with rig.running(listener("tcp", **keys)):
        with ExitStack() as stack:
            socks = [stack.enter_context(from_address("127.0.0.1", rig)) for _ in range(40)]
            line, many = STAMPED.ljust(255, b".") + b"\n", 2 * read_octets // 256
            for sock in socks:
                sock.sendall(line * many)
            await until(lambda: rig.account.accepted == 40 * many)
            for sock in socks:
                sock.sendall(line)
            await until(lambda: rig.account.accepted == 40 * (many + 1))
            await until(lambda: any(sweeping))
            assert bool(served) is not paced  # at the stop everybody is read, whatever the rate


async def test_who_waits_for_its_turn_is_not_told_of_at_every_turn(
    rig: Rig, read_octets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice for each of its turns, however long all of them take; and its end is seen."""
    line, crowd = STAMPED.ljust(255, b".") + b"\n", 150
    each = 2 * read_octets // len(line)
    told = counted_news(monkeypatch)
    rig.open(listener("tcp").endpoints())
    with ExitStack() as stack:
        for _ in range(crowd):
            stack.enter_context(from_address("127.0.0.1", rig)).sendall(line * each)
        async with rig.running(listener("tcp")):
            await until(lambda: rig.account.accepted == crowd * each)
            stack.close()
            await until(lambda: rig.account.connections_open == 0)
    assert len(told) == crowd + 1  # all of them and the acceptor
    assert max(told.values()) <= 2 * (4)


async def test_nor_is_who_has_hung_up_and_cannot_be_muted_for_good(
    rig: Rig, read_octets: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of EPOLLHUP the kernel tells whatever it was asked for, once after each call."""
    line, crowd = STAMPED.ljust(255, b".") + b"\n", 150
    each = 2 * read_octets // len(line)
    told = counted_news(monkeypatch)
    path = str(tmp_path / "log.sock")
    local = UnixListener.model_validate({"type": "unix", "kind": "stream", "path": path})
    rig.open(local.endpoints())
    for _ in range(crowd):
        with socket.socket(socket.AF_UNIX) as sender:
            sender.connect(path)
            sender.sendall(line * each)
    async with rig.running(local):
        await until(lambda: rig.account.accepted == crowd * each)
        await until(lambda: rig.account.connections_open == 0)
    assert len(told) == crowd + 1
    assert max(told.values()) <= 4 * (4)


def counted_news(monkeypatch: pytest.MonkeyPatch) -> Counter[object]:
    """How often the ready set tells of each of its members from now on."""
    told: Counter[object] = Counter()
    ready = EpollReadySet.ready

    def counted(ready_set: EpollReadySet) -> Sequence[Connection | Acceptor]:
        found = ready(ready_set)
        told.update(found)
        return found

    monkeypatch.setattr(EpollReadySet, "ready", counted)
    return told


async def test_a_turn_reads_no_more_octets_than_it_may(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many addresses, and of long lines: it is full of octets before it is full of messages."""
    turns: list[int] = []
    put = Intake.put

    def noted(intake: Intake, *args: Any, octets: int, **keys: Any) -> None:  # noqa: ANN401
        turns.append(octets)
        put(intake, *args, octets=octets, **keys)

    monkeypatch.setattr(Intake, "put", noted)
    rig.open(listener("tcp").endpoints())
    with ExitStack() as stack:
        for number in range(40):
            sock = stack.enter_context(from_address(f"127.0.0.{number + 1}", rig))
            sock.sendall((STAMPED.ljust(999, b".") + b"\n") * 50)
        async with rig.running(listener("tcp")):
            await until(lambda: rig.account.accepted == 40 * 50)
    assert max(turns) == TURN_OCTETS
