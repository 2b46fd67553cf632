"""Answers as text and as JSON, with the headers that all of ours have."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse, Response

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def plain(text: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(text + "\n", status, headers={**HEADERS, **(headers or {})})


def json_of(answer: Any, status: int = 200) -> Response:  # noqa: ANN401 - JSON
    text = json.dumps(answer, indent=2) + "\n"
    return Response(text, status, headers=HEADERS, media_type="application/json")
