"""A sweep is its trainings: the same runs, found by compare; what is wrong is said before any."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, SettingsError
from ambient_policy.settings import RunSettings
from ambient_policy.workflows import execution, sweep
from ambient_policy.workflows.arms import grid_of
from ambient_policy.workflows.configs import CONFIGS
from ambient_policy.workflows.evaluation import EvaluateSettings
from ambient_policy.workflows.execution import finish
from ambient_policy.workflows.grid import Grid
from ambient_policy.workflows.settings import compose
from ambient_policy.workflows.sweep import compare_commands, plan
from tests.fake_slurm import install
from tests.holders import held_elsewhere
from tests.kills import Moment, die_at, kill

LABEL = "label=ambient_${tuned.sigma_min}"


def weights(run: Path, step: int = 4) -> bytes:
    return (run / f"checkpoints/step-{step:07d}/model.safetensors").read_bytes()


def episodes(run: Path) -> list[dict[str, Any]]:
    """What happened, without how long the planning took."""
    rows = map(json.loads, (run / "evaluation/episodes.jsonl").read_text().splitlines())
    return [{key: row[key] for key in row if not key.endswith("seconds")} for row in rows]


def written(root: Path) -> dict[Path, int]:
    """Checkpoints and evaluations with the time they were written."""
    parts = ("checkpoints", "evaluation")
    return {f: f.stat().st_mtime_ns for part in parts for f in root.rglob(f"{part}/**/*")}


@pytest.fixture(scope="module")
def words(shared_maze: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two thresholds, two seeds, four starts each, in a folder of their own."""
    root = tmp_path_factory.mktemp("sweep")
    arms = ["arm=ambient", "tuned.sigma_min=0.1,0.31", LABEL, "seed=range(2)"]
    return [*shared_maze, *arms, f"root={root}", "jobs.workers=2", "evaluation.episodes=4"]


@pytest.fixture(scope="module")
def root(words: list[str]) -> Path:
    """The folder of the runs of that sweep, trained and evaluated."""
    perform("sweep", words)
    return Path([o for o in words if o.startswith("root=")][-1].removeprefix("root="))


def test_every_combination_is_a_run_of_its_own(shared_maze: list[str], tmp_path: Path) -> None:
    swept = ["arm=reweighted", "seed=range(2)", "tuned.trusted_weight=choice(1,2)"]
    names = [
        f"root={tmp_path}",
        "label=weight_${tuned.trusted_weight}",
        "jobs.workers=3",
    ]
    grid = plan([*shared_maze, *swept, *names])
    runs = [(run.arm, run.seed, run.settings.tuned.trusted_weight) for run in grid.runs]
    assert runs == [
        (f"weight_{weight}", seed, weight) for seed in range(2) for weight in (1.0, 2.0)
    ]
    assert {type(run.settings) for run in grid.runs} == {RunSettings}
    assert shlex.split(grid.runs[1].command)[-4:] == [
        "seed=0",
        "tuned.trusted_weight=2",
        *names[:2],
    ]
    assert grid.jobs.workers == 3 and grid.evaluation is None


def test_a_run_of_a_sweep_is_the_run_of_train(
    root: Path, shared_maze: list[str], tmp_path: Path
) -> None:
    names = [f"root={tmp_path}", "label=ambient_0.31", "seed=1"]
    perform("train", [*shared_maze, "arm=ambient", "tuned.sigma_min=0.31", *names])
    assert weights(root / "ambient_0.31/seed-1") == weights(tmp_path / "ambient_0.31/seed-1")
    assert weights(root / "ambient_0.31/seed-1") != weights(root / "ambient_0.1/seed-1")


def test_runs_are_evaluated_and_leave_their_words(root: Path) -> None:
    for label in ("ambient_0.1", "ambient_0.31"):
        for seed in (0, 1):
            run = root / label / f"seed-{seed}"
            assert len((run / "evaluation/episodes.jsonl").read_text().splitlines()) == 4
            assert "training" in (run / "train.log").read_text()
    assert {f.name for f in root.iterdir()} == {"ambient_0.1", "ambient_0.31"}


def test_started_again_it_trains_and_evaluates_nothing(
    root: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = written(root)
    perform("sweep", words)
    assert written(root) == before
    assert len(before) > 40
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 runs, 4 of them finished"
    assert lines[-1:] == compare_commands(plan(words))


@pytest.mark.slow
def test_the_command_it_prints_compares_its_runs(root: Path, words: list[str]) -> None:
    command = shlex.split(compare_commands(plan(words))[0])
    assert command[:2] == ["ambient-policy", "compare"]
    grid = grid_of(compose("compare", command[2:]))
    arms = ("ambient_0.1", "ambient_0.31")
    assert [(run.arm, run.seed) for run in grid.runs] == [(a, s) for a in arms for s in (0, 1)]
    assert all(grid.finished(run) for run in grid.runs)
    assert [len(grid.episodes_of(run) or []) for run in grid.runs] == [4] * 4


@pytest.mark.slow
def test_sweeps_of_two_roots_have_a_table_each(shared_maze: list[str], tmp_path: Path) -> None:
    roots = [f"{tmp_path}/one", f"{tmp_path}/two"]
    swept = ["arm=cotrain,ambient", f"root={','.join(roots)}", "seed=0,3"]
    grid = plan([*shared_maze, *swept, "evaluation.first_seed=7", "evaluation.episodes=9"])
    for command, folder in zip(compare_commands(grid), roots, strict=True):
        settings = compose("compare", shlex.split(command)[2:])
        assert settings.root == folder
        assert settings.arms == {"cotrain": ["arm=cotrain"], "ambient": ["arm=ambient"]}
        assert settings.seeds == [0, 3]
        assert (settings.evaluation.episodes, settings.evaluation.first_seed) == (9, 7)


@pytest.mark.slow
def test_one_that_fails_stops_no_other_and_is_named(
    shared_maze: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    busy = tmp_path / "cotrain/seed-0"
    busy.mkdir(parents=True)
    swept = ["arm=cotrain,ambient,finetune", f"root={tmp_path}", "jobs.workers=1"]
    with (
        held_elsewhere(busy),
        pytest.raises(AmbientPolicyError, match="2 of 3 runs are not finished") as caught,
    ):
        perform("sweep", [*shared_maze, *swept])
    _, first, second = str(caught.value).splitlines()
    assert first.startswith(f"{busy} (0 of 4 steps; see its train.log): ")
    assert "another process" in first
    assert second == (
        f"{tmp_path}/finetune/seed-0 (0 of 4 steps; see its train.log): {busy}, which it starts "
        "from, is not trained"
    )
    assert "another process" in (busy / "train.log").read_text()
    assert weights(tmp_path / "ambient/seed-0")


@pytest.mark.slow
def test_a_run_comes_after_the_one_it_starts_from(shared_maze: list[str], tmp_path: Path) -> None:
    swept = [*shared_maze, "arm=finetune,cotrain", f"root={tmp_path}", "jobs.workers=2"]
    grid = plan(swept)
    assert [[run.arm for run in wave] for wave in grid.waves()] == [["cotrain"], ["finetune"]]
    perform("sweep", swept)
    assert weights(tmp_path / "finetune/seed-0") != weights(tmp_path / "cotrain/seed-0")
    alone = Grid([run for run in grid.runs if run.arm == "finetune"], grid.jobs)
    assert [[run.arm for run in wave] for wave in alone.waves()] == [["finetune"]]


def finish_and_kill(settings: RunSettings, evaluation: EvaluateSettings | None) -> str:
    """In a worker: the sweep is killed before the second checkpoint of its second run."""
    if settings.seed == 1:
        die_at(Moment(Path(settings.folder) / "checkpoints/step-0000040"), parent=True)
    return finish(settings, evaluation)


def sweep_and_die(words: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "finish", finish_and_kill)
        perform("sweep", words)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_as_if_undisturbed(
    shared_maze: list[str], tmp_path: Path
) -> None:
    length = ["training.steps=120", "training.log_every=5", "training.checkpoint_every=20"]

    def overrides(name: str) -> list[str]:
        return [*shared_maze, *length, f"root={tmp_path}/{name}", "arm=ambient"]

    first, second = (tmp_path / "broken" / "ambient" / f"seed-{seed}" for seed in (0, 1))
    swept = [*overrides("broken"), "seed=0,1", "jobs.workers=1"]
    kill(sweep_and_die, swept)
    done = written(first)
    assert not (second / "checkpoints/step-0000120").exists()
    perform("sweep", swept)
    perform("train", [*overrides("whole"), "seed=1"])
    assert weights(second, 120) == weights(tmp_path / "whole/ambient/seed-1", 120)
    assert written(first) == done


@pytest.mark.slow
@pytest.mark.parametrize(("where", "package"), [("slurm", "submitit"), ("ray", "ray")])
def test_machines_of_a_cluster_train_the_same_runs(
    root: Path,
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    package: str,
) -> None:
    pytest.importorskip(package)
    install(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)  # relative folders are this one's, whoever trains
    one = [word for word in words if not word.startswith(("root=", "tuned.sigma_min="))]
    perform("sweep", [*one, "tuned.sigma_min=0.31", "root=runs", f"jobs.where={where}"])
    for seed in (0, 1):
        ours, theirs = (f / "ambient_0.31" / f"seed-{seed}" for f in (tmp_path / "runs", root))
        assert weights(ours) == weights(theirs)
        assert episodes(ours) == episodes(theirs)


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        (["arm=ambient,ambiant"], ["arm 'ambiant'", "ambient_locality", "target_only"]),
        (["training.stepz=1,2"], ["'training.stepz'", "'training.steps'"]),
        (["network.kernel=3,4"], ["network.kernel = 4", "odd"]),
        (["tuned.sigma_min=0.1,0.2"], ["ambient/seed-0", "tuned.sigma_min=0.1", LABEL]),
        (["seed=0,0"], ["ambient/seed-0", "they differ in nothing"]),
        (["seed=interval(0,1)"], ["INTERVAL", "range(5)"]),
        (["seed"], ["'seed' is no key=value"]),
        (["seed=range(0)"], ["seed=range(0)", "no run"]),
        (["arm=finetune"], ["cotrain/seed-0", "no policy"]),
        (["sources.suboptimal.path=nowhere.zarr"], ["nowhere.zarr", "no such store"]),
        (["training.device=cuda:99"], ["training.device = cuda:99", "choose among cpu"]),
        (["evaluation.episodes=3", "evaluation.device=cuda:99"], ["evaluation.device = cuda:99"]),
        (["evaluation.episodes=3", "evaluation.solver.steps=999"], ["999"]),
        (["evaluation.episodes=-3"], ["episodes = -3", "at least 1"]),
        (["evaluation.run=a"], ["evaluation.run", "episodes", "first_seed"]),
        (["evaluation.episodes=3,4"], ["jobs and evaluation are the same for all runs"]),
        (["jobs.workers=0"], ["jobs.workers = 0", "at least 1"]),
        (["jobs.job=3"], ["jobs.job", "workers", "partition"]),
        (["jobs.where=clouds"], ["clouds", "slurm"]),
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

    monkeypatch.setattr(sweep, "execute", never)
    with pytest.raises(AmbientPolicyError) as caught:
        perform("sweep", [*shared_maze, "arm=ambient", f"root={tmp_path}", *more])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_run_is_refused(root: Path, words: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"ambient_0.1/seed-0 holds a run with other"):
        perform("sweep", [*words, "training.batch=4"])


def test_a_sweep_chooses_from_what_a_training_chooses_from() -> None:
    of_sweep, of_train = (
        yaml.safe_load((CONFIGS / f"{verb}.yaml").read_text()) for verb in ("sweep", "train")
    )
    assert of_sweep["defaults"][1:] == of_train["defaults"][1:]
    assert {**of_sweep, "defaults": None} == {**of_train, "defaults": None}
