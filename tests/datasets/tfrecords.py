"""RLDS folders written byte by byte, with nothing of the reader they test."""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from PIL import Image

Lists = Mapping[str, "Sequence[float] | Sequence[int] | Sequence[bytes]"]
CLASS = "tensorflow_datasets.core.features"


def frame(data: bytes) -> bytes:
    """One record as TFRecord stores it."""
    return header(len(data)) + data + _mask(data)


def header(length: int) -> bytes:
    """What comes before the data of so many bytes."""
    packed = struct.pack("<Q", length)
    return packed + _mask(packed)


def _mask(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    rotated = (crc >> 15) | (crc << 17) & 0xFFFFFFFF
    return struct.pack("<I", (rotated + 0xA282EAD8) % 2**32)


def field(number: int, data: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A protobuf varint; negative numbers take 64 bits."""
    value %= 2**64
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def example(lists: Lists) -> bytes:
    """A tf.train.Example: floats, ints or bytes by key."""
    entries = (field(1, key.encode()) + field(2, _feature(v)) for key, v in lists.items())
    return field(1, b"".join(field(1, entry) for entry in entries))


def _feature(values: Any) -> bytes:
    if values and all(isinstance(value, bytes) for value in values):
        return field(1, b"".join(field(1, value) for value in values))
    if all(isinstance(value, int) for value in values):
        return field(3, field(1, b"".join(map(varint, values))))
    return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))


def png(pixels: Any) -> bytes:
    """A PNG of (H,W,3) or (H,W) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def tensor(shape: Sequence[int], dtype: str = "float32", encoding: str = "none") -> dict[str, Any]:
    """A feature of numbers as features.json has it."""
    dimensions = {"dimensions": [str(d) for d in shape]} if shape else {}
    record = {"shape": dimensions, "dtype": dtype, "encoding": encoding}
    return {"pythonClassName": f"{CLASS}.tensor_feature.Tensor", "tensor": record}


def image(shape: Sequence[int], encoding: str = "png") -> dict[str, Any]:
    """A feature of pictures."""
    dimensions = {"dimensions": [str(d) for d in shape]}
    record = {"shape": dimensions, "dtype": "uint8", "encodingFormat": encoding}
    return {"pythonClassName": f"{CLASS}.image_feature.Image", "image": record}


def text() -> dict[str, Any]:
    """A feature of words."""
    return {"pythonClassName": f"{CLASS}.text_feature.Text", "text": {}}


def dictionary(features: Mapping[str, Any]) -> dict[str, Any]:
    """A feature of features."""
    name = f"{CLASS}.features_dict.FeaturesDict"
    return {"pythonClassName": name, "featuresDict": {"features": dict(features)}}


def steps(features: Mapping[str, Any]) -> dict[str, Any]:
    """The whole of features.json, for features of each step."""
    sequence = {"feature": dictionary(features), "length": "-1"}
    data_set = {"pythonClassName": f"{CLASS}.dataset_feature.Dataset", "sequence": sequence}
    metadata = dictionary({"file_path": text()})
    return dictionary({"steps": data_set, "episode_metadata": metadata})


FEATURES: dict[str, Any] = {
    "action": tensor([2]),
    "is_first": tensor([], "bool"),
    "language_instruction": text(),
    "observation": dictionary(
        {"state": tensor([3]), "gripper": tensor([], "int32"), "top": image([4, 5, 3])}
    ),
}


def episode(length: int, seed: int, words: str = "push it") -> dict[str, Any]:
    """The lists of one episode of ``FEATURES``."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (length, 4, 5, 3), dtype=np.uint8)
    return {
        "steps/action": rng.normal(size=length * 2).astype(np.float32).tolist(),
        "steps/is_first": [int(t == 0) for t in range(length)],
        "steps/language_instruction": [words.encode()] * length,
        "steps/observation/state": rng.normal(size=length * 3).astype(np.float32).tolist(),
        "steps/observation/gripper": rng.integers(-1, 2, length).tolist(),
        "steps/observation/top": [png(pixels) for pixels in frames],
        "episode_metadata/file_path": [f"demo {seed}".encode()],
    }


def shard_name(split: str, shard: int, shards: int, name: str = "toy") -> str:
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{shards:05d}"


def write_rlds(
    folder: Path,
    splits: Mapping[str, Sequence[Sequence[Lists]]],
    features: Mapping[str, Any] = FEATURES,
    name: str = "toy",
) -> Path:
    """A folder of splits, each a list of shards, each a list of episodes."""
    folder.mkdir(parents=True)
    (folder / "features.json").write_text(json.dumps(steps(features)))
    records = []
    for split, shards in splits.items():
        for i, episodes in enumerate(shards):
            data = b"".join(frame(example(lists)) for lists in episodes)
            (folder / shard_name(split, i, len(shards), name)).write_bytes(data)
        lengths = [str(len(episodes)) for episodes in shards]
        template = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
        record = {"name": split, "shardLengths": lengths, "filepathTemplate": template}
        records.append(record)
    info = {"name": name, "version": "1.0.0", "fileFormat": "tfrecord", "splits": records}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder
