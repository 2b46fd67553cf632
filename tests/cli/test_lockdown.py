"""A state_dir that is new, before privileges are given up."""

import os
import pwd
from pathlib import Path

import pytest

from relay.cli.lockdown import make_state_dir
from relay.config.load import load

USER = "nobody"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives directories away")


def make(directory: Path, *, user: bool = True) -> Path:
    file, state = directory / "relay.toml", directory / "state"
    file.write_text(
        (f'[relay]\nuser = "{USER}"\n' if user else "")
        + '[listeners.log]\ntype = "internal"\n[destinations.ring]\ntype = "memory"\n'
        '[pipes.all]\nfrom = "*"\nto = "ring"\n'
    )
    make_state_dir(load(str(file)), str(state))
    return state


@needs_root
def test_a_new_one_is_the_users_alone(tmp_path: Path) -> None:
    status = make(tmp_path).stat()
    assert (status.st_uid, status.st_mode & 0o777) == (pwd.getpwnam(USER).pw_uid, 0o700)


@needs_root
def test_one_that_is_there_stays_whose_it_is(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    assert make(tmp_path).stat().st_uid == os.geteuid()


@needs_root
def test_a_root_that_may_not_give_it_away_is_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)
    assert make(tmp_path).stat().st_uid == os.geteuid()


def test_without_a_user_it_is_made_by_whom_it_is_for(tmp_path: Path) -> None:
    assert not make(tmp_path, user=False).exists()
