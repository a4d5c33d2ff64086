"""Replay buffers of diffusion_policy read episode by episode: as in place, or one clear error."""

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from ambient_datasets.demonstrations import Request
from ambient_datasets.formats import open_demonstrations, open_diffusion_policy, replay
from ambient_datasets.records import Attributes
from ambient_policy.errors import DataError
from tests.datasets.stores import described, write_v2
from tests.samples import few

PUSHT = Path(__file__).parents[3] / "shared/data/pusht_human_zarr/pusht_cchi_v7_replay.zarr"
ENDS = [3, 8, 10]


def ask(**changes: Any) -> Request:
    values: dict[str, Any] = {
        "format": "diffusion_policy",
        "state": ("keypoint", "state"),
        "action": ("action",),
        "task": "push",
        "source": "human",
        "cameras": {"top": "img"},
        "control_rate": 10.0,
    }
    return Request(**{**values, **changes})


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "data/state": rng.normal(size=(10, 3)).astype(np.float32),
        "data/action": rng.normal(size=(10, 2)).astype(np.float32),
        "data/keypoint": rng.normal(size=(10, 2, 2)),
        "data/img": rng.integers(1, 256, (10, 5, 4, 3)).astype(np.float32),
        "meta/episode_ends": np.array(ENDS, np.int64),
    }


def make_episodes() -> list[tuple[Any, Any, Any]]:
    """Observations, actions and frames of each episode as ``ask`` takes them of ``arrays``."""
    truth = arrays()
    points = truth["data/keypoint"].reshape(10, 4).astype(np.float32)
    whole = (
        np.concatenate([points, truth["data/state"]], axis=1),
        truth["data/action"],
        truth["data/img"].astype(np.uint8),
    )
    return [tuple(rows[a:b] for rows in whole) for a, b in zip([0, *ENDS], ENDS, strict=False)]  # type: ignore[misc]


EPISODES = make_episodes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_v2(tmp_path / "replay.zarr", arrays())
    return tmp_path / "replay.zarr"


def read(path: Path, request: Request) -> list[Any]:
    source = open_demonstrations(path, request)
    return [source.episode(i) for i in range(len(source))]


@pytest.mark.parametrize("zipped", [False, True])
def test_every_episode_is_its_rows(path: Path, zipped: bool) -> None:
    place = Path(shutil.make_archive(str(path), "zip", path)) if zipped else path
    episodes, truth = read(place, ask()), arrays()
    assert [len(episode) for episode in episodes] == [3, 5, 2]
    for episode, first, stop in zip(episodes, [0, *ENDS], ENDS, strict=False):
        rows = slice(first, stop)
        seen = [truth["data/keypoint"][rows].reshape(-1, 4), truth["data/state"][rows]]
        np.testing.assert_array_equal(
            episode.observations, np.concatenate(seen, axis=1).astype(np.float32)
        )
        np.testing.assert_array_equal(episode.actions, truth["data/action"][rows])
        np.testing.assert_array_equal(episode.images["top"], truth["data/img"][rows])


def test_columns_are_named_after_their_keys(path: Path) -> None:
    source = open_demonstrations(path, ask(action_units=("px", "px")))
    attributes = source.attributes
    names = (*(f"keypoint_{i}" for i in range(4)), "state_0", "state_1", "state_2")
    assert attributes.observation_names == names
    assert attributes.observation_units == ("unknown",) * 7
    assert (attributes.action_names, attributes.action_units) == (
        ("action_0", "action_1"),
        ("px", "px"),
    )
    assert source.cameras == {"top": (5, 4, 3)}


@pytest.mark.parametrize("zipped", [False, True])
def test_the_keys_are_all_of_data_even_those_no_codec_reads(path: Path, zipped: bool) -> None:
    record = json.loads((path / "data/img/.zarray").read_text())
    record["compressor"] = {"id": "imagecodecs_jpegxl"}
    (path / "data/img/.zarray").write_text(json.dumps(record))
    place = Path(shutil.make_archive(str(path), "zip", path)) if zipped else path
    source = open_demonstrations(place, ask(cameras={}))
    assert source.keys == ("action", "img", "keypoint", "state")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": ("pose",)}, "data/pose: missing; this store holds data/action, data/img"),
        ({"cameras": {"top": "state"}}, r"data/state: shape \(10, 3\).*Name an array of pictures"),
        ({"control_rate": None}, "control_rate: the file does not say.*Give"),
        ({"split": "train"}, "split = 'train': a replay buffer has no splits"),
        ({"action_names": ("x",)}, r"action_names: 1 given.*2 columns \(action_0, action_1\)"),
    ],
)
def test_what_the_file_has_not_is_refused(path: Path, changes: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        open_demonstrations(path, ask(**changes))


def nan(values: Any) -> Any:
    values = values.copy()
    values.flat[-1] = np.nan
    return values


FAULTS: list[tuple[str, Callable[[Any], Any], str]] = [
    ("data/state", nan, r"data/state: episode 2: step 1, column 2 is nan.*leave that episode out"),
    ("data/img", nan, "data/img: episode 2: row 9 holds nan, and pixels must be whole"),
    ("data/img", lambda v: v + 0.5, "data/img: episode 0: row 0 holds .*whole numbers"),
    (
        "data/keypoint",
        lambda v: v * 1e300,
        "data/keypoint: .* column 0 is .*e.299; finite",
    ),
    ("data/action", lambda v: v[:9], "data/action: episode 2: 9 rows, but meta/episode_ends ends"),
    ("data/action", lambda v: v.astype("S4"), "data/action: shape.*S4 given.*numbers needed"),
    ("data/action", lambda v: v.astype(int) + 2**24 + 9, "column 0 is 167.*up to 16777216"),
    ("data/action", lambda v: v[:, :0], "data/action: shape"),
    ("data/action", lambda v: v[:, 0], "data/action: shape"),
    ("meta/episode_ends", lambda v: v[:0], "meta/episode_ends: no episodes"),
    ("meta/episode_ends", lambda v: v[::-1].copy(), "meta/episode_ends: episode 1: ends at row 8"),
    ("meta/episode_ends", lambda v: v * 1.0, "meta/episode_ends: shape.*float64 given"),
]


@pytest.mark.parametrize(("key", "change", "text"), FAULTS)
def test_faults_are_named(
    tmp_path: Path, key: str, change: Callable[[Any], Any], text: str
) -> None:
    truth = arrays()
    write_v2(tmp_path / "b.zarr", {**truth, key: change(truth[key])})
    with pytest.raises(DataError, match=text):
        read(tmp_path / "b.zarr", ask())


def test_a_chunk_that_would_fill_the_memory_is_refused(path: Path) -> None:
    record = json.loads((path / "data/img/.zarray").read_text())
    record["chunks"] = [10**8, 5, 4, 3]
    (path / "data/img/.zarray").write_text(json.dumps(record))
    with pytest.raises(DataError, match="data/img: one chunk of shape .* would unpack to"):
        read(path, ask())


@pytest.mark.slow
def test_an_archive_that_would_fill_the_memory_is_refused(path: Path) -> None:
    archive = Path(shutil.make_archive(str(path), "zip", path))
    with (
        zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as file,
        file.open("data/bomb/0.0", "w") as member,
    ):
        for _ in range(1025):
            member.write(bytes(2**20))
    with pytest.raises(DataError, match="data/bomb/0.0: 1074790400 bytes unpacked, and such"):
        read(archive, ask())


def check_outcome(path: Path, *, exact: bool) -> None:
    """A damaged file is read rightly, or refused by its name.

    Blosc keeps no checksum of numbers: where one of its chunks is damaged they may be others.
    """
    refusal = None
    try:
        episodes = read(path, ask())
    except DataError as error:
        refusal = str(error)
    if refusal is not None:
        assert str(path) in refusal
        return
    assert [len(episode) for episode in episodes] == [3, 5, 2]
    for episode, truth in zip(episodes, EPISODES, strict=True):
        # a lost number would read as zero: there is none in the truth
        assert (episode.observations != 0).all() and (episode.actions != 0).all()
        if exact:
            np.testing.assert_array_equal(episode.observations, truth[0])
            np.testing.assert_array_equal(episode.actions, truth[1])
            np.testing.assert_array_equal(episode.images["top"], truth[2])


def corrupt(path: Path, number: int) -> Path:
    """Damage one file of a folder, each number in another way."""
    rng = random.Random(number)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    file = rng.choice(files)
    content = bytearray(file.read_bytes())
    match number % 6:
        case 0:
            content = content[: rng.randrange(len(content))]
        case 1:
            for _ in range(rng.randint(1, 4)):
                content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        case 2:
            file.unlink()
            return file
        case 3:
            content += rng.randbytes(rng.randint(1, 40))
        case 4:
            content = bytearray(rng.randbytes(len(content)))
        case _:
            metadata = [f for f in files if f.name == ".zarray"]
            file = rng.choice(metadata)
            record = json.loads(file.read_text())
            key = rng.choice(sorted(record))
            strange: list[Any] = [
                None,
                -1,
                "../../x",
                [10**15],
                [0],
                "|O",
                "<f2",
                [1.5],
                {"id": "é"},
            ]
            record[key] = rng.choice(strange)
            content = bytearray(json.dumps(record).encode())
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("number", few(range(240), 20))
def test_a_damaged_file_is_read_or_refused(path: Path, tmp_path: Path, number: int) -> None:
    before = sorted(tmp_path.parent.iterdir())
    file = corrupt(path, number)
    place = Path(shutil.make_archive(str(path), "zip", path)) if number % 2 else path
    check_outcome(place, exact=file.name.startswith("."))
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize("number", few(range(40), 6))
def test_a_damaged_archive_is_read_or_refused(path: Path, number: int) -> None:
    rng = random.Random(number)
    archive = Path(shutil.make_archive(str(path), "zip", path))
    content = bytearray(archive.read_bytes())
    if number % 2:
        content = content[: rng.randrange(len(content))]
    for _ in range(3 * (1 - number % 2)):
        content[rng.randrange(len(content))] ^= 0xFF
    archive.write_bytes(content)
    check_outcome(archive, exact=True)


def test_names_that_lead_out_of_an_archive_write_nothing(path: Path, tmp_path: Path) -> None:
    archive = Path(shutil.make_archive(str(path), "zip", path))
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("../outside", b"x")
        file.writestr("/tmp_of_nobody", b"x")
    before = sorted(tmp_path.rglob("*"))
    assert len(read(archive, ask())) == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_unicode_names_and_one_step_episodes(tmp_path: Path) -> None:
    state = np.ones((2, 1), np.float32)
    ends = np.array([1, 2], np.int64)
    write_v2(
        tmp_path / "r.zarr",
        {"data/zustand_ä": state, "data/动作": state, "meta/episode_ends": ends},
    )
    request = ask(state=("zustand_ä",), action=("动作",), cameras={})
    assert [len(episode) for episode in read(tmp_path / "r.zarr", request)] == [1, 1]


@pytest.mark.skipif(not PUSHT.exists(), reason="the human Push-T store is not on this machine")
def test_the_human_push_t_episodes_are_those_read_in_place() -> None:
    units = ("unknown",) * 5
    attributes = Attributes(
        "push", "human", 10.0, tuple(f"state_{i}" for i in range(5)), units, ("x", "y"), units[:2]
    )
    request = ask(state=("state",), cameras={"top": "img"}, action_names=("x", "y"))
    source = open_demonstrations(PUSHT, request)
    store = open_diffusion_policy(described(PUSHT, attributes))
    assert source.attributes == attributes and len(source) == len(store) == 206
    images = zarr.open_array(str(PUSHT / "data/img"), mode="r")
    for i in (0, 1, 205):
        rows = slice(int(store.episode_ends[i - 1]) if i else 0, int(store.episode_ends[i]))
        episode = source.episode(i)
        np.testing.assert_array_equal(episode.observations, store.observations()[rows])
        np.testing.assert_array_equal(episode.actions, store.actions()[rows])
        np.testing.assert_array_equal(episode.images["top"], np.asarray(images[rows]))


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)  # opening it would wait for ever


def endless(file: Path) -> None:
    file.unlink()
    file.symlink_to("/dev/zero")


def sparse(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(2**36)


@pytest.mark.parametrize("name", [".zgroup", "data/state/.zarray"])
@pytest.mark.parametrize("spoil", [pipe, endless, sparse])
def test_metadata_that_is_no_small_plain_file_is_refused(
    path: Path, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(path / name)
    with pytest.raises(DataError, match=f"{path}/{name}: (no plain|.* at most 16777216)"):
        read(path, ask())


@pytest.mark.parametrize("spoil", [pipe, endless])
def test_a_chunk_that_is_no_plain_file_is_lost(path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(path / "data/state/0.0")
    with pytest.raises(DataError, match="data/state: episode 0: chunk file '0.0' .*no plain file"):
        read(path, ask())


def test_metadata_too_deep_is_refused(path: Path) -> None:
    (path / ".zattrs").write_text("[" * 100_000)
    with pytest.raises(DataError, match="not a zarr group .RecursionError"):
        read(path, ask())


def test_links_in_a_circle_end(path: Path) -> None:
    for name in ("data/a", "data/b"):
        (path / name).symlink_to(path)
    with pytest.raises(DataError, match="data/pose: missing; this store holds .*data/action"):
        read(path, ask(state=("pose",)))


@pytest.mark.parametrize(
    ("local", "central", "value", "text"),
    [(6, 8, 1, "is encrypted"), (8, 10, 99, "compression method is not supported")],
)
def test_an_archive_that_python_cannot_unpack_is_refused(
    path: Path, local: int, central: int, value: int, text: str
) -> None:
    archive = Path(shutil.make_archive(str(path), "zip", path))
    content = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        position = content.find(mark)
        while position >= 0:
            content[position + place] = value
            position = content.find(mark, position + 4)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=f"{archive}: .*{text}"):
        read(archive, ask())


def test_an_episode_that_would_fill_the_memory_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "MAX_BYTES", 59)
    with pytest.raises(DataError, match="data/state: episode 1: 5 steps take 60 bytes, and at"):
        read(path, ask(state=("state",), cameras={}))


def test_ends_that_would_fill_the_memory_are_refused(path: Path) -> None:
    record = json.loads((path / "meta/episode_ends/.zarray").read_text())
    record["shape"] = [2**40]
    (path / "meta/episode_ends/.zarray").write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"meta/episode_ends: shape \(1099511627776,\): at most"):
        read(path, ask())


@pytest.mark.parametrize("kind", ["int8", "uint16", "int64", "bool"])
def test_whole_numbers_are_read(tmp_path: Path, kind: str) -> None:
    truth = arrays()
    truth["data/state"] = np.arange(30).reshape(10, 3).astype(kind)
    write_v2(tmp_path / "r.zarr", truth)
    episode = read(tmp_path / "r.zarr", ask(state=("state",)))[1]
    np.testing.assert_array_equal(episode.observations, truth["data/state"][3:8])


def write_stamped(path: Path, step: float) -> Path:
    """Two episodes of 20 rows with stamps so many seconds apart."""
    rows = np.arange(1, 41, dtype=np.float32)[:, None]
    stamps = 1e9 + np.arange(40) * step + np.repeat([0.0, 500.0], 20)
    tables = {"data/state": rows, "data/action": -rows, "data/timestamp": stamps}
    write_v2(path, {**tables, "meta/episode_ends": np.array([20, 40])})
    return path


def ask_rate(rate: float, **changes: Any) -> Request:
    return Request("diffusion_policy", ["state"], ["action"], control_rate=rate, **changes)


def test_a_rate_that_the_stamps_contradict_is_refused(tmp_path: Path) -> None:
    path = write_stamped(tmp_path / "a.zarr", 0.1)
    assert len(read(path, ask_rate(10))) == 2
    with pytest.raises(DataError, match="data/timestamp: has 10 rows a second, but .* is 30 Hz"):
        open_demonstrations(path, ask_rate(30))
    assert [len(e) for e in read(path, ask_rate(30, stamps="ignore"))] == [20, 20]
    attributes = Attributes("push", "human", 30, ("x",), ("m",), ("a",), ("m",))
    with pytest.raises(DataError, match="data/timestamp: has 10 rows a second"):
        open_diffusion_policy(
            described(path, attributes, observation_keys=["state"], action_key="action")
        )


def test_rows_are_resampled_by_their_stamps(tmp_path: Path) -> None:
    episodes = read(write_stamped(tmp_path / "a.zarr", 0.2), ask_rate(10, stamps="resample"))
    assert [len(episode) for episode in episodes] == [39, 39]
    assert episodes[1].observations[:4, 0].tolist() in ([21, 21, 22, 22], [21, 22, 22, 23])
    np.testing.assert_array_equal(episodes[1].observations, -episodes[1].actions)
    tables = {f"data/{key}": np.ones((4, 1), np.float32) for key in ("state", "action")}
    write_v2(tmp_path / "b.zarr", {**tables, "meta/episode_ends": np.array([4])})
    with pytest.raises(DataError, match="there is no data/timestamp"):
        open_demonstrations(tmp_path / "b.zarr", ask_rate(10, stamps="resample"))


def write_v3(path: Path, **how: Any) -> None:
    """As zarr 3 itself writes."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3)
    for key, values in arrays().items():
        shaped = how if key == "data/state" else {}
        group.create_array(key, data=values, chunks=(2, *values.shape[1:]), **shaped)


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("consolidated", [False, True])
def test_zarr_3_is_read(tmp_path: Path, consolidated: bool) -> None:
    write_v3(tmp_path / "b.zarr")
    if consolidated:
        zarr.consolidate_metadata(str(tmp_path / "b.zarr"))
    for episode, true in zip(read(tmp_path / "b.zarr", ask()), EPISODES, strict=True):
        np.testing.assert_array_equal(episode.observations, true[0])
        np.testing.assert_array_equal(episode.images["top"], true[2])


def test_shards_are_refused_by_that_word(tmp_path: Path) -> None:
    write_v3(tmp_path / "b.zarr", shards=(10, 3))
    with pytest.raises(DataError, match="data/state: its chunks lie in shards, .*without shards"):
        open_demonstrations(tmp_path / "b.zarr", ask())


def test_a_store_behind_a_link_is_read(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    for episode, true in zip(read(tmp_path / "link", ask()), EPISODES, strict=True):
        np.testing.assert_array_equal(episode.actions, true[1])
