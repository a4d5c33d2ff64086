"""Idle ends are cut, motion and pauses inside stay, whatever the rate."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.conversion.recipe import Recipe, follow
from ambient_datasets.conversion.trim import Trim
from ambient_datasets.records import Episode
from ambient_policy.errors import DataError, SettingsError
from tests.datasets.listed import Listed, listed

FILE = Path("some.file")


def walk(rate: float) -> Listed:
    """1 s of rest, 2 s at 0.5 m/s, 1 s of rest, 1 s at 0.5 m/s, 2 s of rest; a still column."""
    speed = np.repeat([0.0, 0.5, 0.0, 0.5, 0.0], (np.array([1, 2, 1, 1, 2]) * rate).astype(int))
    way = np.concatenate([[0.0], np.cumsum(speed / rate)])[:-1]
    noise = np.random.default_rng(0).normal(0, 1e-4, len(way))
    frames = np.zeros((len(way), 2, 2, 3), np.uint8)
    acted = np.stack([way, np.arange(len(way)) / rate], 1)
    return listed(np.stack([way + noise, 0 * way], 1), acted, rate=rate, frames=frames)


def trimmed(source: Listed, **changes: Any) -> Episode:
    recipe = Recipe("toy", ["state"], ["action"], trim=Trim(speed=0.05, **changes))
    return follow(FILE, source, recipe).episode(0)


@pytest.mark.parametrize("rate", [10.0, 50.0])
def test_rest_is_cut_at_the_ends_alone(rate: float) -> None:
    whole = walk(rate).episode(0)
    episode = trimmed(walk(rate))
    assert abs(len(episode) / rate - 4.0) <= 0.4 + 2 / rate
    assert 0.7 <= episode.actions[0, 1] <= 1.0
    ways = [table[-1, 0] - table[0, 0] for table in (whole.actions, episode.actions)]
    assert abs(ways[1] - ways[0]) < 1e-6
    assert len(episode.images["top"]) == len(episode)


def test_columns_may_be_chosen_and_must_share_a_unit() -> None:
    assert len(trimmed(walk(10), columns=["state_0"])) < 70
    with pytest.raises(DataError, match=r"episode 0: nothing moves faster than trim\.speed"):
        trimmed(walk(10), columns=["state_1"])
    with pytest.raises(SettingsError, match=r"unknown observation column 'state_7'"):
        trimmed(walk(10), columns=["state_7"])
    source = walk(10)
    units = {"observation_units": ("m", "rad")}
    mixed = Listed(type(source.attributes)(**{**vars(source.attributes), **units}), source.episodes)
    with pytest.raises(SettingsError, match="the columns are in m, rad, and one speed fits one"):
        trimmed(mixed)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"speed": 0.0}, "trim.speed = 0.0: give a positive"),
        ({"speed": 0.1, "window": -1.0}, "trim.window = -1.0: give a positive"),
        ({"columns": ["x"]}, "trim.columns is given without trim.speed"),
    ],
)
def test_strange_settings_are_refused(values: dict[str, Any], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        Trim(**values)


def test_without_a_speed_nothing_is_cut_and_nothing_remembered() -> None:
    recipe = Recipe("toy", ["state"], ["action"])
    source = walk(10)
    assert follow(FILE, source, recipe).episode(0) is source.episodes[0]
    assert "trim" not in recipe.record()
    assert "trim" in Recipe("toy", ["state"], ["action"], trim=Trim(0.1)).record()
