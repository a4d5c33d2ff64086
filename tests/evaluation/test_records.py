"""Records and motions: round trips, JSON without NaN, whole files, messages."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from ambient_policy.errors import CheckpointError, DataError
from ambient_policy.evaluation.records import (
    LATER,
    EpisodeRecord,
    measure,
    motion_of,
    read_episodes,
    read_motions,
    write_episodes,
    write_motions,
)
from ambient_policy.evaluation.trajectory import Trajectory
from ambient_policy.files import replace_file, to_json


def trajectory(seed: int, steps: int, states: bool = True) -> Trajectory:
    rng = np.random.default_rng(seed)
    return Trajectory(
        seed=seed,
        observations=rng.normal(size=(steps + 1, 4)).astype(np.float32),
        actions=rng.normal(size=(steps, 2)).astype(np.float32),
        states=rng.normal(size=(steps + 1, 5)) if states else None,
        goal=np.array([1.0, 2.0]) if states else None,
        success=steps > 5,
        failure="" if steps > 5 else "wall",
        rewards=np.arange(steps, dtype=np.float64),
        final={"coverage": 0.5},
        best={"coverage": float("nan")},
        inference_seconds=np.array([0.25, 0.5]),
    )


def records() -> list[EpisodeRecord]:
    return [
        measure(trajectory(1, 9), dt=0.1, path_dims=(0, 1), act=4),
        measure(trajectory(2, 1, states=False), dt=0.1, path_dims=[2, 3], act=4),
    ]


def test_measure() -> None:
    long, short = records()
    assert long.success and (short.outcome, short.failure) == ("failure", "wall")
    assert long.start == pytest.approx(trajectory(1, 9).observations[0, :2])
    assert short.start == pytest.approx(trajectory(2, 1).observations[0, 2:])
    assert (long.goal, short.goal) == ((1.0, 2.0), None)
    assert long.duration == pytest.approx(0.9)
    assert (long.chunks, long.inference_seconds) == (2, 0.75)
    assert (long.total_reward, long.best_reward) == (36, 8)
    assert math.isnan(short.squared_jerk) and long.squared_jerk > 0


def test_json_lines_round_trip_without_nan(tmp_path: Path) -> None:
    write_episodes(tmp_path / "episodes.jsonl", records())
    text = (tmp_path / "episodes.jsonl").read_text()
    assert "NaN" not in text and len(text.splitlines()) == 2
    assert json.loads(text.splitlines()[1])["squared_jerk"] is None
    again = read_episodes(tmp_path / "episodes.jsonl")
    assert str([asdict(r) for r in again]) == str([asdict(r) for r in records()])


def test_a_record_from_before_sparc_is_read(tmp_path: Path) -> None:
    file = tmp_path / "episodes.jsonl"
    write_episodes(file, records())
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    older = [{key: row[key] for key in row if key not in LATER} for row in rows]
    file.write_text("".join(to_json(row) + "\n" for row in older))
    assert next(e.squared_jerk for e in read_episodes(file)) == records()[0].squared_jerk
    assert np.isnan([(e.sparc, e.ldlj, e.progress) for e in read_episodes(file)]).all()
    file.write_text(json.dumps({"seed": 1}))
    with pytest.raises(DataError, match="missing or unknown"):
        read_episodes(file)


def test_progress_is_success_or_coverage_or_the_way() -> None:
    episode = replace(trajectory(3, 5), success=False, best={}, goal=None)
    measured = [
        measure(e, dt=0.1, path_dims=(0, 1), act=2).progress
        for e in (episode, replace(episode, success=True), replace(episode, best={"coverage": 0.4}))
    ]
    assert np.isnan(measured[0]) and measured[1:] == [1.0, 0.4]


def test_motions_round_trip(tmp_path: Path) -> None:
    episodes = [trajectory(7, 9), trajectory(11, 3, states=False)]
    write_motions(tmp_path / "motions.npz", {e.seed: motion_of(e, (0, 1)) for e in episodes})
    motions = read_motions(tmp_path / "motions.npz")
    assert list(motions) == [7, 11] and motions[11].states is None
    np.testing.assert_array_equal(motions[7].path, episodes[0].observations[:, :2])
    np.testing.assert_array_equal(motions[7].states, episodes[0].states)
    np.testing.assert_array_equal(motions[7].actions, episodes[0].actions)
    np.testing.assert_array_equal(motions[7].observations, episodes[0].observations)


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")
    with (
        pytest.raises(CheckpointError, match="disk full.*free disk"),
        replace_file(target) as partial,
    ):
        partial.write_text("half")
        raise OSError("disk full")
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_json_has_no_nan_and_no_numpy() -> None:
    values = {"a": np.float32(1.5), "b": np.arange(2), "c": (math.inf, math.nan), "d": np.bool_(1)}
    assert json.loads(to_json(values)) == {"a": 1.5, "b": [0, 1], "c": [None, None], "d": True}


def test_files_that_are_no_records_are_named(tmp_path: Path) -> None:
    broken = tmp_path / "episodes.jsonl"
    write_episodes(broken, records())
    broken.write_text(broken.read_text() + '{"seed": 3')
    with pytest.raises(DataError, match=r"episodes.jsonl, line 3 is not JSON.*evaluate again"):
        read_episodes(broken)
    broken.write_text('{"seed": 3}\n')
    with pytest.raises(DataError, match=r"line 1 is not an episode.*'squared_jerk'"):
        read_episodes(broken)
    broken.write_text("not an archive")
    with pytest.raises(DataError, match=r"episodes.jsonl holds no motions"):
        read_motions(broken)
    with pytest.raises(DataError, match=r"path_dims = \[4\].*0..3"):
        measure(trajectory(1, 9), dt=0.1, path_dims=[4], act=4)
