"""A mixture as a list, from the command line and from a file: the stores, and the refusals."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ambient_datasets.mixture import Mixture
from ambient_datasets.source import hold_out
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError
from ambient_policy.settings import RunSettings, SourceSettings, Trust
from ambient_policy.workflows.preparation import prepare
from ambient_policy.workflows.settings import compose
from tests.workflows.tiny import TINY

MakeStore = Callable[..., Path]
COMMON = ["experiment=mixture", "task.id=ambient_envs/Maze-v0", "normalizer.statistics=joint"]


@pytest.fixture
def mix(make_store: MakeStore, tmp_path: Path) -> Callable[..., Mixture]:
    """The mixture of two stores of 10 and 20 episodes of 20 steps; keys go after each path."""
    for name, episodes in (("good", 10), ("bad", 20)):
        make_store(name, episodes=episodes)

    def make(good: str, bad: str) -> Mixture:
        entries = f"{{path: {tmp_path}/good.zarr, {good}}}", f"{{path: {tmp_path}/bad.zarr, {bad}}}"
        given = [*COMMON, *TINY, f"root={tmp_path}/runs", f"mixture=[{', '.join(entries)}]"]
        return prepare(compose("train", given)).mixture

    return make


def test_val_ratio_comes_first_and_max_train_episodes_counts_what_is_left(
    mix: Callable[..., Mixture],
) -> None:
    few = mix("trust: trusted, val_ratio: 0.2, max_train_episodes: 3", "trust: trusted")
    more = mix("trust: trusted, val_ratio: 0.2, max_train_episodes: 8", "trust: trusted")
    assert [(row.episodes, row.held_out) for row in few.describe()] == [(3, 2), (20, 0)]
    assert [(row.episodes, row.held_out) for row in more.describe()] == [(8, 2), (20, 0)]
    np.testing.assert_array_equal(few.held_out, more.held_out)
    np.testing.assert_array_equal(few.held_out[:10], hold_out("good", 10, 0.2))
    assert (few.taught <= more.taught).all() and not (few.taught & few.held_out).any()
    assert (few.window_weight[~few.taught] == 0).all()


def test_weights_are_normalised_and_missing_ones_count_windows(mix: Callable[..., Mixture]) -> None:
    given = mix("trust: trusted, sampling_weight: 6", "trust: trusted, sampling_weight: 2")
    assert [row.probability for row in given.describe()] == pytest.approx([0.75, 0.25])
    natural = mix("trust: trusted, max_train_episodes: 5", "trust: trusted")
    assert [row.probability for row in natural.describe()] == pytest.approx([0.2, 0.8])


def test_a_weight_is_spread_over_the_episodes_that_teach(mix: Callable[..., Mixture]) -> None:
    mixture = mix(
        "trust: trusted, sampling_weight: 1, max_train_episodes: 2, val_ratio: 0.1",
        "trust: trusted, sampling_weight: 1",
    )
    first = mixture.window_weight[:10] * mixture.episode_lengths[:10]
    assert sorted(first.tolist()) == pytest.approx([0.0] * 8 + [0.5] * 2)


def test_a_list_trains(make_store: MakeStore, tmp_path: Path) -> None:
    make_store("good")
    make_store("bad")
    entries = (
        f"{{path: {tmp_path}/good.zarr, sampling_weight: 1, trust: trusted}}",
        f"{{path: {tmp_path}/bad.zarr, sampling_weight: 4, trust: suboptimal, "
        "sigma_min: {step: 3}, sigma_max: 0, name: noisy}",
    )
    perform("train", [*COMMON, *TINY, f"root={tmp_path}/runs", f"mixture=[{', '.join(entries)}]"])
    stored = json.loads((tmp_path / "runs/ambient/seed-0/settings.json").read_text())
    assert list(stored["sources"]) == ["good", "noisy"] and stored["mixture"] == []
    assert stored["sources"]["noisy"]["sampling_weight"] == 4


LIST = """# @package _global_
normalizer: {kind: range, statistics: joint}
tuned: {sigma_min: 0.27}
mixture:
  - {path: gcs.zarr, max_train_episodes: 100, sampling_weight: 1, val_ratio: 0.05, trust: trusted}
  - path: rrt.zarr
    sampling_weight: 3
    trust: suboptimal
    sigma_min: ${tuned.sigma_min}
    sigma_max: 0
"""


def test_a_list_in_a_file_of_the_configs(own_configs: Callable[[str, str], None]) -> None:
    own_configs("data/mine.yaml", LIST)
    settings = compose("train", ["experiment=mixture", "task.id=any", "data=mine"])
    assert settings.sources["gcs"].max_train_episodes == 100
    assert (settings.sources["rrt"].sigma_min, settings.sources["rrt"].sampling_weight) == (0.27, 3)


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ("trust: null", ["good.zarr", "source 'good'", "trust"]),
        ("trust: trusted, weight: 3", ["'weight'", "sampling_weight", "max_train_episodes", "val"]),
        ("trust: trused", ["trused", "trusted, suboptimal, rejected"]),
        ("trust: trusted, max_train_episodes: many", ["'many'", "Integer"]),
        ("trust: trusted, max_train_episodes: 4", ["max_train_episodes = 4", "Give 1 to 3"]),
        ("trust: trusted, max_train_episodes: 0", ["max_train_episodes = 0", "Give 1 to 3"]),
        ("trust: trusted, val_ratio: 1.0", ["val_ratio = 1.0", "leaves none to teach"]),
        ("trust: trusted, sampling_weight: -1", ["sampling_weight = -1", "at least 0"]),
        ("trust: trusted, sigma_min: 0.3", ["sigma_min", "trust = suboptimal", "trust is trusted"]),
        (
            "trust: suboptimal",
            ["nobody says sigma_min of source 'good'", "sources.good.sigma_min="],
        ),
    ],
)
def test_what_an_entry_cannot_say(
    make_store: MakeStore, tmp_path: Path, entry: str, parts: list[str]
) -> None:
    make_store("good")
    entries = f"mixture=[{{path: {tmp_path}/good.zarr, {entry}}}]"
    with pytest.raises(AmbientPolicyError) as caught:
        perform("train", [*COMMON, *TINY, f"root={tmp_path}/runs", entries])
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_some_weights_and_not_others_are_refused(mix: Callable[..., Mixture]) -> None:
    with pytest.raises(AmbientPolicyError, match="bad has none and others do"):
        mix("trust: trusted, sampling_weight: 1", "trust: trusted")


def test_without_a_list_the_experiment_asks_for_one() -> None:
    with pytest.raises(AmbientPolicyError, match="no demonstrations are named.*, e.g. 'mixture="):
        perform("train", COMMON)


@pytest.mark.slow
def test_a_refusal_of_a_thousand_entries_names_a_few() -> None:
    entries = ",".join(f"{{path: s/{i}.zarr}}" for i in range(1000))
    unsaid = ["normalizer.statistics=null", f"mixture=[{entries}]"]
    with pytest.raises(AmbientPolicyError, match=r"0, 1, .*, \.\. \(1000 in all\)") as caught:
        compose("train", [*COMMON, *unsaid])
    assert len(str(caught.value)) < 600


@pytest.mark.slow
def test_a_thousand_entries_are_composed() -> None:
    entries = ",".join(f"{{path: s/{i}.zarr, sampling_weight: {i}}}" for i in range(1000))
    settings: RunSettings = compose("train", [*COMMON, f"mixture=[{entries}]"])
    assert len(settings.sources) == 1000
    assert settings.sources["999"] == SourceSettings("s/999.zarr", sampling_weight=999.0)
    assert all(source.trust is not Trust.trusted for source in settings.sources.values())
