"""`relay spool cat` and `export`: messages of a spool, as lines or frames."""

import json
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import BinaryIO

import click

from relay.cli.place import Place, failing, reading
from relay.cli.selection import Selection
from relay.spool.inspection import Left
from relay.spool.store import Damaged, Stored
from relay.system.new_file import new_file
from relay.wire.escape import escape_text
from relay.wire.frames import frame

STDOUT = "-"

Encode = Callable[[Stored], bytes]


def plain(item: Stored) -> bytes:
    return _lines(escape_text(item.batch.messages))


def with_meta(item: Stored) -> bytes:
    """Number, time, sender and listener in front."""
    received = stamp(item.batch.received_ns)
    return _lines(escape_text([
        f"{number} {received} {sender} {item.batch.listener} ".encode(errors="surrogateescape")
        + message
        for number, sender, message in _messages(item)
    ]))  # fmt: skip


def as_json(item: Stored) -> bytes:
    """An object a line; text that is not UTF-8 is `message_base64`."""
    received = stamp(item.batch.received_ns)
    return _lines([
        json.dumps({
            "number": number,
            "received": received,
            "sender": sender,
            "listener": item.batch.listener,
            **_text(message),
        }).encode()
        for number, sender, message in _messages(item)
    ])  # fmt: skip


FORMATS: dict[str, Encode] = {
    "octet": lambda item: frame(item.batch.messages, "octet").data,
    "lf": lambda item: frame(item.batch.messages, "lf").data,
    "json": as_json,
}


def cat(place: Place, pipe: str, selection: Selection, encode: Encode) -> None:
    """Print what is selected.

    Raises:
        Failure: the spool cannot be read.
    """
    _write(place, pipe, selection, encode, sys.stdout.buffer).end()


def export(
    place: Place, pipe: str, path: str, selection: Selection, encode: Encode, *, force: bool
) -> None:
    """Write what is selected to a file, which is whole or not there; `-` is stdout.

    Raises:
        Failure: the spool cannot be read, or the file not written.
    """
    copy = partial(_write, place, pipe, selection, encode)
    if path == STDOUT:
        done = copy(sys.stdout.buffer)
    else:
        with failing(path), new_file(path, replace=force) as file:
            done = copy(file)
    click.echo(f"exported {done.messages} messages of pipe {pipe}", err=path == STDOUT)
    done.end()


def stamp(received_ns: int) -> str:
    """RFC 3339 in UTC with milliseconds."""
    try:
        moment = datetime.fromtimestamp(received_ns // 10**9, UTC)
    except (ValueError, OverflowError):  # not from any clock of ours
        return "-"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{received_ns // 10**6 % 1000:03d}Z"


def tell(pipe: str, item: Damaged | Left) -> None:
    """Say on stderr which numbers the output lacks, and why."""
    if isinstance(item, Left):
        text = f"not on disk, since they have left: {span(item)}"
    else:
        text = f"{span(item)} cannot be read: {item.what}"
    click.echo(f"relay: spool of pipe {pipe}: {text}", err=True)


def span(item: Damaged | Left) -> str:
    """The numbers of a range, inclusive."""
    if item.messages == 1:
        return f"message {item.first}"
    return f"messages {item.first} to {item.end - 1}"


@dataclass(slots=True, eq=False)
class _Done:
    messages: int = 0
    damaged: int = 0

    def end(self) -> None:
        """Exit with 1 when there was damage, which has been told."""
        if self.damaged:
            raise click.exceptions.Exit(1)


def _write(place: Place, pipe: str, selection: Selection, encode: Encode, file: BinaryIO) -> _Done:
    done = _Done()
    with place.view(pipe) as (inspection, _):
        for item in reading(pipe, selection.read(inspection)):
            if isinstance(item, Stored):
                file.write(encode(item))
                done.messages += len(item.batch)
            else:
                tell(pipe, item)
                done.damaged += item.messages if isinstance(item, Damaged) else 0
    return done


def _messages(item: Stored) -> Iterator[tuple[int, str, bytes]]:
    return zip(range(item.first, item.end), item.batch.senders, item.batch.messages, strict=True)


def _text(message: bytes) -> dict[str, str]:
    try:
        return {"message": message.decode()}
    except UnicodeDecodeError:
        return {"message_base64": b64encode(message).decode()}


def _lines(lines: Iterable[bytes]) -> bytes:
    return b"".join([line + b"\n" for line in lines])
