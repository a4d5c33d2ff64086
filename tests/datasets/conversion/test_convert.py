"""Conversion: the source's episodes in their order, continued after a stop, nothing twice."""

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.report import Conversion
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.store import Annotation, annotate_store, create_store, open_store
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError
from tests.datasets.stores import write_v2
from tests.datasets.test_store import crash_everywhere
from tests.holders import held_elsewhere
from tests.kills import Moment, kill

LENGTHS = [3, 1, 4, 2, 5]
ENDS = np.cumsum(LENGTHS)


def ask(**changes: Any) -> Recipe:
    values: dict[str, Any] = {
        "format": "diffusion_policy",
        "state": ("state",),
        "action": ("action",),
        "task": "push",
        "source": "human",
        "control_rate": 10.0,
        "cameras": {"top": "img"},
    }
    return Recipe(**{**values, **changes})


def write_source(path: Path, **changes: Any) -> None:
    rows = np.arange(1, ENDS[-1] + 1, dtype=np.float32)[:, None]
    frames = np.broadcast_to(rows.astype(np.uint8)[:, :, None, None], (ENDS[-1], 4, 4, 3))
    arrays = {"state": rows + [0.0, 0.25], "action": -rows, "img": frames.copy(), **changes}
    tables = {f"data/{key}": values for key, values in arrays.items()}
    write_v2(path, {**tables, "meta/episode_ends": ENDS})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_source(tmp_path / "source.zarr")
    return tmp_path / "source.zarr"


def run(source: Path, **changes: Any) -> Conversion:
    return run_to(source.parent / "out.zarr", source, **changes)


def run_to(out: Path, source: Path, **changes: Any) -> Conversion:
    return convert(ConvertSettings(str(source), str(out), **{"recipe": ask(), **changes}))


def stored_lengths(source: Path) -> list[int]:
    """The lengths stored, after a check that the rows are the source's."""
    out = source.parent / "out.zarr"
    if not out.exists():
        return []
    store = open_store(out)
    observed, acted = store.observations(), store.actions()
    np.testing.assert_array_equal(acted[:, 0], -observed[:, 0])
    frames = store.cameras["top"].read(np.arange(len(acted)))
    np.testing.assert_array_equal(frames[:, 0, 0, 0], observed[:, 0])
    return [int(length) for length in store.episode_lengths]


def test_all_of_it_arrives_once(source: Path) -> None:
    conversion = run(source)
    assert (conversion.episodes, conversion.rows, conversion.source_episodes) == (5, 15, 5)
    assert run(source) == conversion and stored_lengths(source) == LENGTHS
    store = open_store(conversion.out)
    np.testing.assert_array_equal(store.actions()[:, 0], -np.arange(1, 16))
    assert store.attributes.action_units == ("unknown",)


def test_it_says_what_was_kept_and_what_left(source: Path) -> None:
    text = str(run(source, max_episodes=3, leave_out=[1]))
    assert text.startswith(f"{source.parent / 'out.zarr'}:\n")
    assert "episodes: 3 of 5, 1 left by leave_out, 1 beyond max_episodes\n" in text
    assert "rows: 9, 0.00025 h at 10 Hz\n" in text
    assert "observation: state_0 [unknown], state_1 [unknown]\naction: action_0 [unknown]" in text
    assert "cameras: top\ninstructions: none\n" in text
    assert stored_lengths(source) == [3, 4, 2]


@pytest.mark.slow
def test_a_stop_at_any_write_loses_nothing(source: Path) -> None:
    def check(done: bool) -> None:
        lengths = stored_lengths(source)
        assert lengths == LENGTHS[: len(lengths)] and (not done or lengths == LENGTHS)

    def two_more() -> None:
        run(source, max_episodes=min(5, len(stored_lengths(source)) + 2))

    crash_everywhere(two_more, lambda done: check(False))
    crash_everywhere(two_more, lambda done: check(False))

    def the_rest() -> None:
        run(source)

    crash_everywhere(the_rest, check)


@pytest.mark.slow
def test_kills_lose_nothing(source: Path) -> None:
    for change in (2, 20, 40):
        kill(run, source, at=Moment(source.parent / "out.zarr", change))
        lengths = stored_lengths(source)
        assert lengths == LENGTHS[: len(lengths)]
    run(source)
    assert stored_lengths(source) == LENGTHS
    assert [file.name for file in source.parent.glob("*.partial")] == []


def test_more_may_be_asked_for_later_but_not_fewer(source: Path) -> None:
    run(source, max_episodes=2)
    run(source, max_episodes=4)
    assert stored_lengths(source) == LENGTHS[:4]
    with pytest.raises(DataError, match="holds 4 episodes already.*Ask for at least as many"):
        run(source, max_episodes=3)


def test_a_faulty_episode_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    state = np.ones((15, 2), np.float32)
    state[5] = np.inf  # episode 2
    write_source(tmp_path / "source.zarr", state=state, action=-state[:, :1].clip(max=1))
    source = tmp_path / "source.zarr"
    recipe = ask(cameras={})
    text = "data/state: episode 2: step 1.*the 2 before it are stored in.*add 2 to leave_out"
    for _ in range(2):
        with pytest.raises(DataError, match=text):
            run(source, recipe=recipe)
    conversion = run(source, recipe=recipe, leave_out=[2])
    assert (conversion.episodes, conversion.excluded) == (4, 1)
    assert open_store(conversion.out).attributes.extra["left_out"] == [2]
    with pytest.raises(DataError, match="holds 4 episodes already, .* leave out only later ones"):
        run(source, recipe=recipe, leave_out=[1])


def test_a_fault_in_the_first_episode_binds_no_store(tmp_path: Path) -> None:
    state = np.ones((15, 2), np.float32)
    state[0] = np.nan
    write_source(tmp_path / "source.zarr", state=state)
    with pytest.raises(DataError, match="data/state: episode 0: step 0.*nothing was written"):
        run(tmp_path / "source.zarr")
    assert not (tmp_path / "out.zarr").exists()


def test_an_empty_store_of_other_settings_is_begun_anew(source: Path) -> None:
    out = source.parent / "out.zarr"
    run(source, recipe=ask(control_rate=5.0))
    attributes = open_store(out).attributes
    shutil.rmtree(out)
    create_store(out, attributes, {"top": (4, 4, 3)})
    assert run(source).episodes == 5
    assert open_store(out).attributes.control_rate == 10 and stored_lengths(source) == LENGTHS


@pytest.mark.parametrize(
    "changes",
    [
        {"recipe": ask(control_rate=5.0)},
        {"recipe": ask(cameras={})},
        {"recipe": ask(action_names=("push",))},
    ],
)
def test_another_conversion_is_not_continued(source: Path, changes: Any) -> None:
    run(source, max_episodes=1)
    with pytest.raises(DataError, match="this store was converted from .* was asked for. Ask for"):
        run(source, **changes)
    assert stored_lengths(source) == LENGTHS[:1]


def test_a_store_of_other_origin_is_not_touched(source: Path, describe: Any) -> None:
    create_store(source.parent / "out.zarr", describe())
    with pytest.raises(DataError, match="out.zarr: this store was not converted from anything"):
        run(source)


def test_a_source_that_changed_is_refused(source: Path) -> None:
    run(source, max_episodes=1)
    rows = np.ones((15, 3), np.float32)
    write_v2(source.parent / "new.zarr", {"data/state": rows})
    os.rename(source / "data/state", source / "data/old")
    os.rename(source.parent / "new.zarr/data/state", source / "data/state")
    with pytest.raises(DataError, match="has changed since this store was begun"):
        run(source)


def test_two_processes_do_not_fill_one_store(source: Path) -> None:
    run(source, max_episodes=1)
    with (
        held_elsewhere(source.parent / "out.zarr"),
        pytest.raises(SettingsError, match="is being worked on by another process"),
    ):
        run(source)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"max_episodes": 0}, "max_episodes = 0, .*has 5 episodes. Give at least 1"),
        ({"leave_out": [5]}, r"leave_out = \[5\]: the source has 5 episodes.*from 0 to 4"),
        ({"leave_out": [0, 1, 2, 3, 4]}, "none of 5 episodes is left"),
        ({"recipe": ask(state=("pose",))}, "data/pose: missing"),
        ({"recipe": ask(cameras={"a-b": "img"})}, "camera 'a-b': give a name of letters"),
    ],
)
def test_what_makes_no_sense_writes_nothing(source: Path, changes: Any, text: str) -> None:
    with pytest.raises(AmbientPolicyError, match=text):
        run(source, **changes)
    assert not (source.parent / "out.zarr").exists()


def test_out_is_a_folder_of_its_own(source: Path, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    for out, text in (
        (source / "inside.zarr", "lies in .*, which is only read"),
        (source, "lies in .*, which is only read"),
        (file, "a file lies here, and a store is a folder"),
        (Path("/proc/nowhere/out.zarr"), "could not be written"),
    ):
        with pytest.raises(AmbientPolicyError, match=text):
            run_to(out, source)
    assert file.read_text() == "mine" and not (source / "inside.zarr").exists()


def test_a_complete_store_may_be_annotated_and_asked_for_again(source: Path) -> None:
    out = source.parent / "out.zarr"
    episodes = run_to(out, source, max_episodes=2).episodes
    annotate_store(out, Annotation(np.zeros(episodes), np.ones(episodes), "of a normaliser"))
    again = run_to(out, source, max_episodes=2)
    assert again.episodes == episodes and open_store(out).annotation is not None
    with pytest.raises(DataError, match="annotated, and a new episode"):
        run_to(out, source)
