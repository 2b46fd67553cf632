"""What must be true of dead letters: each refused message has one, and it is whole."""

from tests.simulation.configuration import PipePlan
from tests.simulation.forms import form_of
from tests.simulation.network import UNIX_DATAGRAM_MAX
from tests.simulation.world import World

MARK = b" message="


def judge_letters(world: World, pipe: PipePlan) -> None:
    """The book of the letters follows from that of the pipe, and the file from both.

    Raises:
        AssertionError: it does not.
    """
    name = f"{pipe.name}.dead-letter"
    letters = [life.books[name] for life in world.lives if name in life.books]
    refused = sum(life.books[pipe.name].dead_letters for life in world.lives
                  if pipe.name in life.books)  # fmt: skip
    received = sum(book.received for book in letters)
    assert received == refused, f"{name}: {received} received, {refused} were refused"
    lines = _lines(world, pipe.letters)
    senders = {form_of(pipe, it): host or "local" for it, host in world.truth.hosts.items()}
    offered = {form_of(pipe, it) for it in world.truth.offered[pipe.name]}
    for line in lines:
        head, _, message = line.partition(MARK)
        assert b"reason=too-large" in head, f"{name}: {line!r:.200}"
        assert f"pipe={pipe.name} ".encode() in head, f"{name}: {line!r:.200}"
        assert message in offered, f"{name}: nobody has put {message!r:.200}"
        assert head.endswith(b" sender=" + senders[message].encode()), f"{name}: {line!r:.300}"
        assert len(message) > UNIX_DATAGRAM_MAX, f"{name}: {len(message)} octets are not too many"
    stored = sum(sum(book.delivered.values()) for book in letters)
    again = sum(book.retried + book.held for book in letters)
    given_up = sum(sum(book.dropped.values()) for book in letters)
    assert stored <= len(lines) <= stored + again + given_up, (
        f"{name}: {stored} stored, {len(lines)} lines, {again} tried again, {given_up} dropped"
    )
    world.sometimes["dead letters"] += len(lines)


def _lines(world: World, path: str) -> list[bytes]:
    nodes = [node for at, node in world.storage.rotated if at == path]
    nodes += [node for at, node in world.storage.files.items() if at == path]
    return [line for node in nodes for line in bytes(node.content).split(b"\n")[:-1]]
