"""Numbers on disk: whole lines, whole files, and a log that reads as if nothing had stopped."""

import json
from pathlib import Path

import pytest

from ambient_policy.files import write_text
from ambient_policy.settings import RunSettings
from ambient_policy.tracking import Tracker, read_rows


def write(folder: Path, steps: list[int], begun_at: int = 0) -> None:
    with Tracker(folder, RunSettings(), begun_at) as tracker:
        for step in steps:
            tracker.write({"step": step, "loss": 1.0 / step})


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path / "log.jsonl") == []


def test_rows_are_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    with Tracker(tmp_path, RunSettings(), 0) as tracker:
        tracker.write({"step": 1, "loss": 0.5})
        assert read_rows(tmp_path / "log.jsonl") == [{"step": 1, "loss": 0.5}]


def test_a_line_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert read_rows(path) == [{"step": 1}, {"step": 2}]


def test_numbers_come_back_bit_for_bit(tmp_path: Path) -> None:
    write(tmp_path, [3, 7])
    assert read_rows(tmp_path / "log.jsonl") == [{"step": s, "loss": 1.0 / s} for s in (3, 7)]


def test_a_resumed_log_reads_like_an_unbroken_one(tmp_path: Path) -> None:
    write(tmp_path / "whole", [1, 2, 3, 4, 5, 6])
    write(tmp_path / "broken", [1, 2, 3, 4, 5])
    with (tmp_path / "broken" / "log.jsonl").open("a") as file:
        file.write('{"step": 6, "lo')
    write(tmp_path / "broken", [4, 5, 6], begun_at=3)
    whole, broken = ((tmp_path / name / "log.jsonl").read_text() for name in ("whole", "broken"))
    assert broken == whole


def test_a_run_from_the_beginning_drops_what_was_told(tmp_path: Path) -> None:
    write(tmp_path, [1, 2])
    write(tmp_path, [1])
    assert [row["step"] for row in read_rows(tmp_path / "log.jsonl")] == [1]


def test_an_interrupted_write_leaves_the_old_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "settings.json"
    write_text(path, json.dumps({"old": 1}))

    def killed(file: Path, text: str, encoding: str) -> None:
        with file.open("w", encoding=encoding) as half:
            half.write(text[:3])
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, json.dumps({"new": 2}))
    assert json.loads(path.read_text()) == {"old": 1}
