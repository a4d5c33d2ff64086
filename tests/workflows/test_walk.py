"""The walk from a config to a trained policy: stopping changes nothing, arms are values."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wandb

from ambient_policy.cli import perform
from ambient_policy.errors import DataError
from ambient_policy.saved import load_policy, steps_saved
from ambient_policy.settings import RunSettings, from_json, to_json
from ambient_policy.tracking import read_rows
from ambient_policy.workflows.configs import CONFIGS
from ambient_policy.workflows.preparation import Parts, initial_policy, prepare
from ambient_policy.workflows.settings import compose
from tests.kills import Moment, kill

INF = float("inf")
TRUSTED, REJECTED = (0.0, INF), (INF, 0.0)


def told(run: Path) -> list[dict[str, Any]]:
    """The log without the time it took."""
    rows = read_rows(run / "log.jsonl")
    times = ("samples_per_second", "data_share", "step_share")
    return [{k: v for k, v in row.items() if k not in times} for row in rows]


def test_a_killed_run_started_again_equals_an_undisturbed_one(
    shared_maze: list[str], tmp_path: Path
) -> None:
    length = ["training.steps=60", "training.log_every=2", "training.checkpoint_every=12"]

    def overrides(name: str) -> list[str]:
        return [*shared_maze, *length, f"root={tmp_path}/{name}", "loss.ambient=true"]

    whole, broken = (tmp_path / name / "ambient" / "seed-0" for name in ("whole", "broken"))
    perform("train", overrides("whole"))
    second = Moment(broken / "checkpoints" / "step-0000024")
    kill(perform, "train", overrides("broken"), at=second)
    assert steps_saved(broken / "checkpoints") == [12]
    final = "checkpoints/step-0000060/model.safetensors"
    assert not (broken / final).exists()
    perform("train", overrides("broken"))
    assert told(broken) == told(whole)
    assert len(told(whole)) == 30
    assert (broken / final).read_bytes() == (whole / final).read_bytes()


def test_a_finished_run_started_again_changes_nothing(
    trained: Path, shared_maze: list[str]
) -> None:
    before = {f: f.stat().st_mtime_ns for f in (trained / "checkpoints").rglob("*")}
    rows = told(trained)
    perform("train", [*shared_maze, "arm=ambient"])
    assert {f: f.stat().st_mtime_ns for f in (trained / "checkpoints").rglob("*")} == before
    assert told(trained) == rows


def test_finetune_starts_from_the_averaged_weights_of_cotrain(
    shared_maze: list[str], tmp_path: Path
) -> None:
    overrides = [*shared_maze, f"root={tmp_path}/runs"]
    perform("train", [*overrides, "arm=cotrain"])
    parts = prepare(compose("train", [*overrides, "arm=finetune"]))
    checkpoint = tmp_path / "runs/cotrain/seed-0/checkpoints/step-0000004"
    average = load_policy(checkpoint).state_dict()
    start = initial_policy(parts).state_dict()
    assert all(torch.equal(start[name], average[name]) for name in average)
    perform("train", [*overrides, "arm=finetune"])
    tuned = load_policy(tmp_path / "runs/finetune/seed-0/checkpoints/step-0000004").state_dict()
    assert any(not torch.equal(tuned[name], average[name]) for name in average)


ARMS = {
    "target_only": (TRUSTED, REJECTED),
    "cotrain": (TRUSTED, TRUSTED),
    "reweighted": (TRUSTED, TRUSTED),
    "ambient": (TRUSTED, (0.31, 0.0)),
    "ambient_locality": (TRUSTED, (0.31, 0.07)),
    "exclusive": ((INF, 0.31), (0.31, 0.0)),
    "finetune": (TRUSTED, REJECTED),
}


def build_arm(overrides: list[str], name: str) -> Parts:
    """The parts of an arm with other tuned numbers than the config's."""
    tuned = ["tuned.sigma_min=0.31", "tuned.sigma_max=0.07", "tuned.trusted_weight=3.0"]
    return prepare(compose("train", [*overrides, *tuned, f"arm={name}"]))


def test_every_arm_is_told_here() -> None:
    assert {file.stem for file in (CONFIGS / "arm").glob("*.yaml")} == set(ARMS)


@pytest.mark.parametrize("name", ARMS)
def test_an_arm_is_a_value(shared_maze: list[str], name: str) -> None:
    parts = build_arm(shared_maze, name)
    mixture = parts.mixture
    assert parts.settings.label == name
    assert mixture.names == ("trusted", "suboptimal")
    for i, (low, high) in enumerate(ARMS[name]):
        of_source = mixture.source_of_episode == i
        assert set(mixture.sigma_min[of_source]) == {low}
        assert set(mixture.sigma_max[of_source]) == {high}
    batch = parts.batch_at(0)
    assert batch.actions.shape == (8, 16, 2)
    assert batch.observations["state"].shape == (8, 2, 4)


def test_natural_and_chosen_weights(shared_maze: list[str]) -> None:
    def shares(name: str) -> list[float]:
        return [row.probability for row in build_arm(shared_maze, name).mixture.describe()]

    assert shares("cotrain") == pytest.approx([60 / 160, 100 / 160])
    assert shares("reweighted") == pytest.approx([3 / 4, 1 / 4])


def test_exclusive_bands_cover_every_level_and_share_none(shared_maze: list[str]) -> None:
    parts = build_arm(shared_maze, "exclusive")
    levels, sources = parts.settings.noise.schedule_levels(), parts.mixture.source_of_episode
    first = [np.full(len(levels), np.argmax(sources == i)) for i in (0, 1)]
    admitted = np.stack([parts.sampler.admission.admits(e, levels) for e in first], axis=1)
    expected = np.stack([levels < 0.31, levels > 0.31], axis=1)
    np.testing.assert_array_equal(admitted, expected)
    assert expected.any(axis=0).all()


def test_an_arm_asks_what_the_stores_are(shared_maze: list[str]) -> None:
    with pytest.raises(DataError, match=r"nothing is trusted silently"):
        build_arm([*shared_maze, "sources.trusted.trust=null"], "ambient")


@pytest.mark.parametrize("file", sorted((CONFIGS / "experiment").glob("*.yaml")))
def test_every_experiment_composes(file: Path) -> None:
    path = ["sources.demonstrations.path=a.zarr"] if file.stem == "converted" else []
    settings: RunSettings = compose("train", [f"experiment={file.stem}", *path])
    assert settings.experiment == file.stem
    assert from_json(json.loads(json.dumps(to_json(settings)))) == settings


@pytest.mark.parametrize("file", sorted((CONFIGS / "comparison").glob("*.yaml")))
def test_every_comparison_composes(file: Path) -> None:
    settings = compose("compare", [f"comparison={file.stem}"])
    assert settings.baseline is None or settings.baseline in settings.arms
    for arm, changes in settings.arms.items():
        run = compose("train", [*settings.overrides, *changes, f"label={arm}"])
        assert run.label == arm


class Recorder:
    """Stands in for a wandb run."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.ended: list[int] = []

    def log(self, row: dict[str, Any], step: int) -> None:
        assert step == row["step"]
        self.rows.append(dict(row))

    def finish(self, exit_code: int) -> None:
        self.ended.append(exit_code)


def test_wandb_hears_what_the_json_lines_say(
    maze: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder, asked = Recorder(), {}

    def init(**words: Any) -> Recorder:
        asked.update(words)
        return recorder

    monkeypatch.setattr(wandb, "init", init)
    perform("train", [*maze, "tracking.wandb=offline", "tracking.project=mazes"])
    run = tmp_path / "runs" / "ambient" / "seed-0"
    assert recorder.rows == read_rows(run / "log.jsonl")
    assert len(recorder.rows) == 4
    assert recorder.ended == [0]
    assert (asked["mode"], asked["project"]) == ("offline", "mazes")
    assert asked["config"] == json.loads((run / "settings.json").read_text())


def test_wandb_is_not_even_imported_unless_asked(
    maze: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    perform("train", maze)
    with pytest.raises(ImportError):
        perform("train", [*maze, "tracking.wandb=offline", "label=other"])


def test_an_annotation_under_this_normaliser_is_used(
    maze: list[str], tmp_path: Path, make_store: Callable[..., Path]
) -> None:
    from ambient_datasets.store import Annotation, annotate_store

    fingerprint = prepare(compose("train", maze)).spec.body.normalizer.fingerprint
    levels = np.linspace(0.1, 0.5, 5)
    annotate_store(tmp_path / "suboptimal.zarr", Annotation(levels, np.zeros(5), fingerprint))
    mixture = prepare(compose("train", maze)).mixture
    np.testing.assert_array_equal(mixture.sigma_min, [0, 0, 0, *levels])
