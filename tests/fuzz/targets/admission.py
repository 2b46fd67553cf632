from relay.admin.access import Access
from relay.admin.admission import Admission, connections_max
from relay.admin.door import Door
from relay.admin.guard import refuse
from relay.admin.lifetime import Lifetime
from relay.admin.state import REFUSALS
from relay.core.networks import group_of
from tests.fuzz.target import Octets

TOKEN = b"0123456789abcdef"
METHODS = ("GET", "HEAD", "POST", "PUT", "\xff")
WORDS = (
    b"authorization", b"Bearer " + TOKEN, b"content-length", b"0", b"origin", b"transfer-encoding",
    b"/healthz", b"/memory/a/clear", b"/metrics", b"::ffff:192.0.2.1", b"fe80::1%eth0", b"local",
)  # fmt: skip


class Scope:
    """Of a connection: whether its place has been taken."""

    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


def run(data: bytes) -> None:
    """Over TCP nothing is changed and nothing told without the token, whatever a request says.

    Whoever connects, in whatever order, there are never more than there may be, and every one that
    is not served has been refused or has been told to go.
    """
    octets = Octets(data)
    local, method = bool(octets.number() % 2), octets.choice(METHODS)
    path, *lines = octets.rest().split(b"\n")
    headers = [(name.lower(), value) for name, _, value in (it.partition(b": ") for it in lines)]
    shown = path.decode("utf-8", "replace")
    scope = {"path": shown, "method": method, "headers": headers,
             "state": {"door": Door(local, Access(None, TOKEN))}}  # fmt: skip
    refusal = refuse(scope)
    if refusal is None:
        bears = any(name == b"authorization" and TOKEN in value for name, value in headers)
        assert local or bears or shown in ("/healthz", "/readyz")
        assert method in ("GET", "HEAD") or (
            local and method == "POST" and shown.endswith("/clear")
        )
    else:
        assert refusal.reason in REFUSALS
        assert refusal.answer.status_code in (401, 403, 405, 413)
    check_admission([line.decode("latin-1") for line in lines])


def check_admission(addresses: list[str]) -> None:
    hall = Admission()
    served: list[Lifetime] = []
    for turn, address in enumerate((addresses * 40)[:120]):
        group_of(address)
        made = Lifetime.__new__(Lifetime)
        made.scope, made.requests, made.idle_since = Scope(), turn % 3 % 2, float(turn)  # type: ignore[assignment]
        if hall.admit(address, made):
            served.append(made)
        assert len(hall) <= connections_max()
        assert len(hall) == sum(not it.scope.cancelled for it in served)  # type: ignore[attr-defined]
        if turn % 7 == 6 and served:
            gone = served.pop(0)
            hall.leave(gone)
