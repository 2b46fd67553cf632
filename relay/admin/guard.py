"""Which requests are let through to a page, and what the others are told."""

import re
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Scope

from relay.admin.door import Door
from relay.admin.responses import plain

_METHODS = ("GET", "HEAD")
_CHANGING = re.compile("/memory/[^/]+/clear")
_CHANGING_METHODS = ("POST",)
# For probes: they say no more than that the process works, and whether it is ready.
_OPEN = ("/healthz", "/readyz")


class Refusal(NamedTuple):
    reason: str  # one of `state.REFUSALS`
    answer: Response


def refuse(scope: Scope) -> Refusal | None:
    """None: let it through.

    Whoever is on the unix socket is root or the user of this process: he needs no token, and he
    alone may change something. A browser says on whose behalf it changes something (Fetch, section
    3.2): no page that somebody has open is to clear a ring on the quiet. Nothing else sends that
    header.
    """
    if scope["path"] not in _OPEN and not shows_token(scope):
        challenge = {"WWW-Authenticate": "Bearer"}
        return Refusal(
            "token", plain("a token is needed: Authorization: Bearer TOKEN", 401, challenge)
        )
    allowed = _CHANGING_METHODS if _CHANGING.fullmatch(scope["path"]) else _METHODS
    if scope["method"] not in allowed:
        answer = plain("method not allowed", 405, {"Allow": ", ".join(allowed)})
        return Refusal("method", answer)
    if scope["method"] not in _METHODS:
        if _header(scope, b"origin") is not None:
            return Refusal("browser", plain("not for browsers", 403))
        if not _door(scope).local:
            text = "over TCP nothing can be changed: use the unix socket ([admin] listen)"
            return Refusal("not-local", plain(text, 403))
    if _has_body(scope):
        return Refusal("body", plain("no request has a body here", 413))
    return None


def shows_token(scope: Scope) -> bool:
    """Whether it bears the token, or needs none."""
    door = _door(scope)
    return door.local or door.access.admits(_header(scope, b"authorization"))


def _door(scope: Scope) -> Door:
    door: Door = scope["state"]["door"]
    return door


def _has_body(scope: Scope) -> bool:
    length = _header(scope, b"content-length")
    return _header(scope, b"transfer-encoding") is not None or length not in (None, b"0")


def _header(scope: Scope, name: bytes) -> bytes | None:
    return next((value for key, value in scope["headers"] if key == name), None)
