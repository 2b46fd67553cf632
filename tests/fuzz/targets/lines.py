from relay.wire.clip import clip
from relay.wire.lines import Lines
from tests.fuzz.target import Octets, pieces

MESSAGE_MAX = 20
WORDS = (b"\r\n", b"\n", b"\0\0\0", "€".encode(), b"x" * 21, b"\r")


def run(data: bytes) -> None:
    """However a file is read, its lines are the same, and so are the places to go on from.

    Reading again from such a place gives what had not been given. Nothing is held beyond a line.
    """
    octets = Octets(data)
    sizes = octets.take(2)
    content = octets.rest()
    whole = read(content, b"")
    for cutting in (b"\0", sizes):
        assert read(content, cutting) == whole
    texts = [text.lstrip(b"\0").removesuffix(b"\r") for text in content.split(b"\n")[:-1]]
    assert [clip(text, MESSAGE_MAX) for text in texts] == whole[0]
    lines = Lines(MESSAGE_MAX)
    given: list[bytes] = []
    for piece in pieces(content, sizes):
        given += lines.feed(piece)
        again = Lines(MESSAGE_MAX, lines.position, lines.before)
        assert given + again.feed(content[lines.position :]) == whole[0]


def read(content: bytes, sizes: bytes) -> tuple[object, ...]:
    lines = Lines(MESSAGE_MAX)
    found: list[bytes] = []
    for piece in pieces(content, sizes):
        found += lines.feed(piece)
        assert lines.position <= lines.end
        assert len(lines._held) <= MESSAGE_MAX + 3
    tail = lines.close()
    assert lines.position == len(content)
    return found, tail, lines.truncated, lines.truncated_octets
