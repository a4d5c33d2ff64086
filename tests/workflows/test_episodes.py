"""The list of a store's episodes: what was planted stands out, and nothing else."""

import csv
from pathlib import Path

import numpy as np
import pytest

from ambient_datasets.records import Attributes, Episode
from ambient_datasets.store import Store
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError
from ambient_policy.workflows.episodes import EpisodeLine, list_episodes
from tests.datasets.stores import write_store

RATE = 20.0
NAMES = ("x", "turn"), ("m", "rad"), ("go", "grip"), ("m", "1")


def swing(i: int, steps: int) -> Episode:
    """A smooth motion, an angle that wraps, an open or closed gripper."""
    time = np.arange(steps) / RATE
    turn = (time * 2 + i) % (2 * np.pi)
    x = np.sin(2 * time + 0.3 * i)
    return Episode(np.stack([x, turn], 1), np.stack([0.8 * x, time > 1], 1))


def planted() -> list[Episode]:
    """30 like each other but for length, and five that are not."""
    episodes = [swing(i, 80 + i % 5) for i in range(30)]
    jerky = np.random.default_rng(0).normal(0, 0.02, (80, 1)) * [1, 0]
    seen, acted = episodes[0].observations.copy(), episodes[0].actions.copy()
    episodes[3] = Episode((seen[:80] + jerky).astype(np.float32), acted[:80])
    still = np.r_[np.zeros(50, int), np.arange(30)]
    episodes[7] = Episode(seen[still], acted[still])
    jump = episodes[11].observations.copy()
    jump[40:, 0] += 1.5
    episodes[11] = Episode(jump, episodes[11].actions)
    episodes[15] = episodes[4]
    episodes[20] = swing(20, 300)
    clipped = episodes[25].actions.copy()
    clipped[:60, 0] = 1.0
    episodes[25] = Episode(episodes[25].observations, clipped)
    return episodes


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    path = tmp_path_factory.mktemp("store") / "s.zarr"
    return write_store(path, Attributes("t", "s", RATE, *NAMES), planted())


@pytest.fixture(scope="module")
def lines(store: Store) -> list[EpisodeLine]:
    return list_episodes(store)


def test_what_was_planted_stands_out(lines: list[EpisodeLine]) -> None:
    expected = {3: "jerk", 7: "idle", 11: "jumps", 15: "same", 20: "steps", 25: "saturated"}
    for i, line in enumerate(lines):
        assert (expected.get(i) in line.stands_out) if i in expected else not line.stands_out, line


def test_the_numbers_are_those_of_the_episode(lines: list[EpisodeLine]) -> None:
    assert lines[20].steps == 300 and lines[20].seconds == 15.0
    assert lines[15].same_as == 4 and lines[4].same_as is None
    assert lines[11].jumps == 1 and lines[0].jumps == 0
    assert abs(lines[7].idle - 50 / 79) < 0.03
    assert abs(lines[25].saturated - 60 / len(planted()[25])) < 0.02


def test_the_verb_prints_the_list_and_writes_it(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    perform("describe", [f"path={store.path}", f"out={tmp_path}/a/list.csv"])
    text = capsys.readouterr().out
    assert "stand out: [3,7,11,15,20,25]" in text and "30 episodes" in text
    with (tmp_path / "a/list.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 30 and rows[20]["steps"] == "300" and rows[20]["stands_out"] == "steps"
    with pytest.raises(AmbientPolicyError, match=r"out = a\.png: a list .* ends in \.csv"):
        perform("describe", [f"path={store.path}", "out=a.png"])


def test_short_and_single_episodes_have_a_line(tmp_path: Path) -> None:
    store = write_store(tmp_path / "s.zarr", Attributes("t", "s", RATE, *NAMES), [swing(0, 1)])
    (line,) = list_episodes(store)
    assert (line.steps, line.idle, line.stands_out) == (1, 0.0, ())
