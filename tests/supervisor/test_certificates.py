"""Certificates are watched over while the relay runs."""

import datetime
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trustme

from relay.supervisor import certificates
from relay.supervisor.certificates import watch_certificates
from relay.supervisor.state import Relay
from tests.supervisor.conftest import BASE, Bench

TLS = """
[destinations.siem]
type = "tcp"
address = "127.0.0.1:9"
tls = {{ {} }}
[pipes.siem]
spool = "never"
from = "net"
to = "siem"
"""
UNVERIFIED = "destination siem: verify = false: whoever answers gets the messages"


@asynccontextmanager
async def watched(bench: Bench, tls: str) -> AsyncIterator[Relay]:
    async with bench.running(BASE + TLS.format(tls)) as relay, trio.open_nursery() as nursery:
        nursery.start_soon(watch_certificates, relay)
        yield relay
        nursery.cancel_scope.cancel()


def write_authority(path: Path, days: float) -> None:
    now = datetime.datetime.now(datetime.UTC)
    leaf = trustme.CA().issue_cert("a.example.net", common_name="a",
                                   not_after=now + datetime.timedelta(days=days))  # fmt: skip
    leaf.cert_chain_pems[0].write_to_path(path)


async def test_they_are_looked_at_again_and_again(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is renewed is seen without connection or reload; a damaged file changes nothing."""
    monkeypatch.setattr(certificates, "LOOK_SECONDS", 0.01)
    file = tmp_path / "ca.pem"
    write_authority(file, 3.5)
    async with watched(bench, f'ca = "{file}"') as relay:
        await bench.until(lambda: f"{file}: certificate a expires in 3 days" in caplog.messages)
        before = relay.certificates.not_after()
        end = before[str(file), "a"]
        file.write_text("something else")
        await trio.sleep(0.1)
        assert relay.certificates.not_after() == before
        write_authority(file, -2.5)
        await bench.until(lambda: f"{file}: certificate a expired 2 days ago" in caplog.messages)
        write_authority(file, 90)
        await bench.until(lambda: relay.certificates.not_after()[str(file), "a"] > end)
        caplog.clear()
        await trio.sleep(0.1)
    assert "certificate a" not in caplog.text


async def test_who_is_not_verified_is_named_at_the_start_and_at_each_reload(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "relay.tls")
    async with watched(bench, "verify = false") as relay:
        await bench.until(lambda: caplog.text.count(UNVERIFIED) == 1)
        await bench.signals.send(signal.SIGHUP)
        await bench.until(lambda: caplog.text.count(UNVERIFIED) == 2)
        bench.write(BASE + TLS.format('ca = "system"'))
        await bench.signals.send(signal.SIGHUP)
        await bench.until(lambda: relay.reloads == 2)
        await trio.sleep(0.05)
    assert caplog.text.count(UNVERIFIED) == 2
