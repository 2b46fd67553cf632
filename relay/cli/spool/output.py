"""Messages of a spool as they are shown, or written to a file."""

import base64
import errno
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from tempfile import mkstemp
from typing import BinaryIO

import click

from relay.cli.failure import Failure
from relay.cli.spool.selection import Selection
from relay.cli.spool.state import State
from relay.spool.store import Damaged, Stored
from relay.wire.escape import escape_terminator, escape_text
from relay.wire.timestamp import rfc3339

Form = Callable[[Stored], bytes]


def write(
    state: State, pipe: str, selection: Selection, form: Form, out: BinaryIO
) -> tuple[int, int]:
    """Write the messages in this form; damage is told on stderr, in its place.

    Returns how many messages were written, and how many are damaged.
    """
    written = damaged = 0
    for piece in selection.pieces(state, pipe):
        if isinstance(piece, Damaged):
            damaged += piece.messages
            click.echo(f"relay: spool of pipe {pipe}: {damage_text(piece)}", err=True)
        else:
            out.write(form(piece))
            written += len(piece.batch)
    out.flush()
    return written, damaged


def damage_text(damaged: Damaged) -> str:
    if damaged.messages == 1:
        return f"message {damaged.first} is damaged: {damaged.what}"
    last = damaged.end - 1
    return f"messages {damaged.first} to {last} ({damaged.messages}) are damaged: {damaged.what}"


# -- forms


def lines(piece: Stored) -> bytes:
    """One line a message, which cannot break out of it."""
    return b"".join(message + b"\n" for message in escape_text(piece.batch.messages))


def described(piece: Stored) -> bytes:
    """Lines with number, time of receipt, listener and sender in front."""
    batch = piece.batch
    received, listener = rfc3339(batch.received_ns), batch.listener.encode()
    rows = zip(batch.senders, escape_text(batch.messages), strict=True)
    return b"".join(
        b"%d %b %b %b %b\n" % (number, received, listener, _plain(sender), message)
        for number, (sender, message) in enumerate(rows, piece.first)
    )


def octets(piece: Stored) -> bytes:
    """Octet counted (RFC 6587 section 3.4.1), unchanged: any listener takes them."""
    return b"".join(b"%d %b" % (len(message), message) for message in piece.batch.messages)


def raw_lines(piece: Stored) -> bytes:
    """LF ended, as an `lf` destination sends them."""
    return b"".join(it + b"\n" for it in escape_terminator(piece.batch.messages, b"\n"))


def objects(piece: Stored) -> bytes:
    """JSON, one object a line."""
    batch = piece.batch
    received = rfc3339(batch.received_ns).decode()
    rows = zip(batch.senders, batch.messages, strict=True)
    texts = [
        json.dumps({
            "number": number, "received": received, "listener": batch.listener, "sender": sender,
            **_content(message),
        })
        for number, (sender, message) in enumerate(rows, piece.first)
    ]  # fmt: skip
    return "".join(text + "\n" for text in texts).encode()


FORMS: Mapping[str, Form] = {"octet": octets, "lf": raw_lines, "json": objects}


def _content(message: bytes) -> Mapping[str, str]:
    """The message as text, or in base64 where it is not UTF-8."""
    try:
        return {"message": message.decode()}
    except UnicodeDecodeError:
        return {"message_base64": base64.b64encode(message).decode()}


def _plain(sender: str) -> bytes:
    texts: Sequence[bytes] = escape_text([sender.encode("utf-8", "surrogateescape")])
    return texts[0].replace(b" ", b"#040")


# -- files


@contextmanager
def new_file(path: str, *, force: bool) -> Iterator[BinaryIO]:
    """A file that has this name once it is complete and on disk, and only then.

    Raises:
        Failure: it exists already, and not `force`; or it cannot be written.
    """
    if os.path.lexists(path) and not force:
        raise Failure(f"{path} exists already (--force replaces it)")
    directory, name = os.path.split(path)
    try:
        # A name that nobody has: what an export left that was killed is in nobody's way.
        number, part = mkstemp(".part", f".{name}.", directory or ".")
    except OSError as exc:
        raise Failure(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    try:
        with open(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(number)
        if force:
            os.replace(part, path)
        else:
            _rename_new(part, path)
    except BaseException as exc:
        with suppress(FileNotFoundError):
            os.unlink(part)
        if isinstance(exc, OSError):
            raise Failure(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
        raise


def _rename_new(old: str, new: str) -> None:
    """Raises `FileExistsError` where somebody was faster."""
    try:
        os.link(old, new)
    except OSError as exc:
        if exc.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without hard links, such as vfat: the name is taken, then given.
        os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.replace(old, new)
    else:
        os.unlink(old)
