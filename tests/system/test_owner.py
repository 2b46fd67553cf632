"""Root works as the owner of what it works on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from relay.system.owner import become_owner

OWNER = 12345


@pytest.fixture
def mine() -> Iterator[Path]:
    """A directory of another user; nobody else gets through pytest's own ones."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    with TemporaryDirectory() as directory:
        os.chown(directory, OWNER, OWNER)
        yield Path(directory)


def test_what_is_made_by_root_belongs_to_the_owner(mine: Path) -> None:
    code = (
        "import os, sys; from relay.system.owner import become_owner; become_owner(sys.argv[1]);"
        "open(os.path.join(sys.argv[1], 'made'), 'w'); print(os.getuid(), os.getgroups())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(mine)], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"{OWNER} []\n"
    assert (mine / "made").stat().st_uid == OWNER


def test_the_owner_stays_who_he_is(tmp_path: Path) -> None:
    before = os.getresuid()
    become_owner(str(tmp_path))
    assert os.getresuid() == before
    with pytest.raises(FileNotFoundError):
        become_owner(str(tmp_path / "none"))
