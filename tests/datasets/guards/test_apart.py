"""A reading in a process of its own: bounded, contained, and forked where no thread lives."""

import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.formats.lerobot import open_lerobot
from ambient_datasets.formats.robomimic import open_robomimic
from ambient_datasets.guards import apart, forks
from ambient_datasets.guards.apart import read_apart
from ambient_datasets.guards.forks import Arrays
from ambient_policy.errors import DataError
from tests.kills import live

PLACE = "data/demo_1"


def crash() -> Arrays:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def hang() -> Arrays:
    signal.pause()
    return {}


def swell() -> Arrays:
    return {"zeros": np.zeros(2**36)}


def count(most: int) -> Arrays:
    return {"a": np.arange(most)}


def objects() -> Arrays:
    return {"a": np.array([{}], object)}


def size(path: Path) -> Arrays:
    return {"bytes": np.array([path.stat().st_size])}


def ids(*imported: Any) -> Arrays:
    """This process, the one that forked it, and how many threads that one has."""
    server = os.getppid()
    return {"ids": np.array([os.getpid(), server, len(os.listdir(f"/proc/{server}/task"))])}


def wait_in_a_reading(path: Path) -> None:
    """In a process: be killed in the middle of a reading that has no end."""
    read_apart(path, PLACE, partial(loop, os.getpid()))


def loop(reader: int) -> Arrays:
    os.kill(reader, signal.SIGKILL)
    return hang()


def fork_and_read(path: Path) -> None:
    """In a process: read, fork (as somebody's loader does), and read in both."""
    read_apart(path, PLACE, ids)
    child = os.fork()
    read = [int(read_apart(path, PLACE, partial(count, n + 1))["a"][-1]) for n in range(20)]
    assert read == list(range(20))
    if child:
        assert os.waitpid(child, 0)[1] == 0
    os._exit(0)


def test_a_crash_or_a_hang_of_the_child_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data/demo_1: reading it crashes the library"):
        read_apart(tmp_path, PLACE, crash)
    with pytest.raises(DataError, match=r"data/demo_1: reading it takes more than 0.1 s"):
        read_apart(tmp_path, PLACE, hang, seconds=0.1)
    with pytest.raises(DataError, match="data/demo_1: reading it takes more than 4294967296 bytes"):
        read_apart(tmp_path, PLACE, swell)
    np.testing.assert_array_equal(read_apart(tmp_path, PLACE, partial(count, 3))["a"], [0, 1, 2])


def test_one_program_without_threads_forks_for_all_readings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> int:
        raise AssertionError("a fork of a process that may have threads")

    monkeypatch.setattr(os, "fork", refuse)
    reading = partial(ids, open_lerobot, open_robomimic)  # Arrow and HDF5 are loaded there
    first, second = (read_apart(tmp_path, PLACE, reading)["ids"].tolist() for _ in range(2))
    assert first[0] != second[0]  # a process for each
    assert first[1] == second[1] != os.getpid()
    assert second[2] == 1


def test_relative_paths_are_those_of_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The program that forks was started in another folder."""
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "file").write_bytes(b"x" * number)
        monkeypatch.chdir(tmp_path / str(number))
        assert read_apart(Path("file"), PLACE, partial(size, Path("file")))["bytes"] == [number]


def test_no_object_comes_back(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data/demo_1: cannot be read .*no objects"):
        read_apart(tmp_path, PLACE, objects)


def test_a_reading_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    status, words = live(wait_in_a_reading, tmp_path)  # returns when no process is left
    assert (status, words) == (-signal.SIGKILL, "")


def test_a_fork_of_the_reader_has_a_program_of_its_own(tmp_path: Path) -> None:
    assert live(fork_and_read, tmp_path) == (0, "")


def test_a_full_temporary_folder_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with Path("/dev/full").open("r+b", buffering=0) as full:
        answer = forks.perform(partial(count, 3), full)
    error = apart._refuse(tmp_path, PLACE, answer[:1], answer[1:].decode(), 1)
    assert "does not fit" in str(error) and "No space left" in str(error)
