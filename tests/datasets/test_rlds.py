"""RLDS folders: what lies in them comes out, and what is wrong in them is told by name."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambient_datasets.conversion.filters import select
from ambient_datasets.demonstrations import Request
from ambient_datasets.formats import rlds_record
from ambient_datasets.formats.rlds import Rlds, open_rlds
from ambient_datasets.guards.tf_example import decode_example, values
from ambient_datasets.guards.tfrecord import masked_crc32c
from ambient_policy.errors import DataError
from tests.datasets.tfrecords import (
    FEATURES,
    dictionary,
    episode,
    example,
    field,
    frame,
    header,
    image,
    png,
    shard_name,
    tensor,
    text,
    write_rlds,
)

BRIDGE = Path(__file__).parents[3] / "shared/data/rlds_bridge_octo/bridge_dataset/1.0.0"
STATE = ("steps/observation/state", "steps/observation/gripper")


def ask(**changes: Any) -> Request:
    values: dict[str, Any] = {
        "format": "rlds",
        "state": STATE,
        "action": ("steps/action",),
        "task": "toy",
        "source": "people",
        "cameras": {"above": "steps/observation/top"},
        "control_rate": 5.0,
    }
    return Request(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Split train of two shards, 2 + 1 episodes; split val of one episode of one step."""
    train = [[episode(3, 0), episode(4, 1, "lift it")], [episode(2, 2, "")]]
    val = [[episode(1, 3, "tür öffnen")]]
    return write_rlds(tmp_path / "toy/1.0.0", {"train": train, "val": val})


def refused(folder: Path, *parts: str, **changes: Any) -> None:
    """Opening and reading everything is refused; the message holds these parts in this order."""
    pattern = ".*".join(re.escape(part) for part in (str(folder), *parts))
    with pytest.raises(DataError, match=re.compile(pattern, re.DOTALL)):
        read_all(open_rlds(folder, ask(**changes)))


def read_all(demonstrations: Rlds) -> list[Any]:
    return [demonstrations.episode(i) for i in range(len(demonstrations))]


def rewrite(folder: Path, lists: Mapping[str, Any]) -> None:
    """The only episode of split val, other lists in it."""
    path = folder / shard_name("val", 0, 1)
    path.write_bytes(frame(example({**episode(1, 3), **lists})))


def change_json(folder: Path, name: str, *place: Any, value: Any) -> None:
    record = json.loads((folder / name).read_text())
    inner = record
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    (folder / name).write_text(json.dumps(record))


def with_camera(top: dict[str, Any]) -> dict[str, Any]:
    observation = {"state": tensor([3]), "gripper": tensor([], "int32"), "top": top}
    return {**FEATURES, "observation": dictionary(observation)}


def feature_place(*names: str) -> tuple[str, ...]:
    place: tuple[str, ...] = ("featuresDict", "features", "steps", "sequence", "feature")
    for name in names:
        place += ("featuresDict", "features", name)
    return place


def test_the_checksum_is_the_published_one() -> None:
    # crc32c of "123456789" (RFC 3720 polynomial): 0xE3069283; 32 zero bytes: 0x8A9136AA
    for data, crc in ((b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA)):
        rotated = (crc >> 15) | (crc << 17) % 2**32
        assert masked_crc32c(data) == (rotated + 0xA282EAD8) % 2**32


def test_an_example_holds_its_lists_packed_or_not() -> None:
    unpacked = b"".join(b"\x0d" + np.float32(x).tobytes() for x in (1.5, -2.0))
    entry = field(1, b"f") + field(2, field(2, unpacked))
    packed = example({"i": [-3, 2**40], "b": [b"x", b""]})
    lists = decode_example(packed + field(1, field(1, entry)))
    decoded = {key: (kind, list(items)) for key in lists for kind, items in [values(lists[key])]}
    assert decoded == {
        "i": ("int64_list", [-3, 2**40]),
        "b": ("bytes_list", [b"x", b""]),
        "f": ("float_list", [1.5, -2.0]),
    }


def test_episodes_come_out_as_they_were_put_in(folder: Path) -> None:
    demonstrations = open_rlds(folder, ask())
    assert len(demonstrations) == 4 and demonstrations.cameras == {"above": (4, 5, 3)}
    episodes = read_all(demonstrations)
    for i, length in enumerate((3, 4, 2, 1)):
        lists, rng = episode(length, i), np.random.default_rng(i)
        frames = rng.integers(0, 256, (length, 4, 5, 3), dtype=np.uint8)
        state = np.reshape(lists[STATE[0]], (length, 3))
        np.testing.assert_array_equal(episodes[i].observations[:, :3], state.astype(np.float32))
        np.testing.assert_array_equal(episodes[i].observations[:, 3], lists[STATE[1]])
        np.testing.assert_array_equal(
            episodes[i].actions.ravel(), np.float32(lists["steps/action"])
        )
        np.testing.assert_array_equal(episodes[i].images["above"], frames)
    assert [e.instruction for e in episodes] == ["push it", "lift it", None, "tür öffnen"]


def test_the_keys_are_the_features_of_each_step_but_for_the_words_kept(folder: Path) -> None:
    observation = [f"steps/observation/{name}" for name in ("gripper", "state", "top")]
    first = ("steps/action", "steps/is_first")
    assert open_rlds(folder, ask()).keys == (*first, *observation)


def test_the_attributes_say_what_was_read(folder: Path) -> None:
    attributes = open_rlds(folder, ask(action_names=("x", "y"))).attributes
    assert attributes.observation_names[0] == "steps/observation/state_0"
    assert attributes.action_names == ("x", "y") and attributes.control_rate == 5.0
    origin = {"data_set": "toy", "version": "1.0.0", "splits": ["train", "val"]}
    assert attributes.extra == {"rlds": {**origin, "splits_not_there": []}}


def test_a_split_is_read_alone_and_a_missing_one_does_not_stop_it(folder: Path) -> None:
    assert len(open_rlds(folder, ask(split="val"))) == 1
    (folder / shard_name("val", 0, 1)).unlink()
    rest = open_rlds(folder, ask())
    assert len(rest) == 3 and rest.attributes.extra["rlds"]["splits_not_there"] == ["val"]  # type: ignore[index, call-overload]
    refused(folder, "dataset_info.json", "split 'val'", "not there", "train", split="val")
    refused(folder, "dataset_info.json", "split 'test'", "unknown", "train", split="test")


@pytest.mark.parametrize(
    ("where", "chosen"),
    [
        ({"length": {"least": 3}}, [0, 1]),
        ({"instruction": "lift*"}, [1]),
        ({"episode_metadata/file_path": ["demo 0", "demo 2"]}, [0, 2]),
    ],
)
def test_filters_choose_episodes(folder: Path, where: dict[str, Any], chosen: list[int]) -> None:
    source = open_rlds(folder, ask(split="train", where=where))
    assert select(folder, source, where, range(3)) == chosen


def test_frames_of_an_episode_that_a_filter_leaves_out_are_not_read(tmp_path: Path) -> None:
    good, bad = episode(3, 0), episode(2, 1, "drop it")
    bad["steps/observation/top"] = [b"no picture"] * 2
    folder = write_rlds(tmp_path / "toy/1.0.0", {"train": [[good, bad]]})
    where = {"instruction": "push it"}
    source = open_rlds(folder, ask(where=where))
    (chosen,) = select(folder, source, where, range(2))
    assert len(source.episode(chosen)) == 3
    with pytest.raises(DataError, match="top"):
        source.episode(1)


def test_instructions_that_change_are_all_kept(folder: Path) -> None:
    lists = episode(3, 3) | {"steps/language_instruction": [b"", b"grasp it ", b"hebe es"]}
    (folder / shard_name("val", 0, 1)).write_bytes(frame(example(lists)))
    assert open_rlds(folder, ask(split="val")).episode(0).instruction == "grasp it; hebe es"


@pytest.mark.parametrize(("values", "words"), [("ö".encode(), "ö"), (b"", None), ([256], "")])
def test_an_instruction_may_be_numbers(tmp_path: Path, values: Any, words: str | None) -> None:
    features = {**FEATURES, "language_instruction": tensor([4], "int32")}
    row = [*values, 0, 0, 0, 0][:4]
    lists = {**episode(2, 0), "steps/language_instruction": row * 2}
    toy = write_rlds(tmp_path / "toy", {"train": [[lists]]}, features)
    if words == "":
        refused(toy, "language_instruction", "0 to 255")
    else:
        assert open_rlds(toy, ask()).episode(0).instruction == words


def test_frames_of_undeclared_size_take_that_of_the_first(tmp_path: Path) -> None:
    features = with_camera(image([-1, -1, 3], ""))
    toy = write_rlds(tmp_path / "toy", {"train": [[episode(2, 0)]]}, features)
    assert open_rlds(toy, ask()).cameras == {"above": (4, 5, 3)}


def test_steps_are_counted_by_the_action_where_no_counter_lies(tmp_path: Path) -> None:
    features = {key: value for key, value in FEATURES.items() if key != "is_first"}
    lists = {key: value for key, value in episode(3, 0).items() if key != "steps/is_first"}
    toy = write_rlds(tmp_path / "toy", {"train": [[lists]]}, features)
    assert len(open_rlds(toy, ask()).episode(0)) == 3


def test_a_request_that_does_not_fit_is_refused(folder: Path) -> None:
    refused(folder, "no such feature", "'steps/action'", action=("steps/actoin",))
    refused(folder, "steps/language_instruction", "numbers", action=("steps/language_instruction",))
    refused(folder, "steps/action", "cameras needs", cameras={"a": "steps/action"})
    refused(folder, "control_rate", control_rate=None)
    with pytest.raises(IndexError):
        open_rlds(folder, ask()).episode(4)


LISTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "no steps": ({"steps/is_first": []}, ("steps/is_first", "no steps")),
    "too few numbers": ({"steps/action": [1.0]}, ("steps/action", "1 numbers", "2")),
    "too many numbers": ({STATE[0]: [1.0] * 6}, (STATE[0], "6 numbers", "3")),
    "another type": ({"steps/action": [1, 2]}, ("steps/action", "int64_list", "float_list")),
    "NaN": ({"steps/action": [0.0, math.nan]}, ("steps/action", "step 0, column 1", "nan")),
    "infinity": ({STATE[0]: [0.0, math.inf, 0.0]}, (STATE[0], "column 1", "inf")),
    "inexact": ({STATE[1]: [2**24 + 1]}, (STATE[1], "16777217", "16777216")),
    "no frame": ({"steps/observation/top": []}, ("top", "int64_list", "bytes_list")),
    "two frames": ({"steps/observation/top": [b"", b""]}, ("top", "2 frames", "1 steps")),
    "no picture": (
        {"steps/observation/top": [b"GIF89a"]},
        ("top", "step 0", "picture that can be read"),
    ),
    "another size": (
        {"steps/observation/top": [png(np.zeros((5, 5, 3), np.uint8))]},
        ("top", "(5, 5, 3)", "(4, 5, 3)"),
    ),
    "grey": (
        {"steps/observation/top": [png(np.zeros((4, 5), np.uint8))]},
        ("top", "a L picture", "(4, 5, 3)"),
    ),
    "cut off": (
        {"steps/observation/top": [episode(1, 3)["steps/observation/top"][0][:70]]},
        ("top", "step 0", "picture that can be read"),
    ),
    "no text": ({"steps/language_instruction": [b"\xff"]}, ("language_instruction", "UTF-8")),
    "too few texts": ({"steps/language_instruction": [b"a", b"b"]}, ("language_instruction", "2")),
    "undeclared": ({"steps/words": [b"push"]}, ("steps/words", "features.json")),
}


@pytest.mark.parametrize("name", LISTS)
def test_wrong_lists_are_refused_by_key_and_episode(folder: Path, name: str) -> None:
    lists, parts = LISTS[name]
    rewrite(folder, lists)
    refused(folder, shard_name("val", 0, 1), parts[0], "episode 3", *parts[1:])


@pytest.mark.parametrize(
    "key", ["steps/action", "steps/observation/top", "steps/language_instruction"]
)
def test_a_missing_key_is_refused_with_what_there_is(folder: Path, key: str) -> None:
    lists = {k: v for k, v in episode(1, 3).items() if k != key}
    (folder / shard_name("val", 0, 1)).write_bytes(frame(example(lists)))
    refused(folder, shard_name("val", 0, 1), key, "episode 3", "missing", "steps/is_first")


def test_bytes_that_are_no_example_are_refused(folder: Path) -> None:
    (folder / shard_name("val", 0, 1)).write_bytes(frame(b"\x0a\xff\xff"))
    refused(folder, "record 0", "episode 3", "no tf.train.Example")


def test_frames_that_would_fill_the_memory_are_not_decoded(tmp_path: Path) -> None:
    features = with_camera(image([4096, 4096, 3]))
    toy = write_rlds(tmp_path / "toy", {"train": [[episode(70, 0)]]}, features)
    refused(toy, "frames", "70 steps", "bytes decoded")


INFO: dict[str, tuple[tuple[Any, ...], Any, tuple[str, ...]]] = {
    "more records": (("splits", 0, "shardLengths", 1), "2", ("record 1", "2 records")),
    "fewer records": (("splits", 0, "shardLengths", 0), "1", ("record 1", "more than the 1")),
    "no number": (("splits", 0, "shardLengths", 0), "two", ("shardLengths[0]", "'two'")),
    "negative": (("splits", 0, "shardLengths", 0), "-1", ("shardLengths[0]", "-1 records")),
    "more shards": (("splits", 0, "shardLengths"), ["2", "1", "1"], ("splits",)),
    "zero episodes": (("splits",), [], ("splits", "belongs to no split")),
    "no list": (("splits",), {}, ("splits", "list")),
    "array_record": (("fileFormat",), "array_record", ("fileFormat", "'array_record'")),
    "no name": (("name",), None, ("name", "text")),
    "upwards": (("splits", 0, "filepathTemplate"), "../{SPLIT}", ("filepathTemplate", "no file")),
    "absolute": (("splits", 0, "filepathTemplate"), "/etc/passwd", ("filepathTemplate", "no file")),
    "split upwards": (("splits", 0, "name"), "../../x", ("filepathTemplate", "no file")),
    "name upwards": (("name",), "../x", ("filepathTemplate", "no file")),
    "unknown part": (("splits", 0, "filepathTemplate"), "{HOME}", ("filepathTemplate", "no file")),
    "folder": (("splits", 0, "filepathTemplate"), "..", ("filepathTemplate", "no file")),
    "half a character": (("name",), "\ud800", ("dataset_info.json", "surrogates")),
    "one file twice": (("splits", 1, "name"), "train", ("splits", "")),
}


@pytest.mark.parametrize("name", INFO)
def test_a_wrong_dataset_info_is_refused_by_place(folder: Path, name: str) -> None:
    place, value, parts = INFO[name]
    change_json(folder, "dataset_info.json", *place, value=value)
    refused(folder, *parts)


# where in features.json, what stands there instead, what the error names
ACTION, TOP = feature_place("action"), feature_place("observation", "top")
SIZE = (*ACTION, "tensor", "shape", "dimensions", 0)
PIXELS = (*TOP, "image", "shape", "dimensions")
DECLARED: dict[str, tuple[tuple[Any, ...], Any, tuple[str, ...]]] = {
    "another width": (SIZE, "3", ("steps/action", "6 numbers", "9")),
    "a bomb": (SIZE, "999999999999", ("steps/action", "1 to 65536")),
    "varying": (SIZE, "-1", ("steps/action", "does not vary")),
    "zero": (SIZE, "0", ("steps/action", "1 to 65536 plain numbers")),
    "no size": (SIZE, "-2", ("steps/action: shape", "no shape")),
    "text": ((*ACTION, "tensor", "dtype"), "string", ("steps/action", "'string'")),
    "zlib": ((*ACTION, "tensor", "encoding"), "zlib", ("steps/action", "'zlib'")),
    "two kinds": ((*ACTION, "image"), {}, ("steps/action", "image, tensor")),
    "no kind": (ACTION, {}, ("steps/action", "none given")),
    "no object": (ACTION, 3, ("steps/action", "object", "3")),
    "a huge frame": (PIXELS, ["99999", "99999", "3"], ("top", "99999 x 99999")),
    "grey": ((*PIXELS, 2), "1", ("top", "(height, width, 3)")),
    "depth": ((*TOP, "image", "dtype"), "uint16", ("top", "'uint16'")),
    "not nested": (("featuresDict",), 1, ("features.json", "object")),
}


@pytest.mark.parametrize("name", DECLARED)
def test_a_wrong_features_file_is_refused_by_place(folder: Path, name: str) -> None:
    place, value, parts = DECLARED[name]
    change_json(folder, "features.json", *place, value=value)
    refused(folder, *parts)


def test_folders_without_their_files_are_refused(folder: Path) -> None:
    refused(folder.parent, "features.json", "it lies in 1.0.0")
    (folder / "dataset_info.json").write_text("[" * 100_000)
    refused(folder, "dataset_info.json", "cannot be read as JSON")
    (folder / "dataset_info.json").unlink()
    refused(folder, "dataset_info.json", "missing")


def test_features_too_deep_are_refused(folder: Path) -> None:
    node: dict[str, Any] = tensor([1])
    for _ in range(100):
        node = dictionary({"x": node})
    (folder / "features.json").write_text(json.dumps(node))
    refused(folder, "features.json", "deep")


def test_a_shard_that_is_missing_or_unknown_is_named(folder: Path) -> None:
    path = folder / shard_name("train", 1, 2)
    data = path.read_bytes()
    path.unlink()
    refused(folder, "dataset_info.json", "1 of 3 shards are missing", path.name)
    path.write_bytes(data)
    (folder / shard_name("other", 0, 1)).write_bytes(data)
    refused(folder, "dataset_info.json", shard_name("other", 0, 1), "no split")


def test_a_split_of_no_episodes_is_refused(tmp_path: Path) -> None:
    refused(write_rlds(tmp_path / "toy", {"train": [[]]}), "splits", "no episode")


def test_a_file_that_shrinks_after_opening_is_told(folder: Path) -> None:
    demonstrations = open_rlds(folder, ask())
    path = folder / shard_name("val", 0, 1)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="shorter"):
        demonstrations.episode(3)


def test_a_shard_that_cannot_be_read_is_told(folder: Path) -> None:
    demonstrations = open_rlds(folder, ask())
    path = folder / shard_name("val", 0, 1)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read"):
        demonstrations.episode(3)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (b"", "the file ends here"),
        (b"\0" * 11, "only 11 bytes of its header"),
        (bytes(16), "checksum of its length"),
        (frame(b"")[:12], "go beyond the end"),
        (frame(b"x" * 9)[:-5] + b"yyyyy", "checksum of its data"),
        (header(2**30 + 1), "at most 1073741824"),
    ],
)
def test_damaged_frames_are_told_apart(folder: Path, damage: bytes, told: str) -> None:
    (folder / shard_name("val", 0, 1)).write_bytes(damage)
    refused(folder, shard_name("val", 0, 1), "record 0", told)


def test_a_damaged_header_is_told_when_opening(folder: Path) -> None:
    path = folder / shard_name("val", 0, 1)
    data = bytearray(path.read_bytes())
    data[9] ^= 1  # of the checksum
    path.write_bytes(data)
    with pytest.raises(DataError, match="record 0 .at byte 0.: the checksum of its length"):
        open_rlds(folder, ask())


def test_a_json_too_large_is_not_read(folder: Path) -> None:
    with (folder / "features.json").open("r+b") as file:
        file.truncate(2**24 + 1)  # sparse
    refused(folder, "features.json", "16777217 bytes", "16777216")


def test_frames_of_undeclared_size_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = with_camera(image([-1, -1, 3], ""))
    toy = write_rlds(tmp_path / "toy", {"train": [[episode(2, 0)]]}, features)
    monkeypatch.setattr(rlds_record, "MAX_PIXELS", 19)
    refused(toy, "top", "4 x 5 px", "at most 19")


def test_unicode_names_are_read(tmp_path: Path) -> None:
    toy = write_rlds(tmp_path / "größe 数", {"тест": [[episode(1, 0)]]}, name="数据")
    assert len(open_rlds(toy, ask(split="тест")).episode(0)) == 1


@pytest.mark.skipif(not BRIDGE.exists(), reason="the real files are not here")
def test_the_bridge_slice_is_read() -> None:
    cameras = {f"camera_{i}": f"steps/observation/image_{i}" for i in range(4)}
    request = ask(state=("steps/observation/state",), cameras=cameras)
    bridge = open_rlds(BRIDGE, request)
    assert len(bridge) == 25 and bridge.attributes.extra["rlds"]["splits_not_there"] == ["val"]  # type: ignore[index, call-overload]
    episodes = read_all(bridge)
    assert {len(e) for e in episodes} == {10} and sum(e.actions.shape[1] for e in episodes) == 175
    assert episodes[0].instruction == "put cup from counter or drying rack into sink"
    assert len({e.instruction for e in episodes}) == 4
    raw = (BRIDGE / shard_name("train", 0, 1, "bridge_dataset")).read_bytes()
    for e in episodes:
        assert e.actions.tobytes() in raw and e.observations.tobytes() in raw
        assert {frames.shape for frames in e.images.values()} == {(10, 64, 64, 3)}
        assert ((e.actions[:, 6] >= 0) & (e.actions[:, 6] <= 1)).all()  # the gripper's opening


def test_an_instruction_may_be_a_tensor_of_type_string(tmp_path: Path) -> None:
    for number, shape in enumerate(([], [1])):
        features = {**FEATURES, "language_instruction": tensor(shape, "string")}
        toy = write_rlds(tmp_path / str(number), {"train": [[episode(2, 0, "öffne")]]}, features)
        assert open_rlds(toy, ask()).episode(0).instruction == "öffne"


def test_an_embedding_in_the_place_of_the_instruction_is_no_text(tmp_path: Path) -> None:
    words = {"language_instruction": tensor([2]), "natural_language_instruction": text()}
    lists = {**episode(2, 0), "steps/language_instruction": [0.5] * 4}
    lists["steps/natural_language_instruction"] = [b"push"] * 2
    toy = write_rlds(tmp_path / "toy", {"train": [[lists]]}, {**FEATURES, **words})
    assert open_rlds(toy, ask()).episode(0).instruction == "push"


def test_an_empty_tensor_elsewhere_is_no_hindrance(tmp_path: Path) -> None:
    lists = {**episode(2, 0), "steps/nothing": []}
    features = {**FEATURES, "nothing": tensor([0])}
    toy = write_rlds(tmp_path / "toy", {"train": [[lists]]}, features)
    assert len(open_rlds(toy, ask()).episode(0)) == 2
    refused(toy, "steps/nothing", "needs 1 to 65536 plain numbers", state=("steps/nothing",))


@pytest.mark.parametrize("name", ["features.json", "dataset_info.json", shard_name("val", 0, 1)])
def test_a_link_out_of_the_folder_is_not_followed(folder: Path, name: str) -> None:
    (folder / name).rename(folder.parent / "elsewhere")
    (folder / name).symlink_to(folder.parent / "elsewhere")
    refused(folder, name, "leads out of the data set's folder")


def test_the_links_of_the_hubs_cache_are_its_own(folder: Path) -> None:
    home = folder.parent / "snapshots/abc/toy/1.0.0"
    home.parent.mkdir(parents=True)
    folder.rename(home)
    (folder.parent / "blobs").mkdir()
    for file in list(home.iterdir()):
        file.rename(folder.parent / "blobs" / file.name)
        file.symlink_to(folder.parent / "blobs" / file.name)
    assert len(read_all(open_rlds(home, ask()))) == 4
