"""Who holds a lock, without taking it."""

import fcntl
import os
from pathlib import Path

from relay.system.lock_table import lock_holder


def test_the_holder_is_known_and_not_disturbed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock_holder(str(path)) is None
    with path.open("w") as file:
        assert lock_holder(str(path)) is None
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert lock_holder(str(path)) == os.getpid()
        (tmp_path / "other").touch()
        assert lock_holder(str(tmp_path / "other")) is None
    assert lock_holder(str(path)) is None
