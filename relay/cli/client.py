"""Asking the admin server of a running relay."""

import http.client
import os
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from relay.cli.failure import Failure, Mistake

ADDRESS = "127.0.0.1:9514"  # what a configuration has that says nothing else
ANSWER_SECONDS_MAX = 10.0
ERROR_CHARACTERS_MAX = 500

_REACHABLE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104


def admin_address(path: str) -> str:
    """Where the admin server of this configuration is asked, as far as there is a valid one."""
    if not os.path.exists(path):
        return ADDRESS
    from relay.config import ConfigErrors, load

    try:
        admin = load(path).admin
    except ConfigErrors:
        return ADDRESS
    if admin is None:
        raise Failure(f"{path} switches the admin server off")
    host, _, port = admin.listen.rpartition(":")
    if host == "fd":
        raise Failure(f"{path} has the admin server listen on {admin.listen}: give --admin")
    return f"{_REACHABLE.get(host, host)}:{port}"


class AdminClient:
    """One request a call, each on a connection of its own."""

    def __init__(self, address: str) -> None:
        from relay.core.values import split_address

        self.address = address
        try:
            self._host, self._port = split_address(address)
        except ValueError as exc:
            raise Mistake(f"admin address: {exc}") from exc

    def get(self, path: str, **query: int | str | None) -> bytes:
        """A page in JSON; parameters that are None are left out.

        Raises:
            Failure: nobody answers there, or not with 200.
        """
        return self._ask("GET", path, query)

    def post(self, path: str, **query: int | str | None) -> bytes:
        """As `get`, for what changes something."""
        return self._ask("POST", path, query)

    def _ask(self, method: str, path: str, query: Mapping[str, int | str | None]) -> bytes:
        wanted = urlencode({key: value for key, value in query.items() if value is not None})
        target = quote(path) + (f"?{wanted}" if wanted else "")
        connection = http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS_MAX)
        try:
            connection.request(method, target, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException, UnicodeError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
            raise Failure(f"admin server at {self.address}: {reason.lower()}") from exc
        finally:
            connection.close()
        if answer.status != 200:
            text = " ".join(body.decode(errors="backslashreplace").split())
            raise Failure(
                text[:ERROR_CHARACTERS_MAX] or f"the admin server answers {answer.status}"
            )
        return body
