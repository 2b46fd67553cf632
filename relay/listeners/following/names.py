"""What a rotated file's name says: whose log it was, and whether it is compressed."""

import glob
import os
import re
from functools import lru_cache
from typing import NamedTuple

READABLE = (".gz", ".bz2", ".xz")
COMPRESSED = (*READABLE, ".zst", ".lz4", ".lzma", ".Z", ".zip")

_DATE = r"(?:\d{8}|\d{4}-\d\d-\d\d)(?:[-_T.]?\d{2,6})?|\d{9,13}"  # a day, an hour, Unix time
PROGRAM = re.compile(r"[^\x00-\x20\x7f-\U0010ffff:\[\]]{1,48}")  # APP-NAME: RFC 5424 section 6.2.5
_BEHIND = re.compile(rf"(.+?)[.-](?:{_DATE}|(?<=\.)\d{{1,4}})")  # app.log.1, app.log-20261123
_WITHIN = re.compile(rf"(.+?)(?:[.-](?:{_DATE})|\.\d{{1,3}})(\.[A-Za-z]\w*)")  # app-20261123.log


class Origin(NamedTuple):
    """`name` is what the file was called while it was written to."""

    name: str
    rotated: bool
    compressed: bool


@lru_cache(maxsize=65536)
def origin(name: str) -> Origin:
    """As logrotate names files, with `dateext` and `extension`, too."""
    plain = name
    for suffix in COMPRESSED:
        if name.endswith(suffix) and name != suffix:
            plain = name.removesuffix(suffix)
            break
    found = _BEHIND.fullmatch(plain)
    if found:
        return Origin(found[1], True, plain != name)
    found = _WITHIN.fullmatch(plain)
    if found:
        return Origin(found[1] + found[2], True, plain != name)
    return Origin(plain, plain != name, plain != name)


def root_of(pattern: str) -> str:
    """The directory that no match of a pattern is outside of."""
    fixed = os.path.dirname(re.split(r"[*?\[]", os.path.abspath(pattern), maxsplit=1)[0])
    return fixed or "/"


def leads_away(pattern: str) -> bool:
    """Whether a link that matches now leads out of the directory of its pattern."""
    root = os.path.realpath(root_of(pattern)).rstrip("/") + "/"
    matches = glob.iglob(os.path.abspath(pattern), recursive=True)
    return any(not os.path.realpath(path).startswith(root) for path in matches)


def program_of(path: str) -> str:
    """The file's name up to its first dot, as far as a tag can hold it."""
    name = os.path.basename(path)
    stem = name.split(".")[0] or name
    return "".join(it if PROGRAM.fullmatch(it) else "_" for it in stem)[:48]
