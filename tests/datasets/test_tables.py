"""Tables: disk and memory hold the same numbers, and several are one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from hypothesis import given
from hypothesis import strategies as st

from ambient_datasets import tables
from ambient_datasets.formats import open_any
from ambient_datasets.statistics import Statistics, table_statistics
from ambient_datasets.store import Attributes, Episode, Store, append_episode, open_store
from ambient_datasets.tables import DiskTable, JoinedTable, MemoryTable
from ambient_datasets.windows import Windows
from ambient_policy.batch import Draw
from ambient_policy.errors import DataError
from ambient_policy.horizons import Horizons
from ambient_policy.settings import Tables, Trust
from tests.datasets.mixtures import join_sources, make_source
from tests.datasets.stores import described, write_v2

MakeStore = Callable[..., Store]
Describe = Callable[..., Attributes]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ambient_policy" / "tables"


@pytest.fixture
def pair(make_store: MakeStore) -> tuple[Store, Store]:
    """One store of 13 rows, its tables in memory and on disk."""
    store = make_store("a", (3, 5, 4, 1))
    return store, open_store(store.path, Tables.disk)


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.npy"))


def test_disk_and_memory_hold_the_same(
    pair: tuple[Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BLOCK", 4)
    memory, disk = pair
    rows = np.random.default_rng(0).integers(0, 13, (5, 3))
    for name in ("observation_table", "action_table"):
        one, other = getattr(memory, name), getattr(disk, name)
        assert isinstance(one, MemoryTable) and isinstance(other, DiskTable)
        assert (one.in_memory, other.in_memory) == (True, False)
        assert one.shape == other.shape
        np.testing.assert_array_equal(one.whole(), other.whole())
        np.testing.assert_array_equal(one.read(rows), other.read(rows))
        assert other.read(rows).shape == (5, 3, one.shape[1])
        assert [b.shape for b in one.blocks()] == [b.shape for b in other.blocks()]
        assert [len(b) for b in one.blocks()] == [4, 4, 4, 1]
        np.testing.assert_array_equal(np.concatenate(list(other.blocks())), one.whole())
        assert not other.whole().flags.writeable and not one.whole().flags.writeable
        assert other.head(7).shape == one.head(7).shape == (7, one.shape[1])
        np.testing.assert_array_equal(other.head(7).whole(), one.whole()[:7])
    np.testing.assert_array_equal(disk.observations(), memory.observations())


def test_no_rows_are_no_numbers(pair: tuple[Store, Store]) -> None:
    for store in pair:
        assert store.action_table.read(np.empty((0, 4), np.int64)).shape == (0, 4, 2)


@pytest.mark.parametrize("row", [-1, 13])
def test_rows_that_are_not_there(pair: tuple[Store, Store], row: int) -> None:
    for store in pair:
        with pytest.raises(DataError, match=f"row {row} was asked for, but there are 13"):
            store.action_table.read(np.array([[0, row]]))
    with pytest.raises(DataError, match="row 7 was asked for, but there are 7"):
        pair[1].action_table.head(7).read(np.array([7]))


def test_opening_reads_no_number_and_reading_unpacks_once(make_store: MakeStore) -> None:
    store = make_store("a")
    chunk = store.path / "data/action/c/0/0"
    hidden = chunk.rename(store.path / "hidden")
    disk = open_store(store.path, Tables.disk)
    hidden.rename(chunk)
    disk.action_table.read(np.array([0]))
    chunk.write_bytes(b"")
    assert disk.action_table.read(np.array([1])).tolist() == store.actions()[1:2].tolist()


def test_what_is_wrong_is_told_at_the_first_reading(make_store: MakeStore, cache: Path) -> None:
    store = make_store("a")
    array: Any = zarr.open_array(str(store.path / "data/action"), mode="r+")
    array[6, 1] = np.nan
    disk = open_store(store.path, Tables.disk)
    disk.observation_table.read(np.array([0]))
    for _ in range(2):  # and again: nothing half made is left
        with pytest.raises(DataError, match="data/action: episode 1: step 3, dimension 'target_y'"):
            disk.action_table.read(np.array([0]))
    assert len(files(cache)) == 1


def test_the_block_at_fault_is_named_by_its_rows(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store("a", (4000, 4000, 4000))
    (store.path / "data/action/c/2/0").write_bytes(b"no chunk")
    monkeypatch.setattr(tables, "BLOCK", 100)
    disk = open_store(store.path, Tables.disk)
    text = "data/action: episode 2: chunk file 'c/2/0' is truncated or corrupt"
    with pytest.raises(DataError, match=text):
        disk.action_table.whole()


def test_a_store_that_grew_is_unpacked_anew(pair: tuple[Store, Store], cache: Path) -> None:
    memory, disk = pair
    disk.observation_table.read(np.array([0]))
    more = Episode(np.full((2, 3), 7.0, np.float32), np.full((2, 2), 7.0, np.float32))
    append_episode(memory.path, more)
    grown = open_store(memory.path, Tables.disk).observations()
    assert len(grown) == 15 and (grown[13:] == 7).all() and len(files(cache)) == 2


def test_a_file_that_was_deleted_is_made_again_and_a_changed_one_refused(
    pair: tuple[Store, Store], cache: Path
) -> None:
    table = pair[1].action_table
    table.read(np.array([0]))
    (file,) = files(cache)
    file.unlink()
    np.testing.assert_array_equal(table.whole(), pair[0].actions())
    os.truncate(file, file.stat().st_size - 1)
    with pytest.raises(DataError, match=r"somebody has changed this file. Delete it"):
        table.read(np.array([0]))


def test_diffusion_policys_columns_from_disk(
    tmp_path: Path, describe: Describe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BLOCK", 6)
    random = np.random.default_rng(0)
    arrays = {
        "data/state": random.random((10, 2)),
        "data/keypoint": random.random((10, 2, 2)).astype(np.float32),
        "data/action": random.random((10, 2)).astype(np.float32),
        "meta/episode_ends": np.array([4, 10]),
    }
    path, keys = tmp_path / "a.zarr", {"observation_keys": ["state", "keypoint"]}
    write_v2(path, arrays)

    def opened(where: Tables) -> Store:
        return open_any(described(path, describe(), **keys, observation_columns=[5, 0, 2]), where)

    np.testing.assert_array_equal(
        opened(Tables.disk).observations(), opened(Tables.memory).observations()
    )
    np.testing.assert_array_equal(opened(Tables.disk).actions(), arrays["data/action"])
    source = described(path, describe(), **keys, observation_columns=[0, 1, 2])
    other = open_any(source, Tables.disk)
    assert not np.array_equal(other.observations(), opened(Tables.disk).observations())


def test_a_lost_chunk_of_diffusion_policy_is_told(tmp_path: Path, describe: Describe) -> None:
    numbers = np.ones((10, 3), np.float32)
    arrays = {"data/state": numbers, "data/action": numbers[:, :2]}
    write_v2(tmp_path / "a.zarr", {**arrays, "meta/episode_ends": np.array([4, 10])})
    (tmp_path / "a.zarr/data/action/1.0").unlink()
    disk = open_any(described(tmp_path / "a.zarr", describe()), Tables.disk)
    with pytest.raises(DataError, match="data/action: episode 1: chunk file '1.0' is lost"):
        disk.actions()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_joined_tables_are_their_parts_in_their_places(lengths: list[int], data: Any) -> None:
    width, parts, places = 4, [], []
    firsts = np.array([sum(lengths[:i]) for i in range(len(lengths))])
    expected = np.zeros((sum(lengths), width), np.float32)
    for first, n in zip(firsts, lengths, strict=True):
        place = np.array(data.draw(st.permutations(range(width))))[: data.draw(st.integers(1, 4))]
        values = np.arange(n * len(place), dtype=np.float32).reshape(n, -1) + 100 * first + 1
        expected[first : first + n, place] = values
        parts.append(MemoryTable(values))
        places.append(place)
    joined = JoinedTable(tuple(parts), firsts, tuple(places), width)
    assert joined.shape == expected.shape and joined.in_memory
    np.testing.assert_array_equal(joined.whole(), expected)
    rows = np.array(data.draw(st.lists(st.integers(0, sum(lengths) - 1), max_size=9)), np.int64)
    np.testing.assert_array_equal(joined.read(rows), expected[rows])
    np.testing.assert_array_equal(joined.read(rows[:, None]), expected[rows[:, None]])
    with pytest.raises(DataError, match="was asked for, but there are"):
        joined.read(np.array([sum(lengths)]))


def test_the_only_part_of_a_whole_is_not_copied() -> None:
    values = np.ones((3, 2), np.float32)
    joined = JoinedTable((MemoryTable(values),), np.array([0]), (np.arange(2),), 2)
    assert np.shares_memory(joined.whole(), values)


@pytest.mark.parametrize(("sketch", "kept"), [(True, "counts.npz"), (False, "sums.npz")])
def test_statistics_of_a_table_are_those_of_its_numbers_and_kept_for_disk(
    pair: tuple[Store, Store],
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    sketch: bool,
    kept: str,
) -> None:
    sought = Statistics.of(pair[0].observations())
    for store in pair:
        found = table_statistics(store.observation_table, sketch=sketch)
        assert found.count == sought.count
        for name in ("mean", "square", "low", "high"):
            np.testing.assert_array_equal(getattr(found, name), getattr(sought, name))
        if sketch:
            assert found.quantile(0.3).tolist() == sought.quantile(0.3).tolist()
        else:
            assert found.sketch is None
    monkeypatch.setattr(Statistics, "of", None)
    table = open_store(pair[0].path, Tables.disk).observation_table
    found = table_statistics(table, sketch=sketch)
    assert found.low.dtype == np.float32 and found.low.tolist() == sought.low.tolist()
    assert (found.sketch is not None) is sketch
    (file,) = cache.glob("*.npz")
    file.write_bytes(b"broken")
    with pytest.raises(DataError, match=rf"{kept}: cannot be read .*Delete it"):
        table_statistics(table, sketch=sketch)


def test_windows_are_the_same_from_disk(make_store: MakeStore) -> None:
    stores = [make_store("a", (3, 5, 4)), make_store("b", (6, 2))]
    batches = []
    for tables_ in Tables:
        opened = [open_store(store.path, tables_) for store in stores]
        sources = [make_source(s.path.stem, s, trust=Trust.trusted) for s in opened]
        window = np.array([19, 0, 7, 7, 11, 12])
        draw = Draw(window, np.ones(6), np.full(6, 0.5))
        batches.append(Windows(join_sources(sources), Horizons(3, 5, 1), seed=0).gather(draw))
    memory, disk = batches
    assert torch.equal(memory.observations["state"], disk.observations["state"])
    for name in ("actions", "kept_noise", "is_pad"):
        assert torch.equal(getattr(memory, name), getattr(disk, name))


def test_only_the_first_episodes_of_a_store_are_the_mixtures(make_store: MakeStore) -> None:
    store = open_store(make_store("a", (3, 5, 4)).path, Tables.disk)
    source = make_source("a", store, trust=Trust.trusted, max_episodes=2)
    mixture = join_sources([source])
    assert mixture.observations.shape == (8, 3)
    np.testing.assert_array_equal(mixture.observations.whole(), store.observations()[:8])
