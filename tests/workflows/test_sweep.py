"""A sweep is its trainings: the same runs, found by compare; what is wrong is said before any."""

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError
from ambient_policy.files import lock_folder
from ambient_policy.workflows import settings as compose
from ambient_policy.workflows import sweep as sweep
from ambient_policy.workflows.grid import (
    PLUGINS,
    check_launcher,
    compare_commands,
    expand,
    installed,
    plan,
)

LABEL = "label=ambient_${tuned.sigma_min}"
QUIET = ["hydra/hydra_logging=none", "hydra/launcher=basic"]


def weights(run: Path, step: int = 4) -> bytes:
    return (run / f"checkpoints/step-{step:07d}/model.safetensors").read_bytes()


def written(root: Path) -> dict[Path, int]:
    """Checkpoints and evaluations with the time they were written."""
    parts = ("checkpoints", "evaluation")
    return {f: f.stat().st_mtime_ns for part in parts for f in root.rglob(f"{part}/**/*")}


@pytest.fixture(scope="module")
def grid(shared_maze: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two thresholds, two seeds, four starts each, in a folder of their own."""
    root = tmp_path_factory.mktemp("sweep")
    arms = ["arm=ambient", "tuned.sigma_min=0.1,0.31", LABEL, "seed=range(2)"]
    place = [f"root={root}/runs", f"hydra.sweep.dir={root}/sweeps"]
    return [*shared_maze, *arms, *place, *QUIET, "evaluate.episodes=4"]


@pytest.fixture(scope="module")
def root(grid: list[str]) -> Path:
    """The folder of the runs of that sweep, made."""
    perform("sweep", grid)
    return Path(next(o for o in grid if o.startswith("hydra.sweep.dir=")).split("=")[1]).parent


def test_every_combination_is_a_run_of_its_own(shared_maze: list[str]) -> None:
    swept = ["arm=reweighted,cotrain", "seed=range(3)", "tuned.trusted_weight=choice(1,2)"]
    jobs = expand([*shared_maze, *swept, "label=${sources.trusted.weight}_${tuned.trusted_weight}"])
    told = [(j.settings.label, j.settings.seed, j.settings.sources["trusted"].weight) for j in jobs]
    assert told[:3] == [("1.0_1.0", 0, 1.0), ("2.0_2.0", 0, 2.0), ("1.0_1.0", 1, 1.0)]
    assert told[6:8] == [("None_1.0", 0, None), ("None_2.0", 0, None)]
    assert len(told) == 12


def test_a_run_of_a_sweep_is_the_run_of_train(
    root: Path, shared_maze: list[str], tmp_path: Path
) -> None:
    names = [f"root={tmp_path}", "label=ambient_0.31", "seed=1"]
    perform("train", [*shared_maze, "arm=ambient", "tuned.sigma_min=0.31", *names])
    assert weights(root / "runs/ambient_0.31/seed-1") == weights(tmp_path / "ambient_0.31/seed-1")
    assert weights(root / "runs/ambient_0.31/seed-1") != weights(root / "runs/ambient_0.1/seed-1")


def test_runs_are_evaluated_and_leave_their_words(root: Path) -> None:
    for label in ("ambient_0.1", "ambient_0.31"):
        for seed in (0, 1):
            run = root / "runs" / label / f"seed-{seed}"
            assert len((run / "evaluation/episodes.jsonl").read_text().splitlines()) == 4
            assert "training" in (run / "train.log").read_text()
    assert {f.name for f in root.iterdir()} == {"runs", "sweeps"}


def test_started_again_it_trains_and_evaluates_nothing(
    root: Path, grid: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = written(root)
    perform("sweep", grid)
    assert written(root) == before
    assert len(before) > 40
    told = capsys.readouterr().out.splitlines()
    assert "4 runs, 4 of them finished" in told
    assert told[-1:] == compare_commands(plan(grid), ["episodes=4"])


def test_the_command_it_prints_tables_its_runs(root: Path, grid: list[str]) -> None:
    words = shlex.split(compare_commands(plan(grid), ["episodes=4"])[0])
    assert words[:2] == ["python", "scripts/compare.py"]
    before = written(root)
    perform("compare", words[2:])
    assert written(root) == before
    table = json.loads((root / "runs/table.json").read_text())
    runs = [(run["arm"], run["seed"], run["episodes"]) for run in table["runs"]]
    arms = ("ambient_0.1", "ambient_0.31")
    assert runs == [(arm, seed, 4) for arm in arms for seed in (0, 1)]


def test_sweeps_of_two_roots_have_a_table_each(shared_maze: list[str]) -> None:
    jobs = expand([*shared_maze, "arm=cotrain,ambient", "root=one,two", "seed=0,3"])
    words = [shlex.split(line) for line in compare_commands(jobs, ["first_seed=7"])]
    assert [line[3] for line in words] == ["root=one", "root=two"]
    for line in words:
        settings = compose.compose("compare", line[2:])
        assert settings.arms == {"cotrain": ["arm=cotrain"], "ambient": ["arm=ambient"]}
        assert settings.seeds == [0, 3]
        assert (settings.episodes, settings.first_seed) == (200, 7)


def test_one_that_fails_stops_no_other_and_is_named(
    shared_maze: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = tmp_path / "runs/cotrain/seed-0"
    busy.mkdir(parents=True)
    place = [f"root={tmp_path}/runs", f"hydra.sweep.dir={tmp_path}/sweeps"]
    launcher = ["hydra/hydra_logging=none", "hydra.launcher.n_jobs=2"]
    with lock_folder(busy), pytest.raises(SystemExit):
        perform("sweep", [*shared_maze, *place, *launcher, "arm=cotrain,ambient"])
    told = capsys.readouterr().out
    assert "1 of 2 trainings are finished" in told
    assert f"unfinished: {busy} (0 of 4 steps); see its train.log" in told
    assert "another process" in (busy / "train.log").read_text()
    assert weights(tmp_path / "runs/ambient/seed-0")


def test_killed_and_started_again_it_ends_as_if_undisturbed(
    shared_maze: list[str], tmp_path: Path
) -> None:
    length = ["training.steps=120", "training.log_every=5", "training.checkpoint_every=20"]

    def overrides(name: str) -> list[str]:
        return [*shared_maze, *length, f"root={tmp_path}/{name}", "arm=ambient"]

    first, second = (tmp_path / "broken" / "ambient" / f"seed-{seed}" for seed in (0, 1))
    swept = [*overrides("broken"), "seed=0,1", f"hydra.sweep.dir={tmp_path}/sweeps", *QUIET]
    command = [sys.executable, sweep.__file__, *swept]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        while not (second / "checkpoints/step-0000040").exists():
            assert process.poll() is None, "the sweep ended before it could be killed"
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    done = written(first)
    assert not (second / "checkpoints/step-0000120").exists()
    perform("sweep", swept)
    perform("train", [*overrides("whole"), "seed=1"])
    assert weights(second, 120) == weights(tmp_path / "whole/ambient/seed-1", 120)
    assert written(first) == done


def test_a_process_that_submitit_starts_finds_the_scripts(
    shared_maze: list[str], tmp_path: Path
) -> None:
    place = [f"root={tmp_path}/runs", f"hydra.sweep.dir={tmp_path}/sweeps"]
    launcher = ["hydra/hydra_logging=none", "hydra/launcher=submitit_local"]
    perform("sweep", [*shared_maze, *place, *launcher, "arm=cotrain"])
    assert weights(tmp_path / "runs/cotrain/seed-0")


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["arm=ambient,ambiant"], ["arm/ambiant", "ambient_locality", "target_only"]),
        (["training.stepz=1,2"], ["'training.stepz'", "'training.steps'"]),
        (["network.kernel=3,4"], ["network.kernel = 4", "odd"]),
        (["tuned.sigma_min=0.1,0.2"], ["ambient/seed-0", "tuned.sigma_min=0.1", LABEL]),
        (["seed=0,0"], ["ambient/seed-0", "they differ in nothing"]),
        (["seed=interval(0,1)"], ["INTERVAL", "range(5)"]),
        (["seed"], ["'seed'", "EQUAL"]),
        (["seed=range(0)"], ["seed=range(0)", "no run"]),
        (["arm=cotrain,finetune"], ["cotrain/seed-0", "no checkpoint"]),
        (["arm=as_is,ambient"], ["nothing is trusted silently"]),
        (["sources.trusted.path=nowhere.zarr"], ["nowhere.zarr", "no such store"]),
        (["evaluate.episode=3"], ["'episode'", "'episodes'"]),
        (["evaluate.episodes=3,4"], ["episodes=3,4"]),
        (["evaluate.solver.steps=0"], ["solver.steps = 0", "at least 1"]),
        (["evaluate.run=elsewhere"], ["evaluate.run", "leave it out"]),
        (["training.device=cuda:77"], ["training.device = cuda:77", "choose among cpu"]),
        (["evaluate.device=cuda:77"], ["evaluate.device = cuda:77", "choose among cpu"]),
        (
            ["hydra/launcher=loco"],
            ["hydra/launcher/loco", "basic", "local", "ray_cluster", "slurm"],
        ),
        (["hydra.launcher.jobs=3"], ["hydra.launcher.jobs"]),
        (["hydra.launcher.n_jobs=two"], ["hydra.launcher.n_jobs", "two"]),
    ],
)
def test_what_is_wrong_is_said_before_any_training(
    shared_maze: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    more: list[str],
    parts: list[str],
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("the sweep began")

    monkeypatch.setattr(sweep, "launch", never)
    with pytest.raises(AmbientPolicyError) as caught:
        perform("sweep", [*shared_maze, "arm=ambient", f"root={tmp_path}", *more])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_run_is_refused(root: Path, grid: list[str]) -> None:
    with pytest.raises(AmbientPolicyError, match=r"ambient_0.1/seed-0 holds a run with other"):
        perform("sweep", [*grid, "training.batch=4"])


@pytest.mark.parametrize("name", [f.stem for f in (compose.CONFIGS / "hydra/launcher").iterdir()])
def test_every_launcher_composes_or_names_its_extra(name: str) -> None:
    plugin, extra = PLUGINS[name]
    if installed(plugin):
        check_launcher([f"hydra/launcher={name}"])
        return
    with pytest.raises(AmbientPolicyError, match=rf"pip install -e '\.\[{extra}\]'"):
        check_launcher([f"hydra/launcher={name}"])
