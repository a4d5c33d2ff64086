"""LeRobotDatasets that we write, field by field against the published v3.0 layout.

The real file of shared/data is an example of that layout; where AMBIENT_LEROBOT_PYTHON names a
python that has lerobot, its own loader reads what we wrote.
"""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ambient_datasets.export import export, make_target
from ambient_datasets.store import open_store
from tests.datasets.walks import INSTRUCTIONS, LENGTHS, SIZE, distance, write_walks

REAL = Path(__file__).parents[3] / "shared/data/lerobot_v30_pusht"
needs_real = pytest.mark.skipif(not REAL.exists(), reason="no real files on this machine")
PYTHON = os.environ.get("AMBIENT_LEROBOT_PYTHON")
CAMERA = "observation.images.front"
LIST, DATA = (f"{folder}/chunk-000/file-000.parquet" for folder in ("meta/episodes", "data"))
STATISTICS = ("min", "max", "mean", "std", "count")


def write(folder: Path, **options: Any) -> Path:
    store = write_walks(folder / "walks.zarr", smooth="video" in options)
    export(store, make_target("lerobot", **options), folder / "set")
    return folder / "set"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with pictures."""
    return write(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One with a video."""
    return write(tmp_path_factory.mktemp("video"), video=True, crf=4)


def info_of(folder: Path) -> dict[str, Any]:
    info: dict[str, Any] = json.loads((folder / "meta/info.json").read_text())
    return info


def test_info_says_what_there_is(written: Path) -> None:
    info = info_of(written)
    counts = {"total_episodes": 4, "total_frames": sum(LENGTHS), "total_tasks": 3, "fps": 10}
    assert info.items() >= {**counts, "codebase_version": "v3.0", "chunks_size": 1000}.items()
    assert info["splits"] == {"train": "0:4"} and info["video_path"] is None
    assert info["data_path"].format(chunk_index=0, file_index=0) == DATA
    features = info["features"]
    assert features["observation.state"] == {
        "dtype": "float32",
        "shape": [3],
        "names": ["x", "y", "angle"],
    }
    assert features[CAMERA] == {
        "dtype": "image",
        "shape": [*SIZE, 3],
        "names": ["height", "width", "channels"],
    }


@needs_real
def test_info_has_the_fields_of_a_published_one(filmed: Path) -> None:
    ours, real = info_of(filmed), info_of(REAL)
    assert ours.keys() == real.keys()
    for key in ("codebase_version", "chunks_size", "data_path", "video_path"):
        assert ours[key] == real[key]
    for key in ("episode_index", "frame_index", "timestamp", "index", "task_index"):
        published = real["features"][key]
        assert ours["features"][key] == {k: published[k] for k in ("dtype", "shape", "names")}
    for key in ours["features"]:
        assert {"dtype", "shape", "names"} <= ours["features"][key].keys()


@needs_real
def test_the_list_of_episodes_has_the_columns_of_a_published_one(filmed: Path) -> None:
    ours, real = pq.read_schema(filmed / LIST), pq.read_schema(REAL / LIST)
    for name, kind in zip(real.names, real.types, strict=True):
        renamed = name.replace("observation.image/", f"{CAMERA}/")
        if "next." not in name:  # rewards and ends, which a store does not have
            assert ours.field(renamed).type == kind, name
    extra = {name.rpartition("/")[0] for name in ours.names} - {"", "videos", "data"}
    assert all(name.startswith(("stats/", "videos/", "meta/", "data")) for name in extra)


@needs_real
def test_data_have_the_types_of_a_published_one(written: Path) -> None:
    ours, real = pq.read_schema(written / DATA), pq.read_schema(REAL / DATA)
    for name in real.names:
        if not name.startswith(("next.", "action", "observation.")):
            assert ours.field(name).type == real.field(name).type
    assert ours.field("observation.state").type.equals(pa.list_(pa.float32(), 3))
    assert ours.field("action").type == pa.float32()  # one column is a plain number
    features = [json.loads(s.metadata[b"huggingface"])["info"]["features"] for s in (ours, real)]
    assert features[0]["timestamp"] == features[1]["timestamp"]
    assert features[0]["observation.state"] == {**features[1]["observation.state"], "length": 3}
    assert features[0][CAMERA] == {"_type": "Image"}


@needs_real
def test_tasks_are_a_table_as_pandas_wrote_it(written: Path) -> None:
    ours, real = (pd.read_parquet(folder / "meta/tasks.parquet") for folder in (written, REAL))
    assert list(ours.columns) == list(real.columns) == ["task_index"]
    assert ours.index.dtype == real.index.dtype
    assert list(ours.index) == ["", *INSTRUCTIONS[1:3]]
    assert [ours.iloc[i].task_index for i in range(3)] == [0, 1, 2]


@needs_real
def test_statistics_have_the_names_and_shapes_of_published_ones(written: Path) -> None:
    ours, real = (json.loads((f / "meta/stats.json").read_text()) for f in (written, REAL))
    for name in STATISTICS:
        assert np.shape(ours["index"][name]) == np.shape(real["index"][name])
        pictures = ours[CAMERA][name], real["observation.image"][name]
        assert np.shape(pictures[0]) == np.shape(pictures[1])


def test_rows_of_the_list_lead_to_the_episodes(written: Path) -> None:
    rows = pq.read_table(written / LIST).to_pylist()
    data = pq.read_table(written / DATA).to_pandas()
    for i, row in enumerate(rows):
        span = slice(row["dataset_from_index"], row["dataset_to_index"])
        assert row["length"] == LENGTHS[i] == span.stop - span.start
        assert row["tasks"] == [INSTRUCTIONS[i] or ""]
        part = data[span]
        assert set(part.episode_index) == {i} and list(part.frame_index) == [*range(LENGTHS[i])]
        assert list(part["index"]) == [*range(span.start, span.stop)]
        np.testing.assert_array_equal(part.timestamp, np.float32(np.arange(LENGTHS[i]) / 10))
        state = np.stack(list(part["observation.state"]))
        np.testing.assert_array_equal(row["stats/observation.state/max"], state.max(0))


def test_no_json_holds_what_json_has_not(written: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} in JSON")

    for file in (written / "meta").glob("*.json"):
        json.loads(file.read_text(), parse_constant=refuse)


@pytest.mark.skipif(PYTHON is None, reason="AMBIENT_LEROBOT_PYTHON names no python with lerobot")
@pytest.mark.parametrize(("kind", "apart"), [("written", 0), ("filmed", 6)])
def test_lerobots_own_loader_reads_it(
    kind: str, apart: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(kind)
    script, out = Path(__file__).with_name("lerobot_loads.py"), tmp_path / "items.npz"
    places = {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "PATH": os.environ["PATH"]}
    subprocess.run([str(PYTHON), str(script), str(folder), str(out)], check=True, env=places)
    items = np.load(out)
    told = json.loads(str(items["told"]))
    assert (told["fps"], told["episodes"], told["cameras"]) == (10, 4, [CAMERA])
    first = 0
    for i, episode in enumerate(open_store(folder.with_name("walks.zarr")).episodes()):
        span = slice(first, first := first + len(episode))
        np.testing.assert_array_equal(items["observation.state"][span], episode.observations)
        np.testing.assert_array_equal(items["action"][span].reshape(-1, 1), episode.actions)
        pixels = np.rint(items[CAMERA][span] * 255).astype(np.uint8).transpose(0, 2, 3, 1)
        assert distance(pixels, episode.images["front"]) <= apart
        assert told["tasks"][span] == [INSTRUCTIONS[i] or ""] * len(episode)
        assert (told["from"][i], told["to"][i]) == (span.start, span.stop)
        assert items["pair_is_pad"][span][:, 1].tolist() == [False] * (len(episode) - 1) + [True]
