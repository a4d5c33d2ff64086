"""Conversion in parts: the store of one process, whatever the workers, faults and kills."""

import os
import shutil
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.conversion import shards, transfer
from ambient_datasets.conversion.convert import convert
from ambient_datasets.conversion.parts import Part, parts_folder
from ambient_datasets.conversion.recipe import Recipe
from ambient_datasets.conversion.settings import ConvertSettings
from ambient_datasets.conversion.shards import Origin, fill, fill_in_parts
from ambient_datasets.conversion.transfer import join
from ambient_datasets.store import (
    Appender,
    Attributes,
    Episode,
    append_episode,
    create_store,
    open_store,
    update_extra,
)
from ambient_policy.errors import AmbientPolicyError, DataError, SettingsError
from ambient_policy.jobs import JobSettings
from tests.datasets.test_store import crash_at_any_step, crash_everywhere
from tests.datasets.tfrecords import episode, write_rlds
from tests.holders import held_elsewhere
from tests.kills import Moment, die_at, kill
from tests.samples import few

SCANDIR = os.scandir
# with chunks of 16 frames: within one, over several, to the end of one
LENGTHS = [3, 40, 1, 12, 16, 7, 35, 2, 20, 9]
WORDS = ["push it", "räume auf", "push it", "片付け", "lift"]
RECIPE = Recipe(
    format="rlds",
    state=["steps/observation/state"],
    action=["steps/action"],
    task="toy",
    source="human",
    cameras={"top": "steps/observation/top"},
    control_rate=5.0,
)


def write_source(folder: Path, lengths: Sequence[int] = LENGTHS, faulty: int | None = None) -> Path:
    """RLDS with so many episodes, one of them with a broken picture."""
    episodes = [episode(n, i, WORDS[i % len(WORDS)]) for i, n in enumerate(lengths)]
    if faulty is not None:
        episodes[faulty]["steps/observation/top"][0] = b"no picture"
    return write_rlds(folder, {"train": [episodes[:4], episodes[4:]]})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(tmp_path / "source")


def run(source: Path, name: str, **changes: Any) -> Path:
    """Convert into a store beside the source."""
    out = source.parent / f"{name}.zarr"
    jobs = JobSettings(workers=changes.pop("workers", 1))
    convert(ConvertSettings(str(source), str(out), **{"recipe": RECIPE, "jobs": jobs, **changes}))
    return out


def run_in_parts(
    source: Path,
    name: str,
    episodes: Sequence[int] = range(len(LENGTHS)),
    recipe: Recipe = RECIPE,
) -> Path:
    """The same in parts, but all in this process; the store has been begun."""
    out = source.parent / f"{name}.zarr"
    left = list(episodes)[Appender(out).episodes :]
    fill_in_parts(out, Origin(source, recipe), left, len(LENGTHS), JobSettings(workers=1))
    return out


def content(out: Path) -> dict[str, Any]:
    """All that a store says."""
    store, group = open_store(out), zarr.open_group(str(out), mode="r")
    frames: list[Any] = [group[f"data/observation.{name}"] for name in store.cameras]
    return {
        "attributes": store.attributes,
        "instructions": [store.instruction(i) for i in range(len(store))],
        "texts": store.instructions,
        "ends": store.episode_ends.tolist(),
        "observations": store.observations().tolist(),
        "actions": store.actions().tolist(),
        "frames": b"".join(array[: store.episode_ends[-1]].tobytes() for array in frames),
    }


def left_behind(out: Path) -> list[str]:
    """Whatever lies beside the store and the source."""
    known = {"source", "one.zarr", out.name}
    return [path.name for path in out.parent.iterdir() if path.name not in known]


@pytest.mark.parametrize("workers", few([2, 3], 1))
def test_any_number_of_workers_writes_the_same_store(source: Path, workers: int) -> None:
    out = run(source, "many", workers=workers)
    assert content(out) == content(run(source, "one"))
    assert left_behind(out) == []


@pytest.mark.parametrize("most", few([2, 1, 64], 1))
def test_any_number_of_parts_makes_the_same_store(
    source: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(shards, "SHARDS", most)
    run(source, "parts", max_episodes=1)
    assert content(run_in_parts(source, "parts")) == content(run(source, "one"))


def test_frames_are_moved_and_not_copied(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(source, "parts", max_episodes=1)
    monkeypatch.setattr(transfer, "_spans", None)  # copying would fail
    assert content(run_in_parts(source, "parts")) == content(run(source, "one"))


@pytest.mark.slow
def test_one_process_and_parts_take_turns(source: Path) -> None:
    run(source, "turns", max_episodes=3)
    run_in_parts(source, "turns", range(6))
    run(source, "turns", max_episodes=8)
    assert content(run_in_parts(source, "turns")) == content(run(source, "one"))


@pytest.mark.slow
def test_a_stop_at_any_write_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [3, 20, 14, 5]
    source = write_source(tmp_path / "source", lengths)
    monkeypatch.setattr(shards, "SHARDS", 2)
    one = content(run(source, "one"))
    run(source, "parts", max_episodes=1)

    def check(done: bool) -> None:
        stored = content(source.parent / "parts.zarr")
        count = len(stored["ends"])
        assert stored["ends"] == one["ends"][:count] and (not done or stored == one)
        assert stored["actions"] == one["actions"][: stored["ends"][-1]]
        assert one["frames"].startswith(stored["frames"])

    def act() -> None:
        run_in_parts(source, "parts", range(4))

    assert crash_everywhere(act, check) > 15  # writes of a join alone


def killed_while_moving(source: Path, name: str, episodes: Sequence[int]) -> Path:
    """A store of one episode, and parts of the rest whose first was being joined."""
    out = run(source, name, max_episodes=1)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(TypeError):
        patch.setattr(transfer, "_grow", None)
        run_in_parts(source, name, episodes)
    return out


def killed_before_joining(
    source: Path,
    name: str,
    episodes: Sequence[int] = range(len(LENGTHS)),
    recipe: Recipe = RECIPE,
) -> Path:
    """A store of one episode, and all parts of the rest."""
    out = run(source, name, recipe=recipe, max_episodes=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_join_ready", lambda *_: None)
        run_in_parts(source, name, episodes, recipe)
    return out


def again_from(out: Path, copies: Path) -> Callable[[], None]:
    """What lays a store and its parts back as they are now."""
    folders = {folder: copies / folder.name for folder in (out, parts_folder(out))}
    for folder, copy in folders.items():
        shutil.copytree(folder, copy)

    def lay_back() -> None:
        for folder, copy in folders.items():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(copy, folder)

    return lay_back


@pytest.mark.slow
def test_stops_of_many_and_of_one_in_turns_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(tmp_path / "here" / "source", [3, 20, 14, 5])
    monkeypatch.setattr(shards, "SHARDS", 1)
    one = content(run(source, "one"))
    out = killed_while_moving(source, "parts", range(4))
    lay_back = again_from(out, tmp_path / "copies")

    def by_one() -> None:
        run(source, "parts")

    def check(done: bool) -> None:
        assert content(run_in_parts(source, "parts", range(4))) == one
        lay_back()

    assert crash_everywhere(by_one, check, crash_at_any_step) > 15
    assert content(run(source, "parts")) == one
    assert left_behind(out) == []  # of removals that were stopped nothing either


@pytest.mark.slow
def test_one_process_keeps_the_work_of_many(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = killed_before_joining(source, "parts")
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_read", None)  # reading an episode again would fail
        patch.setattr("ambient_datasets.conversion.convert._read_episode", None)
        run(source, "parts")
    assert content(out) == content(run(source, "one"))
    assert left_behind(out) == []


@contextmanager
def in_order(folder: Any) -> Iterator[list[os.DirEntry[str]]]:
    with SCANDIR(folder) as entries:
        yield sorted(entries, key=lambda entry: entry.name)


@pytest.mark.slow
def test_a_stop_within_the_removal_of_a_part_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # numbers go before zarr.json, and no frame tells that files are missing
    monkeypatch.setattr(os, "scandir", in_order)
    recipe = replace(RECIPE, cameras={})
    source = write_source(tmp_path / "source", [3, 20, 14, 5])
    monkeypatch.setattr(shards, "SHARDS", 5)  # episodes 0-1, 2-3
    one = content(run(source, "one", recipe=recipe))
    out = killed_before_joining(source, "parts", range(4), recipe)
    lay_back = again_from(out, tmp_path / "copies")

    def ask_for_fewer() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(shards, "_convert", lambda *_: None)
            run_in_parts(source, "parts", range(2), recipe)  # the part of 2 and 3 is dropped

    def check(done: bool) -> None:
        assert content(run_in_parts(source, "parts", range(4), recipe)) == one
        lay_back()

    assert crash_everywhere(ask_for_fewer, check, crash_at_any_step) > 15


@pytest.mark.slow
def test_a_part_with_lost_numbers_is_refused_before_it_counts(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARDS", 2)  # episodes 0-4, 5-9
    out = killed_before_joining(source, "parts")
    part = parts_folder(out) / "000000005"
    (part / "data/action/c/0/0").unlink()
    with pytest.raises(DataError, match=r"lost.*nan.*delete the folder .*000000005 and start"):
        run_in_parts(source, "parts")
    assert open_store(out).episode_ends.tolist() == list(np.cumsum(LENGTHS[:5]))
    shutil.rmtree(part)
    assert content(run_in_parts(source, "parts")) == content(run(source, "one"))


def make_pair(folder: Path, rows: int, width: int, side: int) -> tuple[Path, Path]:
    """A store of 3 rows, and a part of so many that do not fit its chunks; frames if side > 0."""
    names, units = tuple(f"x{i}" for i in range(width)), ("1",) * width
    attributes = Attributes("toy", "human", 5.0, names, units, names, units)
    cameras = {"top": (side, side, 3)} if side else {}
    for name, length in (("store", 3), ("part", rows)):
        create_store(folder / name, attributes, cameras)
        table = np.full((length, width), length, np.float32)
        frames = {key: np.full((length, *shape), 7, np.uint8) for key, shape in cameras.items()}
        append_episode(folder / name, Episode(table, table, frames))
    return folder / "store", folder / "part"


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "width", "side"), [(200_000, 16, 0), (128, 1, 256)])
def test_the_memory_of_a_join_does_not_grow_with_the_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, width: int, side: int
) -> None:
    monkeypatch.setattr(transfer, "COPIED", 2**21)
    store, part = make_pair(tmp_path, rows, width, side)
    tracemalloc.start()
    join(store, part, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < max(rows * width * 4, rows * side**2 * 3) * 3 / 4
    joined = open_store(store)
    assert joined.episode_ends.tolist() == [3, 3 + rows]
    assert (joined.actions()[3:] == rows).all() and not part.exists()
    assert all((c.read(np.arange(3 + rows)) == 7).all() for c in joined.cameras.values())


@pytest.mark.parametrize("copied", [1, 2**12, 2**20])
def test_frames_are_copied_by_whole_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied: int
) -> None:
    monkeypatch.setattr(transfer, "COPIED", copied)
    array: Any = zarr.create_array(
        str(tmp_path / "frames"), shape=(205, 4, 4, 3), chunks=(16, 4, 4, 3), dtype=np.uint8
    )
    spans = list(transfer._spans(array, 19))
    assert [row for start, stop in spans for row in range(start, stop)] == [*range(19, 205)]
    assert all(start % 16 == 0 for start, _ in spans[1:])
    assert all((stop - start) * 48 <= max(copied, 16 * 48) for start, stop in spans)


@pytest.mark.parametrize("before", few([3, len(LENGTHS)], 1))
def test_frames_moved_by_a_killed_join_are_not_lost(
    source: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(shards, "SHARDS", 2)
    run(source, "parts", max_episodes=1)
    with monkeypatch.context() as patch, pytest.raises(TypeError):
        patch.setattr("ambient_datasets.conversion.transfer._grow", None)
        run_in_parts(source, "parts", range(before))
    assert len(open_store(source.parent / "parts.zarr")) == 1
    assert content(run_in_parts(source, "parts")) == content(run(source, "one"))


def test_what_a_killed_join_prepared_is_forgotten_by_the_next_append(source: Path) -> None:
    one = run(source, "one")
    out = run(source, "parts", max_episodes=2)
    ends: Any = zarr.open_group(str(out), mode="r+")["meta/episode_ends"]
    ends.resize((6,))
    ends[3:] = [44, 56, 72]  # as if episodes 2 to 5 were in flight
    assert len(open_store(out)) == 2
    run(source, "parts", max_episodes=3)
    assert zarr.open_group(str(out), mode="r+")["meta/episode_ends"].shape == (3,)  # type: ignore[union-attr]
    ends = zarr.open_group(str(out), mode="r+")["meta/episode_ends"]
    ends.resize((6,))
    assert ends[3:].tolist() == [-1, -1, -1]
    ends.resize((3,))
    run(source, "parts")
    assert content(out) == content(one)


@pytest.mark.slow
def test_a_fault_is_named_and_what_is_converted_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(tmp_path / "source", faulty=5)
    monkeypatch.setattr(shards, "SHARDS", 3)  # episodes 0-3, 4-7, 8-9
    with pytest.raises(DataError, match=r"train.*episode 5.*Episode 5 of .*add 5 to leave_out"):
        run(source, "parts", workers=2)
    with pytest.raises(DataError, match="add 5 to leave_out"):  # and here the order is known
        run_in_parts(source, "parts")
    out = tmp_path / "parts.zarr"
    assert open_store(out).episode_ends.tolist() == [3, 43, 44, 56]
    assert Appender(parts_folder(out) / "000000004").episodes == 2  # the filler, and episode 4
    update_extra(out, left_out=[5])
    run_in_parts(source, "parts", [i for i in range(len(LENGTHS)) if i != 5])
    stored = run(source, "parts", leave_out=[5])  # all is there; parts are cleared away
    assert content(stored) == content(run(source, "one", leave_out=[5]))
    assert left_behind(stored) == []


@pytest.mark.slow
def test_a_part_whose_place_has_changed_is_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_source(tmp_path / "source")
    monkeypatch.setattr(shards, "SHARDS", 2)
    run(source, "parts", max_episodes=1)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_join_ready", lambda *_: None)  # killed before the first join
        run_in_parts(source, "parts")
    chosen = [i for i in range(len(LENGTHS)) if i != 4]  # in the first part; it begins anew
    update_extra(source.parent / "parts.zarr", left_out=[4])
    out = run_in_parts(source, "parts", chosen)
    assert content(out) == content(run(source, "one", leave_out=[4]))


def test_more_episodes_may_be_asked_for_later(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SHARDS", 2)
    run(source, "parts", max_episodes=1)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_join_ready", lambda *_: None)  # killed before the first join
        run_in_parts(source, "parts", range(3))
    assert content(run_in_parts(source, "parts")) == content(run(source, "one"))


@pytest.mark.slow
def test_parts_of_a_store_that_is_gone_are_not_used(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(source, "parts", max_episodes=1)
    with monkeypatch.context() as patch:
        patch.setattr(shards, "_join_ready", lambda *_: None)
        run_in_parts(source, "parts")
    out = source.parent / "parts.zarr"
    assert parts_folder(out).is_dir()
    os.rename(out, source.parent / "gone.zarr")
    other = Recipe(**{**vars(RECIPE), "control_rate": 20.0})
    run(source, "parts", recipe=other, max_episodes=1)
    stored = run(source, "parts", recipe=other)
    assert content(stored) == content(run(source, "one", recipe=other))
    assert not parts_folder(out).exists()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"workers": 0}, "jobs.workers = 0: give at least 1"),
        ({"recipe": Recipe(**{**vars(RECIPE), "control_rate": 9.0})}, "was converted from"),
    ],
)
def test_what_makes_no_sense_starts_no_worker(
    source: Path, monkeypatch: pytest.MonkeyPatch, changes: Any, text: str
) -> None:
    run(source, "parts", max_episodes=1)
    monkeypatch.setattr(shards, "open_jobs", None)
    with pytest.raises(AmbientPolicyError, match=text):
        run(source, "parts", **{"workers": 2, **changes})


def test_two_conversions_do_not_fill_one_store(source: Path) -> None:
    run(source, "parts", max_episodes=1)
    with (
        held_elsewhere(source.parent / "parts.zarr"),
        pytest.raises(SettingsError, match="is being worked on by another process"),
    ):
        run(source, "parts", workers=2)


def convert_by_two(source: Path) -> Path:
    return run(source, "killed", workers=2)


def fill_and_die(origin: Origin, part: Part) -> None:
    """In a worker: it is killed when it has begun to fill a part."""
    die_at(Moment(part.folder, 40))
    fill(origin, part)


@pytest.mark.slow
def test_kills_of_parents_and_workers_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_source(tmp_path / "source", LENGTHS * 2), tmp_path / "killed.zarr"

    def check() -> None:
        stored = open_store(out)
        assert stored.episode_lengths.tolist() == (LENGTHS * 2)[: len(stored)]

    for moment in (Moment(parts_folder(out), 60), Moment(out, 100)):  # parts are laid, are joined
        kill(convert_by_two, source, at=moment)
        check()
    with monkeypatch.context() as patch, pytest.raises(SettingsError, match="a worker was killed"):
        patch.setattr(shards, "fill", fill_and_die)
        convert_by_two(source)
    check()
    kill(convert_by_two, source, at=Moment(out, 100))
    check()
    assert content(convert_by_two(source)) == content(run(source, "one"))
    assert left_behind(out) == []
