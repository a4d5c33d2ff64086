"""Replay buffers as the original's ReplayBuffer wants them, file by file and without zarr."""

import json
from pathlib import Path
from typing import Any

import numcodecs  # type: ignore[import-untyped]
import numpy as np
import pytest
from numpy.typing import NDArray

from ambient_datasets.export import export, make_target
from ambient_datasets.formats import open_any
from ambient_datasets.store import open_store
from ambient_policy.errors import DataError
from tests.datasets.stores import described
from tests.datasets.walks import LENGTHS, write_walks

REAL = Path(__file__).parents[3] / "shared/data/pusht_human_zarr/pusht_cchi_v7_replay.zarr"
KEYS = {"action": (1,), "state": (3,), "front": (16, 32, 3)}


@pytest.fixture
def replay(tmp_path: Path) -> Path:
    """A replay buffer in chunks of few rows."""
    store = write_walks(tmp_path / "walks.zarr")
    export(store, make_target("diffusion_policy"), tmp_path / "replay.zarr")
    return tmp_path / "replay.zarr"


def read(folder: Path) -> NDArray[Any]:
    """An array of zarr v2 by its specification: JSON, and chunks "i.0.0" packed by the codec."""
    meta = json.loads((folder / ".zarray").read_text())
    codec, shape = numcodecs.get_codec(meta["compressor"]), meta["chunks"]
    count = -(-meta["shape"][0] // shape[0])
    names = (".".join(map(str, (i, *[0] * (len(shape) - 1)))) for i in range(count))
    blocks = [
        np.frombuffer(codec.decode((folder / name).read_bytes()), meta["dtype"]) for name in names
    ]
    return np.concatenate([block.reshape(shape) for block in blocks])[: meta["shape"][0]]


def test_every_rule_of_the_original_holds(replay: Path) -> None:
    for folder in ("", "data", "meta"):
        assert json.loads((replay / folder / ".zgroup").read_text()) == {"zarr_format": 2}
    ends = read(replay / "meta/episode_ends")
    assert ends.dtype == np.dtype("<i8")
    np.testing.assert_array_equal(ends, np.cumsum(LENGTHS))
    assert {child.name for child in (replay / "data").iterdir() if child.is_dir()} == {*KEYS}
    for key, shape in KEYS.items():
        meta = json.loads((replay / "data" / key / ".zarray").read_text())
        assert meta["shape"] == [ends[-1], *shape]  # every length is the last end
        assert meta["chunks"][1:] == list(shape)  # only time is cut into chunks
        assert meta["chunks"][0] > 0 and meta["order"] == "C" and meta["filters"] is None
        assert meta["dtype"] == ("|u1" if key == "front" else "<f4")
        assert meta["compressor"]["id"] == "blosc"


@pytest.mark.skipif(not REAL.exists(), reason="no real files on this machine")
def test_arrays_are_described_as_in_the_original_file(replay: Path) -> None:
    ours, real = (
        json.loads((folder / "data/state/.zarray").read_text()) for folder in (replay, REAL)
    )
    assert ours.pop("dimension_separator", ".") == "."  # the default, said by newer writers
    assert ours.keys() == real.keys()
    for key in ours.keys() - {"shape", "chunks"}:
        assert ours[key] == real[key], key


def test_the_numbers_are_there_without_zarr(replay: Path) -> None:
    episodes = list(open_store(replay.with_name("walks.zarr")).episodes())
    for key, values in (
        ("state", [e.observations for e in episodes]),
        ("action", [e.actions for e in episodes]),
        ("front", [e.images["front"] for e in episodes]),
    ):
        np.testing.assert_array_equal(read(replay / "data" / key), np.concatenate(values))
    assert read(replay / "meta/sigma_min").tolist() == [0.0, 0.1, np.inf, 1 / 3]
    assert read(replay / "meta/sigma_max").tolist() == [np.inf, 0.0, 0.0, 0.05]
    assert read(replay / "meta/instruction").tolist() == [-1, 0, 1, -1]


@pytest.mark.parametrize("size", [1, 100, 5000])
def test_chunks_of_any_size_hold_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("ambient_datasets.formats.replay_write.CHUNK_BYTES", size)
    store = write_walks(tmp_path / "walks.zarr")
    export(store, make_target("diffusion_policy"), tmp_path / "replay.zarr")
    frames = np.concatenate([e.images["front"] for e in open_store(store).episodes()])
    np.testing.assert_array_equal(read(tmp_path / "replay.zarr/data/front"), frames)


def test_attributes_say_what_the_numbers_mean(replay: Path) -> None:
    text = (replay / ".zattrs").read_text()
    assert "Infinity" not in text and "NaN" not in text
    record = json.loads(text)
    meaning = record["ambient_policy"]
    assert meaning["observation_units"] == ["m", "m", "rad"] and meaning["control_rate"] == 10.0
    assert meaning["observation_keys"] == {"state": ["x", "y", "angle"]}
    assert meaning["cameras"] == {"front": "front"} and meaning["extra"] == {"seed": 7}
    assert record["annotation"] == {
        "sigma": "ve",
        "fingerprint": "0123456789abcdef",
        "folder": "meta",
    }


def lose(replay: Path) -> None:
    (replay / "meta/sigma_min/0").unlink()


def cut(replay: Path) -> None:
    chunk = replay / "meta/sigma_min/0"
    chunk.write_bytes(chunk.read_bytes()[:-1])


def lead_away(replay: Path) -> None:
    text = (replay / ".zattrs").read_text()
    (replay / ".zattrs").write_text(text.replace('"folder": "meta"', '"folder": "../elsewhere"'))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lose, "meta/sigma_min: chunk file '0' is lost"),
        (cut, "meta/sigma_min: chunk file '0' is truncated"),
        (lead_away, "attribute 'annotation': .*its folder must be 'meta'"),
    ],
)
def test_damaged_thresholds_are_told(replay: Path, damage: Any, text: str) -> None:
    damage(replay)
    attributes = open_store(replay.with_name("walks.zarr")).attributes
    with pytest.raises(DataError, match=text):
        open_any(described(replay, attributes))
