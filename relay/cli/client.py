"""Asking the admin server of a running relay."""

import http.client
import os
import socket
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from relay.cli.failure import Failure, Mistake

ADDRESS = "127.0.0.1:9514"  # what a configuration has that says nothing else
ANSWER_SECONDS_MAX = 10.0
ERROR_CHARACTERS_MAX = 500

_REACHABLE = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104
_UNIX = "unix:"


def admin_address(path: str) -> str:
    """Where the admin server of this configuration is asked, as far as there is a valid one.

    Its unix socket, where this user may use it; it asks for no token, and lets things be changed.
    """
    if not os.path.exists(path):
        return ADDRESS
    from relay.config import ConfigErrors, load

    try:
        admin = load(path).admin
    except ConfigErrors:
        return ADDRESS
    if admin is None:
        raise Failure(f"{path} switches the admin server off")
    sockets = [it for it in admin.listen if it.startswith(_UNIX)]
    for address in sockets:
        if os.access(address.removeprefix(_UNIX), os.R_OK | os.W_OK, effective_ids=True):
            return address
    network = [it for it in admin.listen if not it.startswith((_UNIX, "fd:"))]
    if network and admin.tls is None and admin.token_file is None:
        host, _, port = network[0].rpartition(":")
        return f"{_REACHABLE.get(host, host)}:{port}"
    if sockets:
        return sockets[0]  # the failure says why not
    if network:
        raise Failure(
            f"{path} has the admin server ask for {'TLS' if admin.tls else 'a token'}: "
            'commands need a unix socket of it ([admin] listen = ["unix:PATH", ...])'
        )
    raise Failure(f"{path} has the admin server listen on {admin.listen[0]}: give --admin")


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; its `host` only fills the header."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=ANSWER_SECONDS_MAX)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class AdminClient:
    """One request a call, each on a connection of its own."""

    def __init__(self, address: str) -> None:
        from relay.core.values import split_address

        self.address = address
        if address.startswith(_UNIX):
            return
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
        connection = self._connection()
        try:
            connection.request(method, target, headers={"Accept": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException, ValueError) as exc:
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

    def _connection(self) -> http.client.HTTPConnection:
        if self.address.startswith(_UNIX):
            return _UnixConnection(self.address.removeprefix(_UNIX))
        return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS_MAX)
