"""Evaluation of a tiny run: its files, reading back, filming."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from ambient_policy.evaluation.records import EpisodeRecord, Motion, read_episodes, read_motions
from ambient_policy.evaluation.rollout import rollout
from ambient_policy.workflows import evaluation as evaluating
from ambient_policy.workflows.blocks import BLOCKS, Block, Blocks
from tests.evaluation.test_report import episode as record

START = 100000


@pytest.fixture(scope="module")
def evaluated(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation on four starts."""
    out = tmp_path_factory.mktemp("evaluation")
    perform("evaluate", [f"run={trained}", f"out={out}", "episodes=4", "worlds=3", "threads=1"])
    return out


def test_one_line_an_episode(evaluated: Path) -> None:
    rows = [json.loads(line) for line in (evaluated / "episodes.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [START, START + 1, START + 2, START + 3]
    assert all(set(row) == {field.name for field in fields(EpisodeRecord)} for row in rows)
    for row in rows:
        assert row["outcome"] in ("success", "failure")
        assert (row["failure"] == "") == (row["outcome"] == "success")
        assert len(row["start"]) == len(row["goal"]) == 2
        assert 0 < row["duration"] <= 30
        assert row["inference_seconds"] > 0


def test_motions_are_those_of_the_episodes(evaluated: Path) -> None:
    motions = read_motions(evaluated / "motions.npz")
    for episode in read_episodes(evaluated / "episodes.jsonl"):
        motion = motions[episode.seed]
        steps = len(motion.actions)
        assert motion.path.shape == (steps + 1, 2)
        assert motion.observations.shape == (steps + 1, 4)
        assert motion.states is not None
        assert len(motion.states) == steps + 1
        assert steps / 10 == pytest.approx(episode.duration)
        assert episode.start == pytest.approx(tuple(motion.path[0].tolist()))


def test_a_second_call_reads_back_and_films(
    trained: Path, evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: Any, **words: Any) -> None:
        raise AssertionError("rolled out again")

    monkeypatch.setattr(evaluating, "rollout", never)
    files = [evaluated / name for name in ("episodes.jsonl", "motions.npz", "evaluation.json")]
    before = [file.stat().st_mtime_ns for file in files]
    asked = [f"run={trained}", f"out={evaluated}", "episodes=4", "worlds=4", "threads=1"]
    perform("evaluate", [*asked, f"videos=[{START + 1}]", "video_format=gif"])
    assert [file.stat().st_mtime_ns for file in files] == before
    frames = imageio.imread(evaluated / "videos" / f"{START + 1}.gif", index=None)
    motion = read_motions(evaluated / "motions.npz")[START + 1]
    assert 1 <= len(frames) <= len(motion.path)  # a gif merges frames in which nothing moves
    assert frames.std() > 0
    with pytest.raises(AssertionError, match="rolled out again"):
        perform("evaluate", [*asked, "first_seed=7"])


def test_fewer_starts_are_read_out_of_a_record_of_more(
    trained: Path, evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "rollout", None)  # nothing is rolled out
    files = [evaluated / name for name in ("episodes.jsonl", "motions.npz", "evaluation.json")]
    before = [file.read_bytes() for file in files]
    asked = [f"run={trained}", f"out={evaluated}", "threads=1"]
    for first, count in ((START, 2), (START + 1, 1)):
        episodes = perform("evaluate", [*asked, f"episodes={count}", f"first_seed={first}"])
        assert [episode.seed for episode in episodes] == list(range(first, first + count))
    words = (
        r"holds an evaluation of 4 episodes, and 3 others .*seed = 0 there and 5 here.*out=\.\.\."
    )
    with pytest.raises(SettingsError, match=words):
        perform("evaluate", [*asked, "episodes=3", "seed=5"])
    assert [file.read_bytes() for file in files] == before


def results(folder: Path) -> tuple[Any, ...]:
    """Everything an evaluation wrote but the wall clock."""
    rows = [json.loads(line) for line in (folder / "episodes.jsonl").read_text().splitlines()]
    timeless = [{**row, "inference_seconds": None} for row in rows]
    return timeless, *((folder / f).read_bytes() for f in ("motions.npz", "evaluation.json"))


def test_a_killed_evaluation_goes_on_and_writes_the_same_files(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rolled: list[int] = []
    asked = [f"run={trained}", "episodes=5", "worlds=2", "threads=1"]
    perform("evaluate", [*asked, f"out={tmp_path}/whole"])

    def die(policy: Any, worlds: Any, seeds: range, **words: Any) -> Any:
        if START + 2 in seeds and not rolled.count(START + 2):
            rolled.append(START + 2)
            raise KeyboardInterrupt
        rolled.extend(seeds)
        return rollout(policy, worlds, seeds, **words)

    monkeypatch.setattr(evaluating, "rollout", die)
    out = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        perform("evaluate", [*asked, f"out={out}"])
    assert not (out / "evaluation.json").exists()
    perform("evaluate", [*asked, f"out={out}"])
    assert rolled == [START, START + 1, START + 2, *range(START + 2, START + 5)]
    assert results(out) == results(tmp_path / "whole")
    assert not (out / BLOCKS).exists()
    summary = json.loads((out / "evaluation.json").read_text())
    Blocks(out, {**summary, "worlds": 2, "threads": 1})  # as a kill before their removal leaves it
    perform("evaluate", [*asked, f"out={out}"])
    assert not (out / BLOCKS).exists()


def test_blocks_of_another_evaluation_and_torn_ones_are_not_used(tmp_path: Path) -> None:
    path = np.zeros((2, 2))
    block = Block([record(7, True, 1.0)], {7: Motion(path, path, path, None)})
    blocks = Blocks(tmp_path, {"seed": 0})
    assert blocks.read(7) is None
    blocks.write(7, block)
    again = Blocks(tmp_path, {"seed": 0}).read(7)
    assert again is not None and [e.seed for e in again.episodes] == list(again.motions) == [7]
    (tmp_path / BLOCKS / "7.npz").write_bytes(b"torn")
    assert blocks.read(7) is None
    blocks.write(7, block)
    assert Blocks(tmp_path, {"seed": 1}).read(7) is None


def test_what_is_asked_again_is_answered_alike(trained: Path, tmp_path: Path) -> None:
    asked = [f"run={trained}", "episodes=2", "threads=1"]
    for name in ("one", "two"):
        perform("evaluate", [*asked, f"out={tmp_path}/{name}"])
    one, two = (read_motions(tmp_path / name / "motions.npz") for name in ("one", "two"))
    assert one.keys() == two.keys()
    assert all((one[seed].path == two[seed].path).all() for seed in one)


@pytest.mark.parametrize(
    "overrides", [["solver.steps=5"], ["solver.kind=ddpm", "solver.steps=20"], ["checkpoint=2"]]
)
def test_another_solver_or_checkpoint(trained: Path, tmp_path: Path, overrides: list[str]) -> None:
    perform(
        "evaluate", [f"run={trained}", f"out={tmp_path}", "episodes=1", "threads=1", *overrides]
    )
    asked = json.loads((tmp_path / "evaluation.json").read_text())
    expected = {
        "solver.steps=5": {"solver": ["ddim", 5, "leading"], "checkpoint": 4},
        "solver.kind=ddpm": {"solver": ["ddpm", 20, "leading"], "checkpoint": 4},
        "checkpoint=2": {"solver": ["ddim", 4, "leading"], "checkpoint": 2},
    }
    assert asked.items() >= expected[overrides[0]].items()
