"""Expected senders of a whole relay, and what a reload does to them."""

import socket

import pytest

from tests.supervisor.conftest import BASE, Bench

EXPECTING = BASE.replace(
    'type = "tcp"', 'type = "tcp"\nexpect = ["fw1", "127.0.0.1"]\nsilent_after = "1s"'
)
LINE = b"<13>1 2026-11-23T07:28:45Z fw1 app - - - %d\n"


async def test_silence_is_told_in_the_log_and_so_is_its_end(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async with bench.running(EXPECTING) as relay:
        expected = relay.ledger.listeners["net"].senders.expected.names
        await bench.until(lambda: all(it.silent for it in expected.values()))
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.until(lambda: "speaks again" in caplog.text)
        assert all(it.heard for it in expected.values())
    told = [it.getMessage() for it in caplog.records if it.name == "relay.senders"]
    for name in ("fw1", "127.0.0.1"):
        silent, again = [it for it in told if f" {name} " in it][:2]
        assert silent.startswith(f"listener net: sender {name} is silent: was never heard, ")
        assert again.startswith(f"listener net: sender {name} speaks again, after ")


async def test_a_removed_listener_expects_nobody(bench: Bench) -> None:
    other = BASE.replace("[listeners.net]", "[listeners.other]").replace('"net"', '"other"')
    async with bench.running(EXPECTING) as relay:
        await bench.reload(other)
        assert not relay.ledger.listeners["net"].senders.expected.names


async def test_senders_are_counted_by_listener(bench: Bench) -> None:
    async with bench.running() as relay:
        with socket.create_connection(bench.address("net")) as sock:
            sock.sendall(LINE % 1 + LINE % 2)
            await bench.until(lambda: bench.ring() == [b"1", b"2"])
        (talker,) = relay.ledger.listeners["net"].senders.top(10)
        assert (talker.name, talker.messages, talker.dialect) == ("127.0.0.1", 2, "rfc5424")
