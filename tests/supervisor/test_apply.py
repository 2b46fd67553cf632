"""Reload: only what differs changes, and nothing is lost in between."""

import socket
import sys

import pytest

from relay.core.account import Drop
from relay.system.machine import SystemMachine
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"

AWAY = """
[destinations.away]
type = "tcp"
address = "127.0.0.1:9"
[pipes.forward]
spool = "never"
from = "net"
to = "away"
"""


async def test_an_invalid_file_changes_nothing_and_is_told(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.running() as relay:
        before = relay.config
        await bench.reload(BASE + "nonsense = 1\n")
        assert relay.config is before
        assert (relay.reloads, relay.reloads_failed) == (0, 1)
        assert "nonsense" in caplog.text
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: bench.ring() == [b"1"])


async def test_what_can_be_imported_no_more_changes_nothing_and_is_told(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an upgrade, when what is new does not go with what runs."""
    async with bench.running() as relay:
        before = relay.config
        monkeypatch.setitem(sys.modules, "relay.listeners.kmsg", None)
        await bench.reload(BASE + '[listeners.kernel]\ntype = "kmsg"\n')
        assert relay.config is before
        assert (relay.reloads, relay.reloads_failed) == (0, 1)
        assert "Relay needs a restart: relay.listeners.kmsg cannot be loaded" in caplog.text


async def test_the_same_file_again_disturbs_nothing(bench: Bench) -> None:
    async with bench.running() as relay:
        listeners, pipes = dict(relay.listeners), dict(relay.pipes)
        await bench.reload(BASE)
        assert relay.listeners == listeners
        assert relay.pipes == pipes


async def test_a_new_pipe_starts_with_what_comes_next(bench: Bench) -> None:
    more = BASE + '[destinations.two]\ntype = "memory"\n[pipes.two]\nfrom = "net"\nto = "two"\n'
    async with bench.running():
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.reload(more)
            sock.sendall(LINE % 2)
            await bench.until(lambda: bench.ring("two") == [b"2"])
            assert bench.ring() == [b"1", b"2"]


async def test_what_a_removed_pipe_cannot_deliver_in_time_is_dropped_as_removed(
    bench: Bench,
) -> None:
    async with bench.running(BASE + AWAY) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.reload(BASE)
            sock.sendall(LINE % 2)
            await bench.until(lambda: not relay.retiring)
        forward = relay.ledger.pipes["forward"]
        assert (forward.received, forward.dropped[Drop.REMOVED]) == (1, 1)


async def test_a_removed_pipe_that_comes_back_in_time_keeps_what_it_held(bench: Bench) -> None:
    text = BASE.replace('"1s"', '"20s"')
    back = text + AWAY.replace('type = "tcp"\naddress = "127.0.0.1:9"', 'type = "memory"')
    async with bench.running(text + AWAY) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.reload(text)
            assert "forward" in relay.retiring
            await bench.reload(back)
            await bench.until(lambda: bench.ring("away") == [b"1"])
        assert not relay.retiring


async def test_a_pipe_that_comes_back_later_goes_on_where_it_was(bench: Bench) -> None:
    """Its cursor may be old: what was delivered is not to come again from its disk."""
    bench.machine = SystemMachine(state_dir=str(bench.directory))
    spooled = BASE + AWAY.replace(
        'type = "tcp"\naddress = "127.0.0.1:9"', 'type = "memory"'
    ).replace("never", "always")
    async with bench.running(spooled) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring("away") == [b"1"])
            await bench.reload(BASE)
            await bench.until(lambda: not relay.retiring)
            assert relay.ledger.pipes["forward"].held().messages == 0
            await bench.reload(spooled)
            sock.sendall(LINE % 2)
            await bench.until(lambda: bench.ring("away") == [b"2"])
        assert relay.pipes["forward"].channel.next == 2
        assert relay.ledger.pipes["forward"].recovered == 0


async def test_a_changed_destination_gets_what_is_held(bench: Bench) -> None:
    async with bench.running(BASE + AWAY) as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1 + LINE % 2)
            await bench.until(lambda: len(bench.ring()) == 2)
        ring = AWAY.replace('type = "tcp"\naddress = "127.0.0.1:9"', 'type = "memory"')
        await bench.reload(BASE + ring)
        await bench.until(lambda: bench.ring("away") == [b"1", b"2"])
        assert sum(relay.ledger.pipes["forward"].dropped.values()) == 0


async def test_a_changed_listener_keeps_its_socket_and_its_connections(bench: Bench) -> None:
    async with bench.running() as relay:
        address = bench.address("net")
        with socket.create_connection(address) as sock:
            sock.sendall(LINE % 1 + b"<13>Nov 23 07:45:25 web01 app: ")
            await bench.until(lambda: bench.ring() == [b"1"])
            changed = BASE.replace('type = "tcp"', 'type = "tcp"\nconnections_max = 7')
            await bench.reload(changed)
            assert bench.address("net") == address
            sock.sendall(b"2\n")
            await bench.until(lambda: bench.ring() == [b"1", b"2"])
            assert relay.ledger.listeners["net"].connections_accepted == 1


async def test_a_renamed_listener_takes_the_socket_over(bench: Bench) -> None:
    text = _with_port(BASE)
    async with bench.running(text):
        address = bench.address("net")
        renamed = text.replace("listeners.net", "listeners.lan").replace('"net"', '"lan"')
        await bench.reload(renamed)
        with socket.create_connection(address) as sock:
            sock.sendall(LINE % 1)
        await bench.until(lambda: bench.ring() == [b"1"])


async def test_a_removed_listener_is_read_to_its_end_before_it_goes(bench: Bench) -> None:
    """What its connections had sent goes where it went before."""
    two = BASE.replace('from = "net"', 'from = "*"') + (
        '[listeners.old]\ntype = "tcp"\nlisten = ["127.0.0.2:0"]\n'
    )
    one = BASE.replace('from = "net"', 'from = "*"')
    async with bench.running(two) as relay:
        address = bench.address("old")
        socks = [socket.create_connection(address) for _ in range(20)]
        for number, sock in enumerate(socks):
            sock.sendall(LINE % number)
        await bench.reload(one)
        await bench.until(lambda: len(bench.ring()) == 20)
        await bench.until(lambda: relay.ledger.listeners["old"].connections_open == 0)
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(address)
        for sock in socks:
            sock.close()


async def test_the_relay_s_name_changes_with_the_file(bench: Bench) -> None:
    async with bench.running() as relay:
        address = bench.address("net")
        await bench.reload(BASE.replace("edge01", "edge02"))
        assert bench.address("net") == address
        assert relay.listeners["net"].intake.host.name == "edge02"
        assert relay.pipes["all"].host.name == "edge02"


async def test_counters_never_go_backwards_over_many_reloads(bench: Bench) -> None:
    changed = BASE.replace('to = "ring"', 'to = "ring"\nmessages = 1000')
    async with bench.running() as relay:
        seen = 0
        with socket.create_connection(bench.address("net")) as sock:
            for number in range(50):
                sock.sendall(LINE % number)
                await bench.reload(changed if number % 2 else BASE + AWAY)
                received = sum(it.received for it in relay.ledger.pipes.values())
                assert received >= seen
                seen = received
            await bench.until(lambda: len(bench.ring()) == 50)
        assert bench.ring() == [b"%d" % n for n in range(50)]


def _with_port(text: str) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return text.replace("127.0.0.1:0", f"127.0.0.1:{probe.getsockname()[1]}")


async def test_a_changed_mode_reaches_the_socket_s_file_without_a_new_socket(
    bench: Bench,
) -> None:
    text = BASE.replace('type = "tcp"\nlisten = ["127.0.0.1:0"]', 'type = "unix"\npath = "DIR/log"')
    async with bench.running(text):
        path = bench.directory / "log"
        before = path.stat()
        await bench.reload(text.replace('"DIR/log"', '"DIR/log"\nmode = "0600"'))
        await bench.until(lambda: path.stat().st_mode & 0o777 == 0o600)
        assert path.stat().st_ino == before.st_ino


async def test_a_listener_of_another_type_takes_the_socket_and_no_connection(bench: Bench) -> None:
    """A connection that speaks the old protocol is read to its end by the old listener."""
    text = _with_port(BASE)
    async with bench.running(text) as relay:
        address = bench.address("net")
        with socket.create_connection(address) as old:
            old.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.reload(text.replace('type = "tcp"', 'type = "relp"'))
            old.sendall(LINE % 2)
            await bench.until(lambda: bench.ring() == [b"1", b"2"])
        await bench.until(lambda: not relay.leaving)
        with socket.create_connection(address) as new:
            new.sendall(b"1 open 30 relp_version=1\ncommands=syslog\n2 syslog 1 3\n")
            await bench.until(lambda: len(bench.ring()) == 3)


async def test_a_larger_receive_buffer_reaches_the_socket_that_is_there(bench: Bench) -> None:
    text = BASE.replace('type = "tcp"', 'type = "udp"\nreceive_buffer = "64KiB"')
    async with bench.running(text) as relay:
        address = bench.address("net")
        await bench.reload(text.replace('"64KiB"', '"128KiB"'))
        await bench.until(lambda: relay.listeners["net"].tried.is_set())
        assert bench.address("net") == address
        (receiver,) = relay.bindings.sockets["udp", "127.0.0.1:0"]
        assert receiver.receive_buffer_granted == 128 << 10  # type: ignore[union-attr]


async def test_rules_go_on_counting_through_a_reload_that_leaves_them(bench: Bench) -> None:
    """And begin anew when they change: a sample of three keeps messages 0, 3 and 6."""
    sampled = BASE + "sample = { one_in = 3 }\nmask = { regex = 'x+' }\n"
    async with bench.running(sampled) as relay:
        account = relay.ledger.pipes["all"]
        rules = relay.rules["all"]
        assert account.changed == {"mask[0]": 0}
        await bench.reload(sampled + "messages = 9\n")
        assert relay.rules["all"] is rules
        await bench.reload(sampled.replace("3 }", "4 }"))
        assert relay.rules["all"] is not rules
        await bench.reload(BASE)
        assert relay.rules["all"] is None
        await bench.reload(BASE + 'ttl = "5s"\n')
        expiry = relay.pipes["all"].channel.expiry
        assert expiry is not None
        assert expiry.ttl_ns == 5 * 10**9
        await bench.reload(BASE)
        assert relay.pipes["all"].channel.expiry is None
