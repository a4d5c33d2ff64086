"""Arms by role: the same file for any sources of any names, said on the screen, refused in time."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ambient_datasets.mixture import Mixture
from ambient_datasets.store import Annotation, annotate_store, open_store
from ambient_policy.cli import perform
from ambient_policy.errors import SettingsError
from ambient_policy.workflows.configs import choices
from ambient_policy.workflows.levels import level_rows, own_thresholds
from ambient_policy.workflows.preparation import Parts, prepare
from ambient_policy.workflows.screen import remarks
from ambient_policy.workflows.settings import compose
from tests.workflows.tiny import TINY

MAZE = "ambient_envs/Maze-v0"
INF = float("inf")
EVERY, NONE = (0.0, INF), (INF, 0.0)
COMMON = ["experiment=mixture", f"task.id={MAZE}", "normalizer.statistics=joint", *TINY]
TUNED = ["tuned.sigma_min=0.31", "tuned.sigma_max=0.07", "tuned.trusted_weight=3"]
NAMES = ("Smooth walks", "jagged", "slow-2")
# of the three sources: one trusted, one suboptimal by tuned, one with a sigma_min of its own
ARMS = {
    "target_only": (EVERY, NONE, NONE),
    "finetune": (EVERY, NONE, NONE),
    "cotrain": (EVERY, EVERY, EVERY),
    "reweighted": (EVERY, EVERY, EVERY),
    "ambient": (EVERY, (0.31, 0.0), (0.5, 0.0)),
    "ambient_locality": (EVERY, (0.31, 0.07), (0.5, 0.07)),
    "exclusive": ((INF, 0.31), (0.31, 0.0), (0.5, 0.0)),
}


def write_three(make_store: Callable[..., Path]) -> list[Path]:
    return [make_store(name, episodes=2 + i) for i, name in enumerate(("one", "two", "three"))]


def three(stores: list[Path], root: Path) -> list[str]:
    """Overrides of a tiny training on three stores under names of one's own."""
    says = "trust: trusted", "trust: suboptimal", "trust: suboptimal, sigma_min: 0.5"
    entries = ", ".join(
        f"{{path: {store}, name: {name}, {what}}}"
        for store, name, what in zip(stores, NAMES, says, strict=True)
    )
    return [*COMMON, f"root={root}/runs", f"mixture=[{entries}]"]


@pytest.fixture
def overrides(make_store: Callable[..., Path], tmp_path: Path) -> list[str]:
    return three(write_three(make_store), tmp_path)


def parts(overrides: list[str]) -> Parts:
    return prepare(compose("train", overrides))


def pairs(mixture: Mixture) -> list[tuple[float, float]]:
    """(sigma_min, sigma_max) of each source, the same for all its episodes."""
    found = []
    for i in range(len(mixture.names)):
        of_source = mixture.source_of_episode == i
        ((low,), (high,)) = (set(s[of_source]) for s in (mixture.sigma_min, mixture.sigma_max))
        found.append((float(low), float(high)))
    return found


def test_every_arm_stands_here() -> None:
    assert set(choices("arm")) == set(ARMS)


@pytest.mark.parametrize("arm", ARMS)
def test_an_arm_fits_any_sources(overrides: list[str], arm: str) -> None:
    prepared = parts([*overrides, *TUNED, f"arm={arm}"])
    assert prepared.settings.label == arm
    assert prepared.mixture.names == NAMES
    assert tuple(pairs(prepared.mixture)) == ARMS[arm]
    assert prepared.batch_at(0).actions.shape == (8, 16, 2)


def test_cotraining_takes_every_window_at_every_level(overrides: list[str]) -> None:
    """It needs no number, and none changes it."""
    for numbers in ([], TUNED):
        prepared = parts([*overrides, "arm=cotrain", *numbers])
        mixture, levels = prepared.mixture, prepared.settings.noise.schedule_levels()
        assert (mixture.window_weight == 1).all()
        for episode in range(len(mixture.episode_lengths)):
            of_level = np.full(len(levels), episode)
            assert prepared.sampler.admission.admits(of_level, levels).all()


def test_the_trusted_weight_is_that_of_all_trusted_episodes(overrides: list[str]) -> None:
    rows = parts([*overrides, *TUNED, "arm=reweighted"]).mixture.describe()
    assert rows[0].probability == pytest.approx(3 / 4)
    assert rows[1].probability / rows[2].probability == pytest.approx(3 / 4)  # by their windows


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["arm=ambient"], ["nobody says sigma_min of source 'jagged'", "sources.jagged.sigma_min"]),
        (["arm=ambient"], ["tuned.sigma_min=0.3", "ambient-policy annotate", "arm=cotrain"]),
        (["arm=ambient_locality", "tuned.sigma_min=0.3"], ["nobody says sigma_max of", "jagged"]),
        (["arm=exclusive"], ["nobody says sigma_min of source 'jagged'", "tuned.sigma_min="]),
        (["arm=reweighted"], ["reweights", "tuned.trusted_weight=0.1", "arm=cotrain"]),
    ],
)
def test_a_number_that_an_arm_lacks_is_named(
    overrides: list[str], tmp_path: Path, changes: list[str], words: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        perform("train", [*overrides, *changes])
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arm", "sentence", "origins"),
    [
        (
            "ambient",
            "arm ambient: trusted episodes teach every noise level, suboptimal ones "
            "sigma > sigma_min (tuned: sigma_min = 0.31)",
            "thresholds: jagged by tuned, slow-2 by source",
        ),
        (
            "ambient_locality",
            "sigma > sigma_min or sigma < sigma_max (tuned: sigma_min = 0.31, sigma_max = 0.07)",
            "thresholds: jagged by tuned, slow-2 by source and tuned",
        ),
        (
            "exclusive",
            "trusted episodes teach sigma < the others' sigma_min, suboptimal ones",
            "thresholds: jagged by tuned, slow-2 by source",
        ),
        (
            "reweighted",
            "suboptimal ones every noise level (tuned: trusted_weight = 3)",
            "",
        ),
        ("target_only", "teach every noise level, suboptimal ones none", ""),
    ],
)
def test_a_training_begins_with_what_each_role_teaches(
    overrides: list[str],
    capsys: pytest.CaptureFixture[str],
    arm: str,
    sentence: str,
    origins: str,
) -> None:
    for verb in ("describe", "train")[: 1 + (arm == "ambient")]:
        perform(verb, [*overrides, *TUNED, f"arm={arm}"])
        shown = capsys.readouterr().out
        flat = " ".join(shown.split())
        assert sentence in flat and origins in flat
        assert ("thresholds:" in flat) is bool(origins)
        if verb == "train":
            assert flat.index(sentence) < flat.index("training ")
        for name in NAMES:
            assert name in flat
        if arm == "ambient":
            row = next(line for line in shown.splitlines() if line.strip().startswith("jagged"))
            assert "suboptimal" in row and "0.31" in flat and "0.5" in flat


@pytest.mark.parametrize("verb", ["describe", "levels"])
@pytest.mark.parametrize("arm", ["ambient_locality", "exclusive"])
def test_what_is_shown_fits_eighty_columns(
    overrides: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    arm: str,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    perform(verb, [*overrides, *TUNED, f"arm={arm}"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]  # nothing is cut off


def test_levels_says_who_teaches_by_role(overrides: list[str]) -> None:
    settings = compose("levels", [*overrides, *TUNED, "arm=exclusive"])
    rows = level_rows(settings, own_thresholds(settings, {}))
    assert len(rows) == 20
    for row in rows:
        sigma = float(row[1])
        teaching = (sigma < 0.31, sigma > 0.31, sigma > 0.5)
        assert row[-3:] == ["yes" if each else "no" for each in teaching]


def test_thresholds_that_leave_nothing_out_and_equal_stores_are_remarked(
    maze: list[str], tmp_path: Path
) -> None:
    def said(*more: str) -> list[str]:
        return list(remarks(parts([*maze, "arm=ambient_locality", *more])))

    assert not said()
    for pair in ("{sigma_min: 0.3, sigma_max: 1000}", "{sigma_min: 0.3, sigma_max: 0.4}"):
        (remark,) = said(f"tuned={pair}")
        assert remark.startswith("5 suboptimal episodes of suboptimal teach every noise level")
        assert "sigma_min = 0.3, sigma_max = " in remark
    (remark,) = said("sources.suboptimal.path=${sources.trusted.path}")
    assert remark.startswith(f"trusted, suboptimal read the same store, {tmp_path}/trusted.zarr")


def test_a_run_without_sources_says_where_they_come_from() -> None:
    words = r"experiment=.*maze.*ambient-policy configs experiment .*ambient-policy new mine.*mixtu"
    for verb in ("train", "describe"):
        with pytest.raises(SettingsError, match=f"no demonstrations are named.*{words}"):
            perform(verb, [])


def labelled(make_store: Callable[..., Path], **changes: object) -> list[str]:
    """A tiny training in the maze on a store whose conversion gave the task another label."""
    store = make_store("recorded", task="walks of last May", **changes)
    return [*COMMON, f"mixture=[{{path: {store}, trust: trusted}}]"]


def test_a_world_may_be_named_after_the_conversion(make_store: Callable[..., Path]) -> None:
    assert parts(labelled(make_store)).spec.task == MAZE


def test_the_one_of_several_stores_that_fits_the_world_acts(
    make_store: Callable[..., Path],
) -> None:
    other = make_store("other", task="arm", action_names=("a", "b"))
    fits = labelled(make_store)[-1].removeprefix("mixture=[").removesuffix("]")
    union = ["dimensions=union", f"mixture=[{{path: {other}, trust: trusted}}, {fits}]"]
    assert parts([*COMMON, *union]).spec.acting == "recorded"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"action_names": ("u", "v")}, r"action_names of the demonstrations is \('u', 'v'\), but"),
        (
            {"observation_names": ("x", "y", "goal_x", "goal_y")},
            r"observation_names of the demonstrations is \('x', 'y', 'goal_x', 'goal_y'\), but",
        ),
        ({"control_rate": 5.0}, f"control_rate of the demonstrations is 5.0, but {MAZE} has 10.0"),
    ],
)
def test_a_world_that_the_demonstrations_do_not_fit_is_refused(
    make_store: Callable[..., Path], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(SettingsError, match=f"no source fits {MAZE}. recorded: {words}"):
        parts(labelled(make_store, **changes))


def test_a_folder_names_the_settings_in_which_its_run_differs(
    overrides: list[str], tmp_path: Path
) -> None:
    perform("train", [*overrides, *TUNED])
    folder = tmp_path / "runs" / "ambient" / "seed-0"
    before = (folder / "settings.json").read_text()
    with pytest.raises(SettingsError) as caught:
        perform("train", [*overrides, *TUNED, "training.batch=9", "tuned.sigma_min=0.4"])
    for part in (
        "ambient/seed-0 holds a run with other settings",
        "training.batch = 9 here and 8 there",
        "tuned.sigma_min = 0.4 here and 0.31 there",
        "label=",
        "Delete that folder",
    ):
        assert part in str(caught.value)
    many = ["batch=9", "warmup=2", "learning_rate=0.1", "beta1=0.5", "beta2=0.6", "weight_decay=1"]
    with pytest.raises(SettingsError, match="here and .* there, and 2 more"):
        perform("train", [*overrides, *TUNED, *(f"training.{change}" for change in many)])
    assert (folder / "settings.json").read_text() == before


def test_a_run_goes_on_where_only_its_surroundings_differ(
    overrides: list[str], tmp_path: Path
) -> None:
    perform("train", [*overrides, *TUNED])
    run = tmp_path / "runs" / "ambient" / "seed-0"
    last = run / "checkpoints" / "step-0000004"
    weights = (last / "weights.safetensors").read_bytes()
    shutil.rmtree(last)
    changes = ["tables=disk", "tracking.project=other", "training.keep_last=7"]
    (tmp_path / "two.zarr").rename(tmp_path / "moved.zarr")
    moved = [word.replace("two.zarr", "moved.zarr") for word in overrides]
    perform("train", [*moved, *TUNED, *changes])
    assert (last / "weights.safetensors").read_bytes() == weights
    assert json.loads((run / "settings.json").read_text())["tables"] == "disk"


def test_a_run_does_not_go_on_with_other_thresholds(overrides: list[str], tmp_path: Path) -> None:
    perform("train", [*overrides, *TUNED])
    run = tmp_path / "runs" / "ambient" / "seed-0"
    shutil.rmtree(run / "checkpoints" / "step-0000004")
    fingerprint = prepare(compose("train", [*overrides, *TUNED])).spec.body.normalizer.fingerprint
    store = tmp_path / "two.zarr"
    count = len(open_store(store))
    annotate_store(store, Annotation(np.full(count, 0.5), np.zeros(count), fingerprint))
    with pytest.raises(SettingsError, match="was begun with other demonstrations: thresholds"):
        perform("train", [*overrides, *TUNED])
