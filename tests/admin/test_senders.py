"""/senders and the series of senders: bounded, and of one moment."""

from relay.admin.exposition import expose, registry_of
from relay.admin.senders import TOP
from relay.admin.state import Admin
from tests.admin.conftest import Rig

MESSAGE = b"<13>1 2026-11-23T07:28:45Z fw1 app - - - x"


def look(rig: Rig, names: list[str], now: float) -> None:
    account = rig.relay.ledger.listener("net")
    account.senders.look([MESSAGE] * len(names), names, now)


async def test_the_busiest_come_first_and_so_many_as_asked_for(rig: Rig) -> None:
    now = rig.relay.now()
    look(rig, [f"192.0.2.{i}" for i in range(100) for _ in range(i + 1)], now)
    rig.relay.ledger.listener("net").senders.expected.expect(["fw1", "fw2"], 60.0, now - 90)
    look(rig, ["192.0.2.7"], now)
    rig.relay.ledger.listener("net").senders.expected.told(now)
    async with rig.serving() as client:
        answer = (await client.get("/senders?top=2")).json()
        assert len((await client.get("/senders")).json()["net"]["senders"]) == TOP
        assert answer["internal"]["senders"] == []
        assert [it["sender"] for it in answer["net"]["senders"]] == ["192.0.2.99", "192.0.2.98"]
        first = answer["net"]["senders"][0]
        assert (first["messages"], first["error"], first["dialect"]) == (100, 0, "rfc5424")
        assert first["skew_seconds"] is None
        assert answer["net"]["known"] == 100
        assert [(it["sender"], it["silent"], it["heard"]) for it in answer["net"]["expected"]] == [
            ("fw1", False, True), ("fw2", True, False),
        ]  # fmt: skip


async def test_a_wrong_wish_is_said(rig: Rig) -> None:
    async with rig.serving() as client:
        for query, text in (("top=x", "top: expected a number"), ("tip=1", "unknown parameter")):
            answer = await client.get(f"/senders?{query}")
            assert (answer.status_code, answer.text[: len(text)]) == (400, text)


async def test_the_series_of_senders_are_bounded(rig: Rig) -> None:
    look(rig, [f"{i:#x}" for i in range(50_000)], rig.relay.now())
    rig.relay.ledger.listener("net").senders.expected.expect(["fw1"], 60.0, rig.relay.now())
    text = expose(registry_of(Admin(rig.relay)), "")[0].decode()
    assert text.count('\nrelay_sender_messages_per_second{listener="net"') == TOP
    assert '\nrelay_listener_senders_known{listener="net"} 1000.0' in text
    assert '\nrelay_sender_silent{listener="net",sender="fw1"} 0.0' in text
