"""Files and folders that appear whole or not at all."""

from pathlib import Path

import pytest

from ambient_policy.errors import SettingsError
from ambient_policy.files import create_path
from tests.holders import held_elsewhere


def test_a_folder_appears_at_the_end(tmp_path: Path) -> None:
    with create_path(tmp_path / "out") as partial:
        partial.mkdir()
        (partial / "a").write_text("1")
        assert not (tmp_path / "out").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out/a").read_text() == "1"


def test_a_file_appears_too(tmp_path: Path) -> None:
    with create_path(tmp_path / "deep/out.zip") as partial:
        partial.write_text("1")
    assert (tmp_path / "deep/out.zip").read_text() == "1"


def test_a_fault_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), create_path(tmp_path / "out") as partial:
        partial.mkdir()
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".out.partial/out").mkdir(parents=True)
    (tmp_path / ".out.partial/out/old").write_text("half")
    (tmp_path / ".out.partial/scrap").write_text("half")
    with create_path(tmp_path / "out") as partial:
        partial.mkdir()
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
    assert list((tmp_path / "out").iterdir()) == []


def test_two_do_not_make_the_same(tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    with held_elsewhere(tmp_path / "out"):
        with (
            pytest.raises(SettingsError, match="being worked on by another process"),
            create_path(tmp_path / "out"),
        ):
            raise AssertionError("made beside another")
        assert (tmp_path / ".out.partial").exists()


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    refused = pytest.raises(SettingsError, match="something lies here already")
    with refused, create_path(tmp_path / "out"):
        raise AssertionError("begun all the same")
    assert [file.name for file in tmp_path.iterdir()] == ["out"]
