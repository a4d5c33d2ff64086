"""Files are whole or not there, one process makes what several want, one works in a folder."""

import os
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from ambient_policy.errors import CheckpointError, SettingsError
from ambient_policy.files import hold, make_once, replace_file
from tests.holders import held_elsewhere

DYING = """
import os, sys
from pathlib import Path
from ambient_policy.files import make_once

def make(partial):
    partial.write_text("half")
    os.kill(os.getpid(), 9)

make_once(Path(sys.argv[1]), make)
"""

HOLDER = """
import os, sys
from pathlib import Path
from ambient_policy.files import hold

with hold(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writers_of_one_file_have_partials_of_their_own(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    with replace_file(target) as one, replace_file(target) as other:
        assert one != other and one.suffix == other.suffix == ".txt"
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one" and names(tmp_path) == ["file.txt"]


def test_what_several_want_is_made_once(tmp_path: Path, waits: Event) -> None:
    target = tmp_path / "new" / "file.txt"
    others: list[Future[None]] = []

    def make(partial: Path) -> None:
        others.append(pool.submit(make_once, target, make))
        assert waits.wait(60) and not others[0].done()
        partial.write_text("made")

    with ThreadPoolExecutor() as pool:
        make_once(target, make)
        others[0].result()
    assert len(others) == 1 and target.read_text() == "made"


def test_a_maker_that_is_killed_leaves_nothing_that_hinders_the_next(tmp_path: Path) -> None:
    target = tmp_path / "[1].txt"
    with replace_file(target) as alive:
        others = alive.with_name(alive.name.replace(f"-{os.getpid()}-", f"-{os.getppid()}-"))
        alive.touch()
    target.unlink()
    others.write_text("being written by a process that lives")
    assert subprocess.run([sys.executable, "-c", DYING, str(target)]).returncode == -9
    assert len(names(tmp_path)) == 3 and not target.exists()
    make_once(target, Path.touch)
    assert names(tmp_path) == [others.name, target.name]


def test_a_failing_maker_is_told_and_may_try_again(tmp_path: Path) -> None:
    def full(partial: Path) -> None:
        partial.write_text("half")
        raise OSError("disk full")

    target = tmp_path / "file.txt"
    for _ in range(2):
        with pytest.raises(CheckpointError, match="file.txt could not be written: disk full.*free"):
            make_once(target, full)
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(CheckpointError, match="b could not be written"):
        make_once(tmp_path / "a" / "b", Path.touch)


@pytest.mark.parametrize("name", ["there", "not there"])
def test_a_path_is_held_by_one_at_a_time(tmp_path: Path, name: str) -> None:
    (tmp_path / "there").mkdir()
    words = rf"worked on by another process \(process {os.getpid()}: .*\); wait for it, or stop it"
    refused = pytest.raises(SettingsError, match=words)
    with held_elsewhere(tmp_path / name), refused, hold(tmp_path / name):
        raise AssertionError("two at once")
    with hold(tmp_path / name), hold(tmp_path / name):  # the same one again
        assert f".{name}.lock" in names(tmp_path)
    assert names(tmp_path) == ["there"]


def test_a_kill_sets_a_locked_folder_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        refused = pytest.raises(SettingsError, match=rf"\(process {holder.pid}: ")
        with refused, hold(tmp_path):
            raise AssertionError("two at once")
        holder.kill()
    with hold(tmp_path, patience=10):
        pass


def test_a_path_is_free_again_though_its_lock_could_not_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    raised = pytest.raises(KeyboardInterrupt)
    with monkeypatch.context() as patch, raised as error, hold(tmp_path / "a"):
        patch.setattr(os, "unlink", stopped)
    with hold(tmp_path / "a"):  # also while the error, and with it the lock, is still looked at
        assert error.traceback
    assert list(tmp_path.iterdir()) == []
