"""The picture of a store: nothing of it is lost, and little of it is read."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from ambient_datasets.store import (
    Attributes,
    Episode,
    Store,
    append_episode,
    create_store,
    open_store,
)
from ambient_policy.cli import perform
from ambient_policy.errors import AmbientPolicyError, DataError
from ambient_policy.settings import Tables
from ambient_policy.workflows.overview import BINS, histograms, overview, read_frames
from ambient_policy.workflows.picture import picture
from tests.datasets.stores import write_v2

LENGTHS = (7, 1, 12)
TEXTS = ("lift the cube", None, "lift the $cube$ again")


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are unpacked somewhere else than a user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three episodes of two and three columns, one of them constant; a camera; instructions."""
    path = tmp_path / "arm.zarr"
    units = ("rad", "rad"), ("m", "m", "1")
    named = Attributes("lift", "human", 5.0, ("a", "b"), units[0], ("x", "y", "grip"), units[1])
    create_store(path, named, {"front": (6, 8, 3)})
    rng = np.random.default_rng(0)
    for steps, text in zip(LENGTHS, TEXTS, strict=True):
        actions = rng.normal(size=(steps, 3)).astype(np.float32)
        actions[:, 2] = 1.0
        frames = rng.integers(0, 256, (steps, 6, 8, 3), dtype=np.uint8)
        seen = rng.normal(size=(steps, 2)).astype(np.float32)
        append_episode(path, Episode(seen, actions, {"front": frames}, text))
    return path


@pytest.fixture
def store(path: Path) -> Store:
    return open_store(path)


def words(figure: Figure) -> str:
    """Everything written on a figure."""
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    labels = [axes.get_xlabel() for axes in figure.axes]
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*(text.get_text() for text in figure.texts), *titles, *labels, *legends])


def test_histograms_count_every_row_of_every_column(store: Store) -> None:
    drawn = histograms(store.action_table)
    for histogram, column in zip(drawn, store.actions().T, strict=True):
        assert histogram.counts.sum() == sum(LENGTHS)
        assert len(histogram.counts) == BINS and len(histogram.edges) == BINS + 1
        assert histogram.edges[0] <= column.min() and histogram.edges[-1] >= column.max()
        expected, _ = np.histogram(column, histogram.edges)
        assert (histogram.counts == expected).all()
    assert drawn[2].edges.mean() == pytest.approx(1.0)  # the constant one


def test_an_overview_holds_the_episodes_as_they_lie_in_the_store(store: Store) -> None:
    shown = overview(store, [2, 1])
    assert [clip.episode for clip in shown.clips] == [2, 1]
    assert (shown.clips[0].observations == store.observations()[8:]).all()
    assert (shown.clips[1].actions == store.actions()[7:8]).all()
    assert shown.clips[0].steps == (0, 5, 11)
    rows = np.array([8, 13, 19])
    assert (shown.clips[0].frames["front"] == store.cameras["front"].read(rows)).all()
    assert sorted(shown.instructions, key=str) == sorted(((t, 1) for t in TEXTS), key=str)


def test_by_default_three_episodes_evenly_spread(store: Store) -> None:
    assert [clip.episode for clip in overview(store, []).clips] == [0, 1, 2]


def test_frames_are_read_from_their_chunks_alone(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = store.cameras["front"].read(np.array([3, 19]))
    monkeypatch.setattr("ambient_datasets.frames.Frames.read", None)
    assert (read_frames(store.cameras["front"], [3, 19]) == expected).all()


def test_a_lost_chunk_of_frames_is_no_black_picture(path: Path) -> None:
    shutil.rmtree(path / "data" / "observation.front" / "c")
    with pytest.raises(DataError, match=r"observation.front: .* is lost"):
        overview(open_store(path), [])


def test_numbers_are_read_block_by_block(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = overview(open_store(path), [])
    store = open_store(path, Tables.disk)
    monkeypatch.setattr("ambient_datasets.tables.DiskTable.whole", None)
    monkeypatch.setattr("ambient_datasets.tables.BLOCK", 3)
    shown = overview(store, [])
    for one, other in zip(expected.actions, shown.actions, strict=True):
        assert (one.counts == other.counts).all() and (one.edges == other.edges).all()


def test_the_figure_says_names_units_seconds_and_words(store: Store) -> None:
    text = words(picture(overview(store, [])))
    for part in (
        "arm.zarr",
        "task lift; source human; 3 episodes, 20 rows",
        "5 Hz",
        "2 observation columns",
        "3 action columns",
        "a [rad]",
        "grip [1]",
        "time [s]",
        "episode length: 0.2 to 2.4 s",
        "2 instructions",
        "1 ×  lift the $cube$ again",
        "1 ×  none",
        "front, episode 2",
        "front, 2.2 s",
        "episode 1",
    ):
        assert part in text, text


def test_long_episodes_say_that_they_are_drawn_at_every_nth_step(
    make_store: Callable[..., Path],
) -> None:
    store = open_store(make_store("long", episodes=1, steps=9000))
    assert "episode 0 (1 of 3 steps drawn)" in words(picture(overview(store, [])))


def test_the_script_draws_a_store_of_ours(path: Path, tmp_path: Path) -> None:
    for suffix in ("png", "svg", "pdf"):
        out = tmp_path / "pictures" / f"arm.{suffix}"
        perform("plot", [f"path={path}", f"out={out}", "episodes=[0,2]"])
        assert out.stat().st_size > 5000


def test_the_script_draws_a_diffusion_policy_store_in_place(tmp_path: Path) -> None:
    rng, path, out = np.random.default_rng(0), tmp_path / "replay.zarr", tmp_path / "replay.png"
    arrays = {"data/state": rng.random((9, 2)), "data/action": rng.random((9, 2))}
    write_v2(path, {**arrays, "meta/episode_ends": np.array([4, 9])})
    named = "attributes.observation_names=[x,y]", "attributes.observation_units=[px,px]"
    changes = [f"path={path}", "observation_columns=null", "cameras={}", *named]
    source = [f"sources.human.{change}" for change in changes]
    perform("plot", ["data=pusht_human", "source=human", f"out={out}", *source])
    assert out.stat().st_size > 5000


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ([], ["path = None, source = None", "data=pusht_human source=human"]),
        (["path={path}", "source=human"], ["source = human"]),
        (["path={path}", "out=picture.gif"], ["picture.gif", ".png, .pdf or .svg"]),
        (["path={path}", "episodes=[3]"], ["episodes = [3]", "episodes 0 to 2"]),
        (["path={path}", "episodes=[-1]"], ["episodes = [-1]"]),
        (["path=nowhere.zarr"], ["nowhere.zarr: there is no such store"]),
        (["data=pusht_human", "source=humn"], ["humn", "human"]),
        (["path={path}", "outt=x.png"], ["'outt'", "out"]),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_written(
    path: Path, tmp_path: Path, overrides: list[str], parts: list[str]
) -> None:
    given = [override.format(path=path) for override in overrides]
    if not any(one.startswith("out=") for one in given):
        given.append(f"out={tmp_path}/picture.png")
    with pytest.raises(AmbientPolicyError) as caught:
        perform("plot", given)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)
    assert [file for file in tmp_path.iterdir() if file != path] == []


def test_an_empty_store_is_refused(tmp_path: Path, store: Store) -> None:
    create_store(tmp_path / "empty.zarr", store.attributes)
    with pytest.raises(AmbientPolicyError, match="holds no episodes yet"):
        overview(open_store(tmp_path / "empty.zarr"), [])


def test_episodes_of_equal_length_are_one_bar(tmp_path: Path, store: Store) -> None:
    path = tmp_path / "equal.zarr"
    create_store(path, store.attributes)
    for _ in range(2):
        append_episode(path, Episode(np.eye(10, 2, dtype="f4"), np.eye(10, 3, dtype="f4")))
    figure = picture(overview(open_store(path), []))
    (axes,) = (a for a in figure.axes if a.get_xlabel() == "length [s]")
    bar: Any
    (bar,) = axes.patches
    assert axes.get_title(loc="left") == "every episode lasts 2 s"
    assert bar.get_x() + bar.get_width() / 2 == pytest.approx(2) and bar.get_height() == 2
