"""Reading back what `relay spool export --format json` has written."""

import base64
import binascii
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, islice
from typing import Any, TextIO

from relay.cli.failure import Failure, Mistake
from relay.core.batch import Batch

MESSAGES_MAX = 1000  # of one batch
NAME_OCTETS_MAX = 1024
MESSAGE_OCTETS_MAX = 16 << 20  # as the key message_max allows

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@contextmanager
def opened(path: str) -> Iterator[TextIO]:
    """The file, to be read as often as needed; who becomes another user has it still.

    Raises:
        Failure: it cannot be opened.
    """
    try:
        file = open(path, encoding="utf-8")  # noqa: SIM115 - what fails inside is not its fault
    except OSError as exc:
        raise Failure(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    with file:
        yield file


def batches(file: TextIO) -> Iterator[Batch]:
    """The messages of a file, as they were received.

    Raises:
        Mistake: a line is none of an export; the text has its number.
        Failure: the file cannot be read.
    """
    for (received_ns, listener), rows in groupby(_rows(file), key=lambda row: row[:2]):
        while part := list(islice(rows, MESSAGES_MAX)):
            messages, senders = [row[3] for row in part], [row[2] for row in part]
            yield Batch.of(messages, senders, listener, received_ns)


def count(file: TextIO) -> int:
    """How many messages are in it; every line is looked at. Raises as `batches`."""
    return sum(1 for _ in _rows(file))


def _rows(file: TextIO) -> Iterator[tuple[int, str, str, bytes]]:
    path = file.name
    try:
        file.seek(0)
        for number, line in enumerate(file, 1):
            try:
                yield _row(json.loads(line))
            except (ValueError, TypeError, KeyError, binascii.Error, RecursionError) as exc:
                text = f"{path}:{number}: this line is none of an export in JSON"
                raise Mistake(text) from exc
    except OSError as exc:
        raise Failure(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
    except UnicodeDecodeError as exc:
        raise Mistake(f"{path} is no export in JSON") from exc


def _row(found: dict[str, Any]) -> tuple[int, str, str, bytes]:
    received = datetime.fromisoformat(found["received"]) - _EPOCH
    received_ns = (received.days * 86_400 + received.seconds) * 10**9 + received.microseconds * 1000
    if "message_base64" in found:
        message = base64.b64decode(found["message_base64"], validate=True)
    else:
        message = _text(found["message"], MESSAGE_OCTETS_MAX)
    listener, sender = found["listener"], found["sender"]
    _text(listener, NAME_OCTETS_MAX)
    _text(sender, NAME_OCTETS_MAX)
    if not message or not 0 <= received_ns < 1 << 63:
        raise ValueError("no message, or of no time")
    return received_ns, listener, sender, message


def _text(value: object, octets_max: int) -> bytes:
    if not isinstance(value, str) or len(encoded := value.encode()) > octets_max:
        raise ValueError("no text, or too long")
    return encoded
