"""Whether somebody holds a lock is seen without touching it."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


SAME_INODE = """
import fcntl, os
from relay.system.flock import is_held
one, two = (open(os.path.join(path, "lock"), "w") for path in "ab")
assert os.fstat(one.fileno()).st_ino == os.fstat(two.fileno()).st_ino
fcntl.flock(one, fcntl.LOCK_EX)
print(is_held("a/lock"), is_held("b/lock"))
"""


def test_a_file_of_the_same_number_on_another_disk_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    mount = "mount -t tmpfs tmpfs a && mount -t tmpfs tmpfs b"
    shell = ["unshare", "-m", "sh", "-c"]
    if subprocess.run([*shell, mount], cwd=tmp_path, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not permitted here")
    done = subprocess.run(
        [*shell, f'{mount} && exec "$0" -c "$1"', sys.executable, SAME_INODE],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "True False\n", done.stderr
