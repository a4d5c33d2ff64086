"""experiment=pusht_human_image, on a small store of the format of its demonstrations."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from ambient_policy.cli import perform
from ambient_policy.evaluation.records import read_episodes
from ambient_policy.saved import load_policy
from ambient_policy.workflows.preparation import Parts, prepare
from ambient_policy.workflows.settings import compose
from tests.workflows.tiny import TINY, tiny_encoder

LENGTHS = (12, 9)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a replay buffer of random walks; unpacked frames go there too."""
    root = tmp_path_factory.mktemp("pusht")
    rng, rows = np.random.default_rng(0), sum(LENGTHS)
    arrays = {
        "data/state": rng.uniform(50, 450, (rows, 5)).astype(np.float32),
        "data/action": rng.uniform(50, 450, (rows, 2)).astype(np.float32),
        "data/img": rng.integers(0, 256, (rows, 96, 96, 3)).astype(np.float32),
        "meta/episode_ends": np.cumsum(LENGTHS),
    }
    group = zarr.create_group(str(root / "replay.zarr"), zarr_format=2)
    for key, values in arrays.items():
        group.create_array(key, data=values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(root / "cache"))
        yield root


def overrides(root: Path) -> list[str]:
    """Two steps of a small network."""
    return [
        "experiment=pusht_human_image",
        f"root={root}/runs",
        f"sources.human.path={root}/replay.zarr",
        *TINY,
        *tiny_encoder("pixels"),
        "task.max_steps=9",
        "training.steps=2",
        "training.batch=6",
    ]


@pytest.fixture(scope="module")
def parts(root: Path) -> Parts:
    return prepare(compose("train", overrides(root)))


def test_the_policy_sees_pictures_and_where_the_agent_is(root: Path, parts: Parts) -> None:
    assert parts.spec.observation_names == ("agent_x", "agent_y")
    assert parts.spec.cameras == {"pixels": (96, 96, 3)}
    state = zarr.open_array(str(root / "replay.zarr/data/state"))[:]
    np.testing.assert_array_equal(parts.mixture.observations.whole(), np.asarray(state)[:, :2])


def test_rows_of_a_step_are_the_same_whoever_asks(parts: Parts) -> None:
    whole = parts.batch_at(3)
    for rows in (slice(0, 3), slice(3, 6), slice(2, 3), slice(None)):
        alone, part = parts.batch_at(3, rows), whole.rows(rows)
        assert len(alone) == len(part) == len(range(*rows.indices(6)))
        for name in ("state", "pixels"):
            assert torch.equal(alone.observations[name], part.observations[name])
        for name in ("actions", "kept_noise", "sigma", "sigma_trust", "is_pad", "crop"):
            assert torch.equal(getattr(alone, name), getattr(part, name))


def test_crops_are_a_function_of_the_step(parts: Parts) -> None:
    crops = [parts.batch_at(step).crop for step in (0, 1, 0)]
    assert torch.equal(crops[0], crops[2]) and not torch.equal(crops[0], crops[1])
    drawn = torch.cat([parts.batch_at(step).crop for step in range(100)])
    assert drawn.shape == (600, 2) and drawn.min() >= 0 and drawn.max() < 1
    assert abs(float(drawn.mean()) - 0.5) < 0.05


def test_it_trains_and_is_evaluated_before_pictures(root: Path) -> None:
    pytest.importorskip("gym_pusht")
    threads = torch.get_num_threads()
    perform("train", overrides(root))
    run = root / "runs" / "ambient" / "seed-0"
    assert load_policy(run).spec.cameras == {"pixels": (96, 96, 3)}
    perform("evaluate", [f"run={run}", "episodes=2", "threads=1"])
    torch.set_num_threads(threads)
    episodes = read_episodes(run / "evaluation" / "episodes.jsonl")
    assert [episode.failure for episode in episodes] == ["time", "time"]
