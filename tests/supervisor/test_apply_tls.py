"""A reload that changes `tls` of a listener: nobody stays who would not be let in now."""

import socket
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from tests.listeners.tls_parts import Authority
from tests.supervisor.conftest import BASE, Bench

LINE = b"<13>Nov 23 07:45:25 web01 app: %d\n"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.make(tmp_path / "tls")


def with_tls(authority: Authority, **keys: str) -> str:
    table = ", ".join(f'{key} = "{value}"' for key, value in authority.tls(**keys).items())
    return BASE.replace("[destinations", f"tls = {{ {table} }}\n[destinations", 1)


async def connect(bench: Bench, authority: Authority) -> ssl.SSLSocket:
    def dial() -> ssl.SSLSocket:
        plain = socket.create_connection(bench.address("net"), 10)
        context = authority.context(authority.client)
        return context.wrap_socket(plain, server_hostname="relay.example.net")

    return await trio.to_thread.run_sync(dial)


async def test_connections_stay_where_tls_does(bench: Bench, authority: Authority) -> None:
    text = with_tls(authority)
    async with bench.running(text) as relay:
        with await connect(bench, authority) as tls:
            tls.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.reload(text.replace('type = "tcp"', 'type = "tcp"\nframing = "lf"'))
            tls.sendall(LINE % 2)
            await bench.until(lambda: bench.ring() == [b"1", b"2"])
            assert relay.ledger.listeners["net"].connections_open == 1


@pytest.mark.parametrize("change", ["off", "on", "peers", "allow"])
async def test_whoever_was_let_in_otherwise_is_ended(
    bench: Bench, authority: Authority, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Also who is in the midst of a handshake; and cleartext is never a message of a TLS port."""
    before, after = with_tls(authority), with_tls(authority, peers="other.example.net")
    if change == "off":
        after = BASE
    elif change == "on":
        before, after = BASE, before
    elif change == "allow":
        after = before.replace('type = "tcp"', 'type = "tcp"\nallow = "192.0.2.0/24"')
    async with bench.running(before) as relay:
        account = relay.ledger.listeners["net"]
        with socket.create_connection(bench.address("net")) as waiting:
            if change == "on":
                old: socket.socket = socket.create_connection(bench.address("net"))
            else:
                old = await connect(bench, authority)
            old.sendall(LINE % 1)
            await bench.until(lambda: bench.ring() == [b"1"])
            await bench.until(lambda: account.connections_open == 2)
            await bench.reload(after)
            with suppress(OSError):
                waiting.sendall(LINE % 7)
            old.settimeout(5)
            assert not await trio.to_thread.run_sync(old.recv, 1)
            old.close()
        await bench.until(lambda: account.connections_open == 0)
        if change != "off":
            with socket.create_connection(bench.address("net")) as clear:
                clear.sendall(LINE % 8)
                with suppress(OSError):
                    await trio.to_thread.run_sync(clear.recv, 1)
        if change == "peers":
            await bench.until(lambda: account.connections_failed["tls-cleartext"] == 1)
            with await connect(bench, authority) as refused, suppress(OSError):
                refused.sendall(LINE % 9)
                await bench.until(lambda: account.connections_failed["tls-not-permitted"] == 1)
    assert set(bench.ring()) <= ({b"1", b"7"} if change == "on" else {b"1"})
    assert "ends 1 connections" in caplog.text or "ends 2 connections" in caplog.text
