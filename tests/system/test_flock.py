"""Whether somebody holds a lock is seen without touching it."""

import fcntl
import os
from pathlib import Path

from relay.system.flock import is_held


def test_a_lock_is_held_as_long_as_somebody_has_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_held(str(path)), "there is no file"
    number = os.open(path, os.O_RDWR | os.O_CREAT)
    assert not is_held(str(path))
    fcntl.flock(number, fcntl.LOCK_EX)
    assert is_held(str(path))
    assert not is_held(str(tmp_path)), "of another file"
    os.close(number)
    assert not is_held(str(path))
