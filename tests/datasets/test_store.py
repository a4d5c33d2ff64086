"""The store: what goes in comes out, whole episodes only, wherever the writer is stopped."""

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.layout import CHUNK_ROWS, ENDS, forget_ends, lengthened, read_ends
from ambient_datasets.store import (
    Annotation,
    Appender,
    Attributes,
    Episode,
    Store,
    annotate_store,
    append_episode,
    create_store,
    open_store,
    update_extra,
)
from tests.kills import Moment, Worked, kill

MakeStore = Callable[..., Store]
Describe = Callable[..., Attributes]


def constant(length: int, number: int) -> Episode:
    rows = np.full((length, 3), number, np.float32)
    return Episode(rows, rows[:, :2])


def test_what_goes_in_comes_out(tmp_path: Path, describe: Describe) -> None:
    rng = np.random.default_rng(0)
    attributes = describe(extra={"planner": "GCS", "discarded": 3, "nested": {"a": [1, 2.5, None]}})
    create_store(tmp_path / "a.zarr", attributes)
    tables = [rng.normal(size=(t, 5)).astype(np.float32) for t in (1, 5000, 40)]
    episodes = [Episode(table[:, :3], table[:, 3:]) for table in tables]
    appender = Appender(tmp_path / "a.zarr")
    for episode in episodes:
        appender.append(episode)
    store = open_store(tmp_path / "a.zarr")
    assert store.attributes == attributes
    assert store.episode_ends.tolist() == [1, 5001, 5041]
    assert store.episode_lengths.tolist() == [1, 5000, 40]
    assert store.annotation is None
    assert store.observations().dtype == store.actions().dtype == np.float32
    np.testing.assert_array_equal(
        store.observations(), np.concatenate([e.observations for e in episodes])
    )
    np.testing.assert_array_equal(store.actions(), np.concatenate([e.actions for e in episodes]))


def test_an_empty_store_opens(tmp_path: Path, describe: Describe) -> None:
    create_store(tmp_path / "a.zarr", describe())
    store = open_store(tmp_path / "a.zarr")
    assert len(store) == 0 and store.observations().shape == (0, 3)


def test_the_layout_is_the_documented_one(make_store: MakeStore) -> None:
    store = make_store("a")
    annotate_store(store.path, Annotation(np.zeros(3), np.full(3, np.inf), "abc"))
    group = zarr.open_group(str(store.path), mode="r")
    arrays = {name: node for name, node in group.members(None) if isinstance(node, zarr.Array)}
    assert {name: (array.shape, str(array.dtype)) for name, array in arrays.items()} == {
        "data/observation.state": ((10, 3), "float32"),
        "data/action": ((10, 2), "float32"),
        "meta/episode_ends": ((3,), "int64"),
        "meta/instruction": ((3,), "int64"),
        "meta/sigma_min": ((3,), "float64"),
        "meta/sigma_max": ((3,), "float64"),
    }
    record: Any = group.attrs["annotation"]
    assert (record["sigma"], record["fingerprint"]) == ("ve", "abc")


def test_extra_is_updated_entry_by_entry(make_store: MakeStore) -> None:
    store = make_store("a", extra={"seed": 1})
    update_extra(store.path, discarded=7)
    assert open_store(store.path).attributes.extra == {"seed": 1, "discarded": 7}


def test_an_annotation_comes_back_and_is_replaced(make_store: MakeStore) -> None:
    store = make_store("a")
    for low, fingerprint in ((0.5, "one"), (np.inf, "two")):
        annotate_store(store.path, Annotation(np.full(3, low), np.arange(3.0), fingerprint))
        annotation = open_store(store.path).annotation
        assert annotation is not None and annotation.fingerprint == fingerprint
        assert annotation.sigma_min.tolist() == [low] * 3
        assert annotation.sigma_max.tolist() == [0, 1, 2]


def test_a_zipped_store_opens(make_store: MakeStore, tmp_path: Path) -> None:
    store = make_store("a")
    archive = shutil.make_archive(str(tmp_path / "b.zarr"), "zip", store.path)
    np.testing.assert_array_equal(open_store(archive).actions(), store.actions())


class Crash(Exception):
    """Stands for a process that is killed at this write."""


def crash_at(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """Let the next files be replaced, but not the one of this number (nor any later one)."""
    replace, count = Path.replace, iter(range(10**6))

    def counted(self: Path, target: Any) -> Path:
        if next(count) >= write:
            raise Crash
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", counted)


def crash_at_any_step(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """The same, and renamed and removed files and folders count too."""
    count = iter(range(10**6))

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def stopped(*args: Any, **kwargs: Any) -> Any:
            if next(count) >= step:
                raise Crash
            return call(*args, **kwargs)

        return stopped

    for owner, name in ((os, "replace"), (os, "rename"), (os, "unlink"), (os, "rmdir")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))


def crash_everywhere(
    act: Callable[[], None],
    check: Callable[[bool], None],
    crash: Callable[[pytest.MonkeyPatch, int], None] = crash_at,
) -> int:
    """Stop an action at its first write, its second, ..., until it comes to its end."""
    for write in range(500):
        with pytest.MonkeyPatch.context() as patch:
            crash(patch, write)
            try:
                act()
                done = True
            except Crash:
                done = False
        check(done)
        if done:
            return write
    raise AssertionError("the action never ends")


def test_an_append_stopped_at_any_write_changes_nothing(make_store: MakeStore) -> None:
    store = make_store("a", (3, 4094))  # the next episode fills up one chunk and begins another
    ours = constant(9, 7)

    def check(done: bool) -> None:
        now = open_store(store.path)
        assert now.episode_lengths.tolist() == [3, 4094] + [9] * done
        np.testing.assert_array_equal(now.actions()[:4097], store.actions())
        np.testing.assert_array_equal(now.observations()[:4097], store.observations())

    assert crash_everywhere(lambda: append_episode(store.path, ours), check) >= 6
    assert (open_store(store.path).actions()[4097:] == 7).all()


def prepare_many(path: Path, episodes: int, grown: bool) -> None:
    """After one episode so many more in flight, over several chunk files of the ends."""
    group = zarr.open_group(str(path), mode="r+")
    ends: Any = group[ENDS]
    ends.resize((2,))
    lengthened(ends, episodes + 1)[1:] = [-1, *range(10, 10 + episodes - 1)]
    if grown:
        ends.resize((episodes + 1,))


def test_many_ends_prepared_are_forgotten_though_a_file_of_them_is_missing(
    make_store: MakeStore,
) -> None:
    path = make_store("a", lengths=(5,)).path
    prepare_many(path, 3 * CHUNK_ROWS, grown=False)
    (path / ENDS / "c" / "1").unlink()  # killed while three files were written at once
    Appender(path)
    ends: Any = zarr.open_group(str(path), mode="r+")[ENDS]
    ends.resize((3 * CHUNK_ROWS,))
    assert ends[0] == 5 and (ends[1:] == -1).all()


def test_ends_are_forgotten_whole_or_not_at_all(make_store: MakeStore) -> None:
    path = make_store("a", lengths=(5,)).path
    prepare_many(path, 3 * CHUNK_ROWS, grown=True)

    def forget() -> None:
        forget_ends(zarr.open_array(str(path / ENDS), mode="r+"), path, 1)

    def check(done: bool) -> None:
        ends, unfinished = read_ends(zarr.open_group(str(path)), path)
        assert ends.tolist() == [5] and unfinished

    assert crash_everywhere(forget, check, crash_at_any_step) > 3


def test_a_longer_episode_in_flight_is_overwritten_by_a_shorter_one(make_store: MakeStore) -> None:
    store = make_store("a")
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, 6)
        with pytest.raises(Crash):
            append_episode(store.path, constant(9000, 1))
    append_episode(store.path, constant(2, 0))
    now = open_store(store.path)
    assert now.episode_lengths.tolist() == [3, 5, 2, 2]
    assert (now.actions()[-2:] == 0).all()


@pytest.mark.parametrize("first", [True, False])
def test_an_annotation_stopped_at_any_write_is_the_old_or_the_new(
    make_store: MakeStore, first: bool
) -> None:
    store = make_store("a")
    if not first:
        annotate_store(store.path, Annotation(np.full(3, 1.0), np.full(3, 1.0), "old"))
    seen = set()

    def check(done: bool) -> None:
        annotation = open_store(store.path).annotation
        value = {"old": 1.0, "new": 2.0}
        seen.add(None if annotation is None else annotation.fingerprint)
        if annotation is not None:
            both = {*annotation.sigma_min.tolist(), *annotation.sigma_max.tolist()}
            assert both == {value[annotation.fingerprint]}
        assert not done or (annotation is not None and annotation.fingerprint == "new")

    new = Annotation(np.full(3, 2.0), np.full(3, 2.0), "new")
    crash_everywhere(lambda: annotate_store(store.path, new), check)
    assert seen == ({None, "new"} if first else {"old", "new"})


def test_a_creation_stopped_at_any_write_can_be_repeated(
    tmp_path: Path, describe: Describe
) -> None:
    path = tmp_path / "a.zarr"

    def check(done: bool) -> None:
        assert path.exists() == done

    crash_everywhere(lambda: create_store(path, describe()), check)
    open_store(path)


KILLED_LENGTH = 700  # six episodes to a chunk, so that many a kill falls on a shared one


def append_for_ever(path: Path) -> None:
    appender = Appender(path)
    for number in range(len(open_store(path)), 10**6):
        appender.append(constant(KILLED_LENGTH, number))


def check_whole(path: Path) -> int:
    """Episode i holds nothing but the number i; how many there are."""
    store = open_store(path)
    assert (store.episode_lengths == KILLED_LENGTH).all()
    numbers = np.repeat(np.arange(len(store)), KILLED_LENGTH)
    assert (store.observations() == numbers[:, None]).all()
    assert (store.actions() == numbers[:, None]).all()
    return len(store)


def test_a_killed_writer_leaves_whole_episodes(tmp_path: Path, describe: Describe) -> None:
    path = tmp_path / "a.zarr"
    create_store(path, describe())
    for change in (52, 69):
        kill(append_for_ever, path, at=Moment(path, change))
        check_whole(path)
    assert check_whole(path) > 1


@pytest.mark.slow
def test_a_writer_killed_again_and_again_leaves_whole_episodes(
    tmp_path: Path, describe: Describe
) -> None:
    path = tmp_path / "a.zarr"
    create_store(path, describe())
    for change in range(40, 64):  # each of those that an append makes
        kill(append_for_ever, path, at=Moment(path, change))
        check_whole(path)
    delays = random.Random(0)
    for _ in range(20):
        kill(append_for_ever, path, at=Worked(0.05 + 0.15 * delays.random()))
        check_whole(path)
