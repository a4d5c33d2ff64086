"""A maze policy that also learns from another body: trained, resumed, annotated and rolled out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file

from ambient_datasets.store import (
    Annotation,
    Attributes,
    Episode,
    annotate_store,
    append_episode,
    create_store,
)
from ambient_policy.cli import perform
from ambient_policy.errors import DataError, SettingsError
from ambient_policy.evaluation.records import read_episodes, read_motions
from ambient_policy.policy import Policy
from ambient_policy.saved import load_policy
from ambient_policy.workflows import settings as compose
from ambient_policy.workflows.evaluation import EvaluateSettings
from ambient_policy.workflows.grid import Run
from ambient_policy.workflows.page import denoise_one
from ambient_policy.workflows.preparation import Parts, initial_policy, prepare
from ambient_policy.workflows.screen import remarks
from tests.copies import copied
from tests.workflows.tiny import TINY

MAZE = "ambient_envs/Maze-v0"
SEEN, ACTED = ("agent_x", "agent_y", "goal_x", "goal_y"), ("target_x", "target_y")
# of another body, with columns of its own among the maze's, in another order
OTHER_SEEN, OTHER_ACTED = ("gripper", "agent_y", "agent_x"), ("gripper", "target_x", "target_y")
UNITS = {"gripper": "1"}
TEXTS = ("go there", "grasp", "go on")
NAMES = ("maze", "maze2")
SILENT = "training.validation.every=null"


@copied
def write(
    path: Path, /, task: str, seen: tuple[str, ...], acted: tuple[str, ...], seed: int
) -> Path:
    """Three walks, each told another text."""
    units = [tuple(UNITS.get(n, "m") for n in names) for names in (seen, acted)]
    create_store(path, Attributes(task, path.stem, 10.0, seen, units[0], acted, units[1]))
    random = np.random.default_rng(seed)
    for text in TEXTS:
        sizes = (20, len(seen)), (20, len(acted))
        values = [random.uniform(1, 4, size).astype(np.float32) for size in sizes]
        append_episode(path, Episode(values[0], values[1], instruction=text))
    return path


def mixed(root: Path, other: str = "trust: suboptimal, sigma_min: 0.3, sigma_max: 0") -> str:
    """The mixture; the source of the other body comes first."""
    maze = f"{{path: {root}/maze.zarr, trust: trusted, val_ratio: 0.3}}"
    return f"mixture=[{{path: {root}/other.zarr, {other}}}, {maze}]"


@pytest.fixture
def both(tmp_path: Path) -> list[str]:
    """Overrides of a tiny training on the two stores."""
    write(tmp_path / "other.zarr", "another world", OTHER_SEEN, OTHER_ACTED, 1)
    write(tmp_path / "maze.zarr", MAZE, SEEN, ACTED, 2)
    return [
        "experiment=maze",
        "arm=ambient_locality",
        "label=both",
        f"root={tmp_path}/runs",
        "~sources.trusted",
        "~sources.suboptimal",
        mixed(tmp_path),
        "dimensions=union",
        "normalizer.kind=range",
        "normalizer.statistics=source",
        "loss.ambient=true",
        "training.validation.every=2",
        "training.validation.bands=[0.5]",
        "network.encoders.state.layers=[16]",
        *TINY,
    ]


def parts(overrides: list[str]) -> Parts:
    return prepare(compose.compose("train", overrides))


def test_it_trains_resumes_and_acts_in_its_world(
    both: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    perform("train", both)
    run = tmp_path / "runs" / "both" / "seed-0"
    policy = load_policy(run / "checkpoints" / "step-0000004")
    spec = policy.spec
    assert (list(spec.embodiments), spec.acting) == (["other", "maze"], "maze")
    assert spec.action_names == ("gripper", "target_x", "target_y")
    assert (spec.own_observations, spec.own_actions) == (SEEN, ACTED)
    rows = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["loss"]) for row in rows) and "validation/action_error" in rows[-1]

    perform("train", [*both, "label=broken"])  # all of it, then the second half again
    broken = tmp_path / "runs" / "broken" / "seed-0"
    last = broken / "checkpoints" / "step-0000004"
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    perform("train", [*both, "label=broken"])
    one, other = (
        load_file(r / "checkpoints/step-0000004/weights.safetensors") for r in (run, broken)
    )
    assert all(torch.equal(one[name], other[name]) for name in one)

    perform("evaluate", [f"run={run}", "episodes=2", "worlds=2", "threads=1", "videos=[]"])
    motions = read_motions(run / "evaluation" / "motions.npz")
    assert len(read_episodes(run / "evaluation" / "episodes.jsonl")) == 2
    for motion in motions.values():
        assert motion.observations.shape[1] == 4 and motion.actions.shape[1] == 2
    capsys.readouterr()
    perform("roughness", [f"run={run}", "windows=10"])
    assert capsys.readouterr().out.count("[(m/s³)²]") == 2
    perform("levels", both)


@pytest.mark.slow
def test_the_denoising_figure_speaks_its_own_columns(both: list[str], tmp_path: Path) -> None:
    perform("train", both)
    folder = f"{tmp_path}/runs/both/seed-0"
    perform("evaluate", [f"run={folder}", "episodes=1", "worlds=1", "threads=1"])
    run = Run(compose.compose("train", both), both)
    shown = denoise_one(run, load_policy(Path(folder)), EvaluateSettings(run=folder), None)
    assert shown is not None and shown.chunks.shape[-1] == 2 and len(shown.start or ()) == 2


def test_every_row_is_labelled_with_whose_it_is(both: list[str]) -> None:
    batch = parts(both).batch_at(0)
    of_maze = batch.observations["embodiment"] == 1
    assert of_maze.any() and not of_maze.all()
    gripper = batch.actions[..., 0]
    assert not gripper[of_maze].any() and gripper[~of_maze].all()
    kept = batch.kept_noise[batch.sigma_trust > 0]
    assert len(kept) and kept.all()


def test_an_annotation_is_bound_to_whose_statistics_counted(
    both: list[str], tmp_path: Path
) -> None:
    mixture = mixed(tmp_path, "trust: suboptimal")
    asked = ["data=mixture", mixture, "source=other", "sigma_min=0.3", "sigma_max=0"]
    asked.append("dimensions=union")
    perform("annotate", [*asked, "normalizer.kind=range", "normalizer.statistics=joint"])
    annotated = [*both, mixture]
    with pytest.raises(DataError, match=r"'other': annotated under the normaliser .*but training"):
        parts(annotated)
    joint = parts([*annotated, "normalizer.statistics=joint"])
    assert joint.mixture.sigma_min[0] == 0.3
    bodies = joint.spec.embodiments, parts(both).spec.embodiments
    assert bodies[0]["other"].normalizer != bodies[1]["other"].normalizer


def start(overrides: list[str], run: Path) -> Policy:
    """The policy that a training begins with when it starts from a run."""
    told = [*overrides, "label=tuned", f"start_from={run}"]
    return initial_policy(prepare(compose.compose("train", told)))


def assert_taken_over(policy: Policy, run: Path) -> None:
    weights = load_policy(run / "checkpoints" / "step-0000004").state_dict()
    assert all(torch.equal(weights[name], value) for name, value in policy.state_dict().items())


@pytest.mark.slow
def test_a_start_may_have_learned_from_a_source_of_another_name(
    both: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "maze2.zarr", MAZE, SEEN, ACTED, 3)
    bounds = ["dimensions=same", "normalizer.kind=bounds", "normalizer.statistics=null"]
    one, two = (f"mixture=[{{path: {tmp_path}/{n}.zarr, trust: trusted}}]" for n in NAMES)
    perform("train", [*both, *bounds, one, SILENT])
    run = tmp_path / "runs" / "both" / "seed-0"
    policy = start([*both, *bounds, two, SILENT], run)
    assert policy.spec.acting == "maze2"
    assert_taken_over(policy, run)
    with pytest.raises(SettingsError, match="another acting embodiment .its columns or normaliser"):
        start([*both, "dimensions=same", two, SILENT], run)
    assert_taken_over(start([*both, "dimensions=same", one, SILENT, *bounds[1:]], run), run)


@pytest.mark.slow
def test_a_start_may_know_other_bodies_but_not_whether_there_are_any(
    both: list[str], tmp_path: Path
) -> None:
    write(tmp_path / "third.zarr", "a third world", SEEN[:2], ACTED, 4)
    write(tmp_path / "fourth.zarr", "a fourth world", SEEN[:3], ACTED, 5)
    maze, third, fourth = (
        f"{{path: {tmp_path}/{name}.zarr, trust: trusted}}" for name in ("maze", "third", "fourth")
    )
    perform("train", [*both, f"mixture=[{maze}, {third}]", SILENT])
    perform("train", [*both, f"mixture=[{maze}]", SILENT, "label=alone"])
    run, alone = (tmp_path / "runs" / label / "seed-0" for label in ("both", "alone"))
    policy = start([*both, f"mixture=[{maze}, {fourth}, {third}]", SILENT], run)
    assert list(policy.spec.embodiments) == ["maze", "fourth", "third"]
    assert_taken_over(policy, run)
    text = "another answer to whether an embodiment lacks observations than this run"
    for overrides, begun in ((f"mixture=[{maze}]", run), (f"mixture=[{maze}, {third}]", alone)):
        with pytest.raises(SettingsError, match=text):
            start([*both, overrides, SILENT], begun)


@pytest.mark.slow
def test_a_start_may_have_been_told_something_else(both: list[str], tmp_path: Path) -> None:
    told = [*both, "language.kind=one_hot"]
    perform("train", [*told, "task.instruction=go on"])
    run = tmp_path / "runs" / "both" / "seed-0"
    assert_taken_over(start([*told, "task.instruction=grasp"], run), run)
    with pytest.raises(SettingsError, match="trained with another language than"):
        start(both, run)


@pytest.mark.parametrize("idle", ["trust: rejected", "trust: trusted, sampling_weight: 0"])
def test_units_that_no_step_teaches_are_refused(both: list[str], tmp_path: Path, idle: str) -> None:
    write(tmp_path / "maze2.zarr", MAZE, SEEN, ACTED, 3)
    weight = ", sampling_weight: 1" if "weight" in idle else ""

    def mix(second: str) -> list[str]:
        entries = f"{{path: {tmp_path}/maze.zarr, {idle}}}, {{path: {tmp_path}/{second}.zarr, "
        return [*both, f"mixture=[{entries}trust: trusted{weight}}}]", SILENT]

    text = r"of source 'maze', .*share them \({}\) none is drawn at any .* \(sources.maze.trust"
    with pytest.raises(SettingsError, match=text.format("maze") + ".*statistics=joint"):
        parts(mix("maze2"))
    assert parts([*mix("maze2"), "normalizer.statistics=joint"]).spec.acting == "maze"
    with pytest.raises(SettingsError, match=text.format("maze") + r".*above 0\)\.$"):
        parts([*mix("other"), "normalizer.statistics=joint"])


def test_the_acting_one_is_the_same_in_every_arm(both: list[str], tmp_path: Path) -> None:
    write(tmp_path / "maze2.zarr", MAZE, SEEN, ACTED, 3)
    specs = []
    for first, second in (("trusted", "rejected"), ("trusted", "trusted"), ("rejected", "trusted")):
        entries = (f"{{path: {tmp_path}/{n}.zarr, trust: " for n in NAMES)
        mixture = ", ".join(f"{e}{t}}}" for e, t in zip(entries, (first, second), strict=True))
        joint = "normalizer.statistics=joint"
        specs.append(parts([*both, f"mixture=[{mixture}]", joint, SILENT]).spec)
    assert specs[0] == specs[1] == specs[2]


@pytest.mark.slow
def test_a_run_goes_on_with_its_tables_elsewhere(both: list[str], tmp_path: Path) -> None:
    perform("train", [*both, "tables=memory"])
    checkpoint = "seed-0/checkpoints/step-0000004"
    for first, second in (("memory", "disk"), ("disk", "memory")):
        perform("train", [*both, f"label={first}", f"tables={first}"])
        broken = tmp_path / "runs" / first
        shutil.rmtree(broken / checkpoint)
        perform("train", [*both, f"label={first}", f"tables={second}"])
        ours, theirs = (
            load_file(tmp_path / "runs" / label / checkpoint / "weights.safetensors")
            for label in (first, "both")
        )
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    with pytest.raises(SettingsError, match="holds a run with other settings"):
        perform("train", [*both, "tables=disk", "training.batch=16"])


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (["normalizer.statistics=null"], "choose joint .* or source"),
        (["dimensions=same"], r"dimensions=union"),
        (
            ["task.id=nowhere"],
            "demonstrations are of 'another world, ambient_envs/Maze-v0' and differ",
        ),
        (["task.path=[gripper,agent_x]"], "unknown task.path 'gripper'; known: agent_x, agent_y"),
        (["task.instruction=grasp"], "task.instruction = 'grasp', but language.kind = none"),
        (["language.kind=one_hot"], "task.instruction is null, but every episode"),
        (["language.kind=one_hot", "task.instruction=go their"], "nearest are 'go there', "),
        (["language.table=x"], "language.table = x with language.kind = none"),
        (["network.encoders.instruction.layers=[8]"], "network.encoders"),
        (
            ["normalizer.kind=bounds"],
            "normalizer.statistics is given, but normalizer.kind = bounds",
        ),
        (
            ["actions.representation=relative", "actions.origin=[gripper,goal_x,goal_y]"],
            "counts 'target_x' from 'goal_x', which 'other' does not observe",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    both: list[str], snapshot: Callable[[], dict[str, bytes]], changes: list[str], text: str
) -> None:
    before = snapshot()
    with pytest.raises((SettingsError, DataError), match=text):
        perform("train", [*both, *changes])
    assert snapshot() == before


@pytest.mark.slow
def test_a_threshold_that_no_level_reaches_is_refused(both: list[str], tmp_path: Path) -> None:
    def other(sigma_min: str) -> list[str]:
        return [
            *both,
            mixed(tmp_path, f"trust: suboptimal, sigma_min: {sigma_min}, sigma_max: 0.1"),
        ]

    highest = parts(both).sampler.law.sigma_hi
    for given in (1e9, highest, highest / 1.1):  # loss.s_max = 4 multiplies it by 1.155
        with pytest.raises(SettingsError, match=r"'other': sigma_min = .* \(times 1.155, of"):
            parts(other(str(given)))
    with pytest.raises(SettingsError, match=r"sigma_min = 1e\+09 does not lie below"):
        parts([*other("1e9"), "loss.ambient=false"])
    assert parts(other("inf")).mixture.sigma_min[0] == np.inf  # said: it teaches below only
    parts(other(str(highest / 1.2)))


def test_a_policy_that_is_told_what_to_do(both: list[str], tmp_path: Path) -> None:
    told = [*both, "language.kind=one_hot", "task.instruction=go there"]
    vocabulary = parts(told).spec.language
    assert vocabulary is not None and vocabulary.texts == ("go on", "go there", "grasp")
    perform("train", told)
    run = tmp_path / "runs" / "both" / "seed-0"
    policy = load_policy(run / "checkpoints" / "step-0000004")
    assert policy.spec.language == vocabulary
    np.testing.assert_array_equal(policy.get_buffer("instructions")[:3], np.eye(3))
    seen = policy.observe({"state": np.ones((2, 2, 4), np.float32)})
    assert seen["instruction"].tolist() == [1, 1]
    perform("evaluate", [f"run={run}", "episodes=1", "worlds=1", "threads=1"])


@pytest.mark.slow
def test_a_policy_is_saved_with_its_table(both: list[str], tmp_path: Path) -> None:
    vectors = {text: np.full(5, i + 1.5, np.float32) for i, text in enumerate(sorted(TEXTS))}
    save_file(vectors, tmp_path / "table")
    told = [
        *both,
        "language.kind=embedding",
        f"language.table={tmp_path}/table",
        "task.instruction=grasp",
    ]
    perform("train", told)
    (tmp_path / "table").unlink()
    policy = load_policy(tmp_path / "runs" / "both" / "seed-0" / "checkpoints" / "step-0000004")
    assert policy.get_buffer("instructions")[:, 0].tolist() == [1.5, 2.5, 3.5, 0.0]
    del vectors["grasp"]
    save_file(vectors, tmp_path / "table")
    with pytest.raises(SettingsError, match=r"has no vector for 'grasp', which episodes of source"):
        parts(told)


def test_what_was_perhaps_not_meant_is_said(both: list[str], tmp_path: Path) -> None:
    unused = [remark for remark in remarks(parts(both)) if "is not used: the sources" in remark]
    assert [remark.split(" = ")[0] for remark in unused] == ["tuned.sigma_min", "tuned.sigma_max"]
    both += ["tuned.sigma_min=null", "tuned.sigma_max=null"]
    (said,) = remarks(parts(both))
    assert "no chunk teaches that ends beyond its episode (75% of these windows)" in said
    (said,) = remarks(parts([*both, "horizons.pred=24"]))
    assert "3 episodes of other are shorter than a chunk (24 steps) and teach nothing" in said
    both.append("loss.ambient=false")
    assert not list(remarks(parts(both)))
    (said,) = remarks(parts([*both, "training.validation.every=null"]))
    assert said.startswith("1 episodes are held out and nothing looks at them")
    bounds = [*both, mixed(tmp_path, "trust: suboptimal, sigma_min: inf, sigma_max: 0.1")]
    assert not list(remarks(parts(bounds)))
    normalizer = parts(both).spec.embodiments["other"].normalizer
    low = np.array([0.1, 1e9, np.inf])
    annotation = Annotation(low, np.full(3, 0.05), normalizer.fingerprint)
    annotate_store(tmp_path / "other.zarr", annotation)
    (said,) = remarks(parts([*both, mixed(tmp_path, "trust: suboptimal")]))
    assert said.startswith("1 episodes of other are annotated with a sigma_min that no level of")
