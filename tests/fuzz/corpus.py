"""The inputs that are kept: what people have chosen, and the least that reaches the rest."""

import hashlib
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import relay
from tests.fuzz.target import Target

CORPUS = Path(__file__).parent / "corpus"
_RELAY = str(Path(relay.__file__).parent)
_LEARNED = re.compile(r"[0-9a-f]{12}")  # others have names that people gave them

Arc = tuple[int, int, int]


def inputs(name: str) -> list[Path]:
    return sorted(path for path in (CORPUS / name).glob("*") if path.is_file())


def minimise(target: Target, learned: Path) -> tuple[int, int]:
    """Of what was learned keep what reaches a step between lines that nothing smaller does.

    Returns how many inputs there were, and how many are in the corpus now.
    """
    kept = [path for path in inputs(target.name) if not _LEARNED.fullmatch(path.name)]
    others = {path.read_bytes() for path in inputs(target.name) if path not in kept}
    others |= {path.read_bytes() for path in learned.glob("*") if path.is_file()}
    known: set[Arc] = set()
    for path in kept:
        known |= arcs(target, path.read_bytes())
    chosen = []
    for data in sorted(others, key=lambda it: (len(it), it)):
        found = arcs(target, data)
        if not found <= known:
            known |= found
            chosen.append(data)
    for path in inputs(target.name):
        if path not in kept:
            path.unlink()
    for data in chosen:
        (CORPUS / target.name).mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(data).hexdigest()[:12]
        (CORPUS / target.name / name).write_bytes(data)
    return len(kept) + len(others), len(kept) + len(chosen)


def arcs(target: Target, data: bytes) -> set[Arc]:
    """The steps from line to line of Relay's code that an input takes."""
    found: set[Arc] = set()
    last: dict[FrameType, int] = {}

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        code = frame.f_code
        if not code.co_filename.startswith(_RELAY):
            return None
        if event == "line":
            found.add((id(code), last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        elif event == "return":
            last.pop(frame, None)
        return trace

    sys.settrace(trace)
    try:
        target.run(data)
    finally:
        sys.settrace(None)
    return found
