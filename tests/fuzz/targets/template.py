import os.path

from relay.core.batch import Batch
from relay.destinations.template import COMPONENT_OCTETS_MAX, PathTemplate
from tests.fuzz.target import Octets

TEMPLATES = [
    PathTemplate.of(path, "/base")
    for path in (
        "{host}", "{host}{program}", "a/{host}/{program}.log", "{sender}/{listener}-{date}",
        ".{host}/{facility}.{severity}", "{host}.{host}/{program}{program}{program}",
    )
]  # fmt: skip
WORDS = (
    b"<13>Nov 23 07:28:45 ", b"../", b"..", b"/", b"\0", b"host ", b"su: ", b"<13>1 - ", b"- ",
    b"\xff", b".",
)  # fmt: skip


def run(data: bytes) -> None:
    """No message leads out of the base, and none changes how deep a path is.

    Any path that the configuration has is taken or refused with a `ValueError`.
    """
    octets = Octets(data)
    template = octets.choice(TEMPLATES)
    messages = octets.rest().split(b"\x01")
    sender = messages[0].decode("latin-1")
    batch = Batch.of(messages, [sender] * len(messages), sender[:40], 1795418925_123_000_000)
    for path in template.paths([batch], sender):
        assert os.path.normpath(f"/base/{path}") == f"/base/{path}"
        assert "\0" not in path
        assert path.count("/") == "".join(template.pieces[::2]).count("/")
        assert max(len(part.encode()) for part in path.split("/")) <= COMPONENT_OCTETS_MAX
    for base in (None, "/base"):
        try:
            found = PathTemplate.of(sender, base)
        except ValueError:
            continue
        if base == "/base":
            assert os.path.normpath("/base/" + "".join(found.pieces)).startswith("/base/")
