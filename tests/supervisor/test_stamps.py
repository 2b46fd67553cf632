"""Destinations with `stamp`: numbers belong to the pipe, whatever happens to it."""

import socket
import struct
from contextlib import ExitStack

import pytest

from relay.system.machine import SystemMachine
from relay.system.page_file import SystemPageFile
from relay.wire.hop import Passage, last_passage
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>1 2026-11-23T07:28:45Z h app - - - %d\n"
STAMPING = BASE.replace('type = "memory"', 'type = "memory"\nstamp = true')
OTHER = """
[destinations.other]
type = "memory"
stamp = true
[pipes.other]
from = "net"
to = "other"
spool = "never"
"""


def passages(bench: Bench, ring: str = "ring") -> list[Passage]:
    """What the lines of a ring bear: nothing leaves without it."""
    lines = bench.relay.rings.rings[ring].lines if ring in bench.relay.rings.rings else ()
    found = [last_passage(line) for line in lines]
    assert None not in found
    return [it for it in found if it]


async def send(bench: Bench, *numbers: int, ring: str = "ring") -> None:
    """Send one after the other, each when the one before has arrived."""
    with socket.create_connection(bench.address("net")) as sock:
        for number in numbers:
            sock.sendall(LINE % number)
            await bench.until(lambda: b"%d" % number in bench.ring(ring))  # noqa: B023 - awaited


async def test_numbers_rise_by_one_in_each_pipe_under_its_own_name(bench: Bench) -> None:
    async with bench.running(STAMPING + OTHER):
        await send(bench, 1, 2, 3)
        await send(bench, 4, ring="other")
        ours, others = passages(bench), passages(bench, "other")
    assert [it.number for it in ours] == [it.number for it in others] == [0, 1, 2, 3]
    assert {it.upstream for it in ours} == {b"edge01/all"}
    assert {it.upstream for it in others} == {b"edge01/other"}
    assert len({it.epoch for it in ours + others}) == 1


@pytest.mark.parametrize("mode", ["never", "always"])
async def test_numbers_and_their_epoch_go_on_after_a_restart(bench: Bench, mode: str) -> None:
    seen = []
    for number in (1, 2):
        page = SystemPageFile.open(str(bench.directory))
        bench.machine = SystemMachine(state_dir=str(bench.directory), page=page)
        async with bench.running(STAMPING.replace('"never"', f'"{mode}"')):
            await send(bench, number)
            seen += passages(bench)
        page.close()
    assert [it.number for it in seen] == [0, 1]
    assert seen[0].epoch == seen[1].epoch


async def test_without_a_state_directory_every_process_has_an_epoch_of_its_own(
    bench: Bench,
) -> None:
    seen = []
    for number in (1, 2):
        bench.machine = SystemMachine()
        async with bench.running(STAMPING):
            await send(bench, number)
            seen += passages(bench)
    assert [it.number for it in seen] == [0, 0]
    assert seen[0].epoch != seen[1].epoch


async def test_the_last_that_a_delivery_lends_at_a_reload_has_its_numbers(bench: Bench) -> None:
    """The one that stamps is cancelled by the reload, and may have been woken in this very turn."""
    async with bench.running(STAMPING) as relay:
        channel = relay.pipes["all"].channel
        await bench.reload(BASE)
        assert relay.pipes["all"].channel is channel
        assert channel.lends_numbers
        await send(bench, 1)


async def test_what_another_one_had_before_the_stamp_was_switched_on_has_its_numbers(
    bench: Bench,
) -> None:
    """In balance; what its peer may not have read is sent to the one that stamps from now on."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        to = 'type = "tcp"\naddress = "127.0.0.1:%d"\n'
        first = f"[destinations.first]\n{to % deaf.getsockname()[1]}"
        config = BASE.replace('to = "ring"', 'to = ["ring", "first"]\nstrategy = "balance"') + first
        away = config.replace('type = "memory"\n', to % closed.getsockname()[1])
        async with bench.running(away) as relay:
            account = relay.ledger.pipes["all"]
            with socket.create_connection(bench.address("net")) as sock:
                sock.sendall(LINE % 1 + LINE % 2)
                await bench.until(lambda: sum(account.delivered.values()) == 2)
            peer, _ = deaf.accept()
            deaf.close()
            await bench.reload(config.replace('type = "memory"', 'type = "memory"\nstamp = true'))
            await bench.until(lambda: account.health("ring").up)
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.close()
            await bench.until(lambda: account.replayed == 2 and len(bench.ring()) == 2)
            assert [it.number for it in passages(bench)] == [0, 1]
            assert account.restarts == 0


async def test_numbers_go_on_when_the_pipe_is_removed_and_comes_back(bench: Bench) -> None:
    async with bench.running(STAMPING + OTHER) as relay:
        await send(bench, 1, 2, ring="other")
        await bench.reload(STAMPING)
        await bench.until(lambda: not relay.retiring)
        await bench.reload(STAMPING + OTHER)
        await send(bench, 3, ring="other")
        assert [it.number for it in passages(bench, "other")] == [2]


HOPS = BASE.replace('type = "tcp"', 'type = "tcp"\nhop = true')
STAMPED = b'<13>1 2026-11-23T07:28:45Z h app - - [relay@32473 hop="edge02/hub/%b/%d"] %d\n'


async def test_a_listener_checks_hop_records_and_the_stop_tells_the_rest(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.running(HOPS) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            for number in (5, 6, 9):
                sock.sendall(STAMPED % (b"0" * 16, number, number))
            await bench.until(lambda: bench.ring() == [b"5", b"6", b"9"])
        assert relay.ledger.upstreams.counts["edge02/hub"].received == 3
    assert "upstream edge02/hub: missing 2 messages: 7 to 8" in caplog.text


async def test_a_listener_that_is_not_asked_to_looks_for_nothing(bench: Bench) -> None:
    async with bench.running(BASE) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(STAMPED % (b"0" * 16, 1, 1))
            await bench.until(lambda: bench.ring() == [b"1"])
        assert not relay.ledger.upstreams.known


BALANCED = BASE.replace(
    '[destinations.ring]\ntype = "memory"',
    '[destinations]\na = { type = "memory", stamp = true }\nb = { type = "memory", stamp = true }',
).replace('to = "ring"', 'to = ["a", "b"]\nstrategy = "balance"')


async def test_messages_that_are_shared_out_keep_the_numbers_of_their_pipe(bench: Bench) -> None:
    """Who sends is what balance goes by: a batch of many senders is taken apart."""
    async with bench.running(BALANCED) as relay:
        account = relay.ledger.pipes["all"]
        with ExitStack() as stack:
            for host in range(1, 21):
                sock = stack.enter_context(socket.socket())
                sock.bind((f"127.0.0.{host}", 0))
                sock.connect(bench.address("net"))
                sock.sendall(b"".join(LINE % number for number in range(10)))
            await bench.until(lambda: sum(account.delivered.values()) == 200)
        shares = [passages(bench, ring) for ring in ("a", "b")]
    assert all(shares)
    numbers = [[it.number for it in share] for share in shares]
    assert sorted(numbers[0] + numbers[1]) == list(range(200))
    assert any(share != list(range(share[0], share[0] + len(share))) for share in numbers)
