"""A ring over HTTP: what is in it, what comes, and what was missed."""

import pytest
import trio
from hypothesis import example, given
from hypothesis import strategies as st

from relay.admin import app, lifetime
from relay.admin.rings import PIECE_OCTETS, Wish, begin
from relay.core.ring import Ring, Rings
from tests.admin.conftest import Rig, from_json


def ring_of(rig: Rig, *lines: bytes) -> Ring:
    ring = rig.relay.rings.ring("recent", 1 << 20)
    ring.append(lines)
    return ring


def forget(ring: Ring, lines: int) -> None:
    """The ring overwrites so many of its oldest lines."""
    ring.octets -= sum(len(line) + 64 for line in ring.lines.between(0, lines))
    ring.lines.drop(lines)
    ring.first += lines
    ring.overwritten += lines


@pytest.mark.parametrize(
    ("query", "lines", "first", "after"),
    [
        ("", "cdef", 2, 6),
        ("?lines=2", "ef", 4, 6),
        ("?lines=100", "cdef", 2, 6),
        ("?lines=0", "", 6, 6),
        ("?since=3", "def", 3, 6),
        ("?since=3&lines=2", "de", 3, 5),
        ("?since=6", "", 6, 6),
        ("?since=7", "cdef", 2, 6),  # of a ring before a restart
    ],
)
async def test_lines_by_number(rig: Rig, query: str, lines: str, first: int, after: int) -> None:
    forget(ring_of(rig, b"a", b"b", b"c", b"d", b"e", b"f"), 2)
    async with rig.serving() as client:
        answer = await client.get(f"/memory/recent{query}")
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.text == "".join(f"{line}\n" for line in lines)
        assert answer.headers["relay-first"] == str(first)
        assert answer.headers["relay-next"] == str(after)
        assert answer.headers["relay-overwritten"] == "2"
        asked = {"Accept": "application/json"}
        told = from_json(await client.get(f"/memory/recent{query}", headers=asked))
        assert told["lines"] == list(lines)
        assert (told["first"], told["next"], told["missed"]) == (first, after, 0)


async def test_what_was_overwritten_is_told(rig: Rig) -> None:
    forget(ring_of(rig, b"a", b"b", b"c", b"d"), 3)
    async with rig.serving() as client:
        answer = await client.get("/memory/recent?since=1")
        assert answer.text == "-- 2 lines overwritten or cleared before they were read --\nd\n"
        asked = {"Accept": "application/json"}
        told = from_json(await client.get("/memory/recent?since=1", headers=asked))
        assert (told["missed"], told["overwritten"], told["lines"]) == (2, 3, ["d"])


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("since=x", "since: expected a number, not 'x'"),
        ("lines=-1", "lines: expected a number, not '-1'"),
        ("since=" + "9" * 5000, f"since: expected a number, not '{'9' * 40}'"),
        ("follow=yes", "follow: expected 0 or 1, not 'yes'"),
        ("limit=3", "unknown parameter 'limit' (known: since, lines, follow)"),
    ],
)
async def test_mistakes_are_named(rig: Rig, query: str, text: str) -> None:
    ring_of(rig, b"a")
    async with rig.serving() as client:
        answer = await client.get(f"/memory/recent?{query}")
        assert (answer.status_code, answer.text) == (400, text + "\n")


async def test_following_gives_new_lines_and_tells_a_gap(rig: Rig) -> None:
    ring = ring_of(rig, b"a", b"b")
    async with rig.serving() as client:
        path = "/memory/recent?lines=1&follow=1"
        async with client.stream("GET", path) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "b"
            ring.append([b"c"])
            assert await anext(lines) == "c"
            ring.append([b"d", b"e", b"f"])
            forget(ring, 5)
            assert (
                await anext(lines) == "-- 2 lines overwritten or cleared before they were read --"
            )
            assert await anext(lines) == "f"
            rig.relay.rings.keep_only([])  # a reload has removed the destination
            assert [line async for line in lines] == []


async def test_followers_are_limited_and_leave_when_their_client_does(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "FOLLOWERS_MAX", 1)
    ring_of(rig, b"a")
    async with rig.serving() as client:
        async with client.stream("GET", "/memory/recent?follow=1"):
            answer = await client.get("/memory/recent?follow=1")
            assert answer.status_code == 503
            assert answer.text == "1 clients follow already\n"
        while True:  # until the server has noticed
            async with client.stream("GET", "/memory/recent?follow=1") as again:
                if again.status_code == 200:
                    break
            await trio.sleep(0.01)


async def test_a_follower_outlives_the_time_of_a_request(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifetime, "REQUEST_SECONDS_MAX", 0.2)
    ring = ring_of(rig, b"a")
    async with rig.serving(), await rig.connect() as stream:
        await stream.send_all(b"GET /memory/recent?follow=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        while b"a\n" not in await stream.receive_some():
            pass
        await trio.sleep(0.5)
        ring.append([b"b"])
        assert await stream.receive_some() == b"2\r\nb\n\r\n"


async def test_following_in_json_is_refused(rig: Rig) -> None:
    ring_of(rig, b"a")
    async with rig.serving() as client:
        asked = {"Accept": "application/json"}
        answer = await client.get("/memory/recent?follow=1", headers=asked)
        assert answer.status_code == 400


async def test_a_large_ring_comes_in_pieces_and_whole(rig: Rig) -> None:
    ring = rig.relay.rings.ring("recent", 1 << 30)
    ring.append([b"%d " % n + b"x" * (n % 1000) for n in range(20_000)])
    async with rig.serving() as client:
        answer = await client.get("/memory/recent")
        assert answer.content == b"".join(line + b"\n" for line in ring.lines)
        lines: list[str] = []
        number = 0
        while number < 20_000:
            asked = {"Accept": "application/json"}
            path = f"/memory/recent?since={number}"
            told = from_json(await client.get(path, headers=asked))
            lines += told["lines"]
            number = told["next"]
        assert lines == [line.decode() for line in ring.lines]


@given(
    st.integers(0, 30),
    st.lists(st.integers(0, 2 * PIECE_OCTETS), max_size=30),
    st.one_of(st.none(), st.integers(0, 70)),
    st.one_of(st.none(), st.integers(0, 40)),
)
@example(1, [0, PIECE_OCTETS - 49], 0, None)  # together with the line about what was missed
def test_pieces_are_bounded_and_add_up(
    gone: int, lengths: list[int], since: int | None, lines_max: int | None
) -> None:
    rings = Rings()
    ring = rings.ring("recent", 1 << 30)
    ring.first = ring.overwritten = gone
    ring.append([b"x" * length for length in lengths])
    reading = begin(rings, "recent", Wish(since, lines_max))
    assert reading.end is not None
    given = b""
    while piece := reading.take():
        assert len(piece) <= PIECE_OCTETS or piece.count(b"\n") <= 2
        given += piece
    text = given.split(b"\n")[:-1]
    if text and text[0].startswith(b"--"):
        text = text[1:]
    after = gone + len(lengths)
    if since is None or since > after:
        wanted = list(ring.lines)
        if since is None and lines_max is not None:
            wanted = wanted[len(wanted) - min(lines_max, len(wanted)) :]
        elif lines_max is not None:
            wanted = wanted[:lines_max]
    else:
        wanted = list(ring.lines)[max(0, since - gone) :][:lines_max]
    assert text == wanted


async def test_what_there_is_and_what_has_overflowed(rig: Rig) -> None:
    forget(ring_of(rig, b"a", b"b"), 1)
    rig.relay.rings.ring("other", 32 << 10)
    async with rig.serving() as client:
        told = from_json(await client.get("/memory"))
    assert list(told) == ["other", "recent"]
    recent = told["recent"]
    assert (recent["lines"], recent["bytes"], recent["size"]) == (1, 65, 1 << 20)
    assert (recent["overwritten"], recent["overflowed"]) == (1, True)
    assert told["other"]["overflowed"] is False


async def test_clearing_takes_away_what_its_reader_has_seen(rig: Rig) -> None:
    """What has come since the reader looked stays."""
    ring = ring_of(rig, b"a", b"b", b"c")
    forget(ring, 1)
    rig.reload(rig.listen())
    async with rig.serving(), rig.local() as client:
        asked = {"Accept": "application/json"}
        told = from_json(await client.get("/memory/recent", headers=asked))
        assert told["overflowed"] is True
        ring.append([b"d"])
        path = f"/memory/recent/clear?before={told['next']}&ring={told['ring']}"
        assert from_json(await client.post(path)) == {"cleared": 2}
        told = from_json(await client.get("/memory/recent", headers=asked))
        assert (told["lines"], told["overflowed"]) == (["d"], False)
        assert from_json(await client.post("/memory/recent/clear")) == {"cleared": 1}
        assert (await client.get("/memory/recent")).text == ""


async def test_a_follower_hears_that_lines_were_cleared_before_it_had_them(rig: Rig) -> None:
    ring = ring_of(rig, b"a")
    async with rig.serving() as client, client.stream("GET", "/memory/recent?follow=1") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "a"
        ring.append([b"b", b"c"])
        ring.clear(3)
        ring.append([b"d"])
        gap = "-- 2 lines overwritten or cleared before they were read --"
        assert [await anext(lines), await anext(lines)] == [gap, "d"]
        rig.relay.rings.keep_only([])  # ends it
        assert [line async for line in lines] == []


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/memory/recent/clear?ring=1-2", 409, "memory destination recent is another ring now"),
        ("/memory/recent/clear?before=x", 400, "before: expected a number, not 'x'"),
        ("/memory/recent/clear?all=1", 400, "unknown parameter 'all' (known: before, ring)"),
        ("/memory/none/clear", 404, "no memory destination 'none' (there are: recent)"),
        ("/memory/recent", 405, "method not allowed"),
        ("/memory", 405, "method not allowed"),
        ("/metrics", 405, "method not allowed"),
    ],
)
async def test_what_cannot_be_cleared(rig: Rig, path: str, status: int, text: str) -> None:
    ring = ring_of(rig, b"a")
    rig.reload(rig.listen())
    async with rig.serving(), rig.local() as client:
        answer = await client.post(path)
        assert (answer.status_code, answer.text) == (status, text + "\n")
    assert list(ring.lines) == [b"a"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
async def test_no_page_in_a_browser_clears_a_ring(rig: Rig, origin: str) -> None:
    """Browsers send the header with everything that may change something."""
    ring = ring_of(rig, b"a")
    rig.reload(rig.listen())
    async with rig.serving(), rig.local() as client:
        answer = await client.post("/memory/recent/clear", headers={"Origin": origin})
        assert (answer.status_code, answer.text) == (403, "not for browsers\n")
        answer = await client.get("/memory/recent/clear")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert list(ring.lines) == [b"a"]
