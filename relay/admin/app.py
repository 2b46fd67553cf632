"""What the admin server answers. Imports Starlette: to be loaded once the listeners are bound."""

from collections.abc import Mapping
from dataclasses import dataclass

import trio
from prometheus_client.registry import CollectorRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from relay import __version__
from relay.admin.books import books, unreadiness
from relay.admin.exposition import expose, registry_of
from relay.admin.guard import refuse, shows_token
from relay.admin.lifetime import Lifetime
from relay.admin.responses import HEADERS, json_of, plain
from relay.admin.rings import Reading, Wish, as_json, begin, identity, listing, next_number
from relay.admin.senders import TOP, senders
from relay.admin.state import Admin
from relay.core.ring import Rings

FOLLOWERS_MAX = 16  # a quarter of the connections: who follows must not keep a scrape out
NUMBER_DIGITS_MAX = 18

_INDEX = f"""\
Relay {__version__}

/metrics        for Prometheus; OpenMetrics when asked for
/healthz        200 while the process works
/readyz         200 while every listener is bound, otherwise 503 and the reasons
/ledger         every account, in JSON
/senders        the busiest senders, in JSON; ?top=COUNT of each listener
/memory         the memory destinations, in JSON
/memory/NAME    lines of one; ?since=NUMBER&lines=COUNT&follow=1
                POST to /memory/NAME/clear takes them away; ?before=NUMBER&ring=RING
                (over the unix socket only)
"""


def create_app(admin: Admin) -> ASGIApp:
    """The application; everything it reads is read without awaiting in between."""
    pages = Pages(admin, registry_of(admin))
    routes = [
        Route("/", pages.index),
        Route("/metrics", pages.metrics),
        Route("/healthz", pages.health),
        Route("/readyz", pages.readiness),
        Route("/ledger", pages.ledger),
        Route("/senders", pages.senders),
        Route("/memory", pages.memories),
        Route("/memory/{name}", pages.memory),
        Route("/memory/{name}/clear", pages.clear, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), admin)


@dataclass(frozen=True, slots=True)
class Guard:
    """Lets a request through, for a limited time, or answers in the place of the page."""

    app: ASGIApp

    admin: Admin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        lifetime: Lifetime = scope["state"]["lifetime"]
        lifetime.begin()
        try:
            refusal = refuse(scope)
            if refusal is None:
                await self.app(scope, receive, send)
            else:
                self.admin.requests_refused[refusal.reason] += 1
                await refusal.answer(scope, receive, send)
        finally:
            lifetime.finish()


@dataclass(frozen=True, slots=True)
class Pages:
    """One method a path."""

    admin: Admin
    registry: CollectorRegistry

    async def index(self, _: Request) -> Response:
        return PlainTextResponse(_INDEX, headers=HEADERS)

    async def metrics(self, request: Request) -> Response:
        text, content_type = expose(self.registry, request.headers.get("accept", ""))
        return Response(text, headers={**HEADERS, "Content-Type": content_type})

    async def health(self, _: Request) -> Response:
        return plain("ok")

    async def readiness(self, request: Request) -> Response:
        relay = self.admin.relay
        answer: dict[str, object] = {"ready": relay.ready, "phase": relay.phase}
        if shows_token(request.scope):
            answer["reasons"] = unreadiness(relay)
        return json_of(answer, 200 if relay.ready else 503)

    async def ledger(self, _: Request) -> Response:
        return json_of(books(self.admin.relay))

    async def senders(self, request: Request) -> Response:
        try:
            top = _top(request.query_params)
        except ValueError as exc:
            return plain(str(exc), 400)
        return json_of(senders(self.admin.relay, top))

    async def memories(self, _: Request) -> Response:
        return json_of(listing(self.admin.relay.rings))

    async def clear(self, request: Request) -> Response:
        """Only lines that somebody has seen, where he says up to which; all of them otherwise."""
        name = request.path_params["name"]
        rings = self.admin.relay.rings
        if name not in rings.rings:
            return _no_ring(rings, name)
        ring, query = rings.rings[name], request.query_params
        try:
            _check_known(query, "before", "ring")
            before = _number(query, "before")
        except ValueError as exc:
            return plain(str(exc), 400)
        if query.get("ring", identity(ring)) != identity(ring):
            return plain(f"memory destination {name} is another ring now", 409)
        return json_of({"cleared": ring.clear(next_number(ring) if before is None else before)})

    async def memory(self, request: Request) -> Response:
        name = request.path_params["name"]
        rings = self.admin.relay.rings
        if name not in rings.rings:
            return _no_ring(rings, name)
        try:
            wish = _wish(request.query_params)
        except ValueError as exc:
            return plain(str(exc), 400)
        reading = begin(rings, name, wish)
        if "application/json" in request.headers.get("accept", ""):
            if wish.follow:
                return plain("follow gives lines of text, no JSON", 400)
            return Response(as_json(reading), headers=HEADERS, media_type="application/json")
        if wish.follow and self.admin.followers >= FOLLOWERS_MAX:
            return plain(f"{FOLLOWERS_MAX} clients follow already", 503)
        return Lines(self.admin, reading)


class Lines(Response):
    """Streams a reading until its end, or until the client is gone."""

    media_type = "text/plain"

    def __init__(self, admin: Admin, reading: Reading) -> None:
        self._admin = admin
        self._reading = reading
        super().__init__(headers={**HEADERS, **_numbers(reading)})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        following = self._reading.end is None
        self._admin.followers += following
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_until_gone, receive, nursery.cancel_scope)
                await self._stream(scope, send, endless=following)
                nursery.cancel_scope.cancel()
        finally:
            self._admin.followers -= following

    async def _stream(self, scope: Scope, send: Send, *, endless: bool) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            if endless:
                scope["state"]["lifetime"].unlimited()
            async for piece in self._reading:
                if endless:
                    scope["state"]["lifetime"].limit()
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                if endless:
                    scope["state"]["lifetime"].unlimited()
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive, scope: trio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def _numbers(reading: Reading) -> Mapping[str, str]:
    end = next_number(reading.ring) if reading.end is None else reading.end
    return {
        "Relay-First": str(max(reading.number, reading.ring.first)),
        "Relay-Next": str(end),
        "Relay-Overwritten": str(reading.ring.overwritten),
    }


def _wish(query: Mapping[str, str]) -> Wish:
    _check_known(query, "since", "lines", "follow")
    follow = query.get("follow", "0")
    if follow not in ("0", "1"):
        raise ValueError(f"follow: expected 0 or 1, not {follow!r}")
    return Wish(_number(query, "since"), _number(query, "lines"), follow == "1")


def _check_known(query: Mapping[str, str], *known: str) -> None:
    unknown = sorted(query.keys() - set(known))
    if unknown:
        raise ValueError(f"unknown parameter {unknown[0]!r} (known: {', '.join(known)})")


def _top(query: Mapping[str, str]) -> int:
    unknown = sorted(query.keys() - {"top"})
    if unknown:
        raise ValueError(f"unknown parameter {unknown[0]!r} (known: top)")
    top = _number(query, "top")
    return TOP if top is None else top


def _number(query: Mapping[str, str], key: str) -> int | None:
    text = query.get(key)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= NUMBER_DIGITS_MAX):
        raise ValueError(f"{key}: expected a number, not {text[:40]!r}")
    return int(text)


def _no_ring(rings: Rings, name: str) -> Response:
    known = ", ".join(sorted(rings.rings)) or "none"
    return plain(f"no memory destination {name!r} (there are: {known})", 404)
