"""What the follower does, told in single stories; any order of them is the machine's."""

import os
from pathlib import Path

import pytest

from relay.listeners.following.steps import Read
from tests.listeners.following.parts import LINGER, Bench


def texts(bench: Bench) -> list[str]:
    return [line.decode() for line in bench.lines]


def test_lines_written_before_and_after_the_first_look(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.append("two\nthr")
    bench.turn()
    bench.append("ee\n")
    bench.turn()
    assert texts(bench) == ["one", "two", "three"]


def test_start_at_the_end_takes_a_line_that_has_begun_whole(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path, "*.log", from_end=True)
    bench.append("old\nbeg")
    bench.turn()
    bench.append("un\nnew\n")
    bench.append("first\n", "later.log")
    bench.turn()
    assert sorted(texts(bench)) == ["begun", "first", "new"]


def test_a_stop_repeats_and_loses_nothing(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\ntw")
    bench.turn()
    bench.restart()
    bench.append("o\n")
    bench.turn()
    assert texts(bench) == ["one", "two"]
    assert bench.possible_repeats == 0


def test_rotations_while_nobody_follows(tmp_path: Path) -> None:
    """The file that was followed, one that came and went, and the new one; two are compressed."""
    bench = Bench.at(tmp_path)
    bench.append(f"{'x' * 90} 1\n")
    bench.turn()
    bench.append(f"{'x' * 90} 2\n")
    bench.stop()
    bench.rename()
    bench.append("3\n")
    bench.compress("app.log.1")
    bench.rename()
    bench.append("4\n")
    bench.start()
    bench.run_dry()
    assert [it[-1] for it in texts(bench)] == ["1", "2", "3", "4"]


@pytest.mark.parametrize("how", ["rename", "unlink"])
def test_a_last_line_without_end_is_one_when_its_file_is_away_and_quiet(
    tmp_path: Path, how: str
) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\ntwo")
    bench.turn()
    if how == "rename":
        os.rename(bench.path(), tmp_path / "elsewhere")
    else:
        os.unlink(bench.path())
    bench.turn(1.0)
    assert texts(bench) == ["one"]
    bench.turn(LINGER)
    assert texts(bench) == ["one", "two"]
    assert bench.unfinished == 1
    assert bench.follower.files  # kept, to be known again
    assert all(it.file is None for it in bench.follower.files.values())


def test_what_is_truncated_away_without_a_copy_is_told(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.append("two\n")
    bench.look()
    os.truncate(bench.path(), 0)
    bench.turn()
    bench.append("three\n")
    bench.turn()
    assert texts(bench) == ["one", "three"]
    assert bench.told["lost"] == 0  # a copy may be found yet
    bench.turn(LINGER)
    bench.turn(LINGER)
    assert (bench.told["lost"], bench.lost_octets) == (1, 4)
    assert bench.texts == [
        f"{bench.path()} was truncated: 4 octets of it were never read,"
        " and what was written to it after the last look"
    ]


def test_a_file_that_was_deleted_while_nobody_followed_is_told(tmp_path: Path) -> None:
    """With what was seen of it; it may have grown after that."""
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.append("two\n")
    bench.look()
    bench.stop()
    bench.append("three\n")
    os.unlink(bench.path())
    bench.start()
    bench.run_dry()
    assert (bench.told["lost"], bench.lost_octets) == (1, 4)
    assert bench.texts == [
        f"{bench.path()} is gone: 4 octets of it were never read,"
        " and what was written to it after the last look"
    ]


def test_a_file_that_was_read_and_deleted_while_nobody_followed_is_told(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.stop()
    os.unlink(bench.path())
    bench.start()
    bench.run_dry()
    assert (bench.told["lost"], bench.lost_octets) == (0, 0)
    assert bench.texts == [
        f"{bench.path()} is gone: it had been read to octet 4;"
        " what was written to it after that cannot be known"
    ]


def test_what_cannot_be_decompressed_is_told_with_its_octets(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.append("packed", "app.log.1.zst")
    bench.turn()
    bench.turn()
    assert bench.texts == [
        f"{bench.path('app.log.1.zst')} cannot be decompressed here: 6 octets of it were never read"
    ]


def test_links_are_one_file_and_what_is_no_file_is_told_once(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path, "*")
    bench.append("one\n", "a")
    os.link(tmp_path / "a", tmp_path / "b")
    (tmp_path / "c").symlink_to("a")
    os.mkfifo(tmp_path / "pipe")
    bench.turn()
    bench.turn()
    assert texts(bench) == ["one"]
    assert bench.texts == [f"passes over {tmp_path}/pipe: no regular file"]


def test_more_files_than_may_be_open_take_turns(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path, "*.log", open_max=2)
    for number in range(7):
        bench.append(f"{number}\n", f"{number}.log")
    for _ in range(8):
        bench.turn()
        assert sum(it.file is not None for it in bench.follower.files.values()) <= 2
    assert sorted(texts(bench)) == [str(number) for number in range(7)]


def test_files_beyond_files_max_are_told(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path, "*.log", files_max=2)
    for number in range(3):
        bench.append(f"{number}\n", f"{number}.log")
    bench.turn()
    bench.turn()
    assert len(bench.lines) == 2
    assert bench.told["files-max"] == 1


def test_a_turn_is_shared_by_all_files_and_bounded(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path, "*.log")
    for name in ("a.log", "b.log"):
        bench.append(b"x" * 99 + b"\n", name)
        with open(tmp_path / name, "ab") as file:
            file.write((b"y" * 99 + b"\n") * 20_000)
    bench.look()
    steps = [step for step in bench.follower.read() if isinstance(step, Read)]
    assert 100_000 < sum(step.octets for step in steps) <= 256 << 10
    assert len({step.key for step in steps}) == 2


def test_a_place_that_nobody_understands_is_told_and_the_file_is_new(tmp_path: Path) -> None:
    bench = Bench.at(tmp_path)
    bench.append("one\n")
    bench.turn()
    bench.stop()
    assert bench.store.content is not None
    bench.store.content = bench.store.content.replace(b'"octets"', b'"octopus"')
    bench.start()
    bench.turn()
    assert texts(bench) == ["one", "one"]
    assert bench.told["position"] == 1


def test_an_empty_file_whose_inode_goes_to_another_log_is_not_that(tmp_path: Path) -> None:
    """A file without content is known by nothing but its inode."""
    bench = Bench.at(tmp_path, "*.log")
    bench.append("")
    bench.append(f"{'x' * 90} 1\n", "other.log")
    bench.turn()
    bench.stop()
    assert bench.store.content is not None
    (tmp_path / "app.log").unlink()
    (tmp_path / "new").write_bytes((tmp_path / "other.log").read_bytes())
    place = bench.store.content.decode()
    os.rename(tmp_path / "new", tmp_path / "other.log.1")
    inode = os.stat(tmp_path / "other.log.1").st_ino
    (known,) = [it for it in bench.follower.files.values() if it.path.endswith("app.log")]
    device = known.key.split(":")[0]
    bench.store.content = place.replace(f'"{known.key}"', f'"{device}:{inode}"').encode()
    os.truncate(tmp_path / "other.log", 0)
    bench.start()
    bench.run_dry()
    assert [it[-1:] for it in texts(bench)] == ["1"]
