"""Reads RLDS as tfds writes it (Open-X): TFRecord shards and two JSON files; no TensorFlow.

Layout: ``<name>/<version>/`` holds dataset_info.json, features.json and
``<name>-<split>.tfrecord-00000-of-NNNNN``; one ``tf.train.Example`` per episode, its keys
flattened: ``steps/action`` holds T x D floats, ``steps/observation/<camera>`` T encoded pictures,
``episode_metadata/*`` one value. Every step is kept as it stands, the last one's action too, which
RLDS leaves undefined where ``is_last`` is set. The files say nothing of names, units and control
rate: the caller does.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ambient_datasets.demonstrations import Labels, Request, default_names, describe
from ambient_datasets.faults import fault
from ambient_datasets.formats.rlds_layout import (
    FEATURES,
    IMAGE,
    TENSOR,
    TEXT,
    Feature,
    Shard,
    read_features,
    read_shards,
)
from ambient_datasets.formats.rlds_record import Record, decode_record, list_of
from ambient_datasets.guards.pictures import check_memory
from ambient_datasets.guards.tf_example import WHOLE
from ambient_datasets.guards.tfrecord import index_records, read_record
from ambient_datasets.records import JSON, Attributes, Episode, StrPath
from ambient_policy.errors import DataError

ENCODINGS = ("jpeg", "png", "")  # of pictures; what is not said the bytes say
MAX_COLUMNS = 2**16  # of one key; each gets a name
# Where Open-X data sets keep the task's words; the first of them that is text is read.
INSTRUCTIONS = (
    "steps/language_instruction",
    "steps/observation/natural_language_instruction",
    "steps/natural_language_instruction",
    "steps/observation/language_instruction",
    "steps/observation/instruction",
    "episode_metadata/language_instruction",
    "episode_metadata/natural_language_instruction",
)


@dataclass(frozen=True, eq=False)
class Rlds:
    """The episodes of the splits read, shard by shard; see ``Demonstrations``."""

    attributes: Attributes
    cameras: Mapping[str, tuple[int, int, int]]
    _request: Request = field(repr=False)
    _features: Mapping[str, Feature] = field(repr=False)
    _words: Feature | None = field(repr=False)
    _index: "_Index" = field(repr=False)

    @property
    def keys(self) -> tuple[str, ...]:
        """Features of each step, those of no use as numbers or frames too; sorted.

        But for the instruction's, which is kept without being asked for.
        """
        features = (f for f in self._features.values() if f is not self._words)
        return tuple(sorted(f.key for f in features if f.per_step))

    def __len__(self) -> int:
        """Episodes."""
        return len(self._index)

    def about(self, i: int) -> Mapping[str, JSON]:
        """What filters ask for of episode i: steps, instruction, single values of its features."""
        wanted = self._request.where
        if not wanted:
            return {}
        record = self._index.read(i)
        steps = record.steps(self._features[self._request.action[0]])
        words = record.instruction(self._words, steps) if self._words else None
        single = (f for f in self._features.values() if f.key in wanted and not f.per_step)
        values: dict[str, JSON] = {feature.key: record.single(feature) for feature in single}
        return {"length": steps, "instruction": words or "", **values}

    def episode(self, i: int) -> Episode:
        """Episode i of 0 to len - 1, its frames decoded.

        Raises:
            DataError: naming file, key, episode and step.
        """
        record = self._index.read(i)
        record.check_keys(self._features)
        steps = record.steps(self._features[self._request.action[0]])
        check_memory(record.path, steps, list(self.cameras.values()), i)
        return Episode(
            self._columns(record, self._request.state, steps),
            self._columns(record, self._request.action, steps),
            {
                name: record.frames(self._features[key], steps, self.cameras[name])
                for name, key in self._request.cameras.items()
            },
            instruction=record.instruction(self._words, steps) if self._words else None,
        )

    def _columns(self, record: Record, keys: Sequence[str], steps: int) -> NDArray[np.float32]:
        return np.concatenate([record.numbers(self._features[key], steps) for key in keys], axis=1)


@dataclass(frozen=True, eq=False)
class _Index:
    """Where every record lies: the shards and, for each, the bytes at which its frames begin."""

    shards: Sequence[Shard]
    begins: Sequence[NDArray[np.int64]]
    stops: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.stops[-1])

    def read(self, i: int) -> Record:
        """Episode i, its checksums verified."""
        if not 0 <= i < len(self):
            raise IndexError(f"episode {i} given; there are 0 to {len(self) - 1}")
        k = int(np.searchsorted(self.stops, i, side="right"))
        shard, begins = self.shards[k], self.begins[k]
        number = i - int(self.stops[k]) + shard.records
        data = read_record(shard.path, number, int(begins[number]), int(begins[number + 1]))
        return decode_record(shard.path, number, i, data)


def open_rlds(path: StrPath, request: Request) -> Rlds:
    """Open and validate both JSON files, the frames' headers of all shards and the first record.

    Args:
        path: the folder ``<name>/<version>``.
        request: its keys as in "steps/observation/state", its split as dataset_info.json has it.

    Raises:
        DataError: naming file, place and remedy.
    """
    folder = Path(path)
    features = read_features(folder / FEATURES)
    _check_request(folder / FEATURES, request, features)
    words = _find_words(features)
    attributes = _describe(folder, request, features)
    shards, origin = read_shards(folder, request.split)
    index = _Index(
        shards,
        [index_records(shard.path, shard.records) for shard in shards],
        np.cumsum([shard.records for shard in shards]),
    )
    first = index.read(0)
    return Rlds(
        replace(attributes, extra={"rlds": origin}),
        {name: first.shape(features[key]) for name, key in request.cameras.items()},
        request,
        features,
        words,
        index,
    )


def _check_request(path: Path, request: Request, features: Mapping[str, Feature]) -> None:
    requested = {
        "state": request.state,
        "action": request.action,
        "cameras": request.cameras.values(),
    }
    for name, keys in requested.items():
        for key in keys:
            _check_known(path, name, key, features)
            if not (_is_camera if name == "cameras" else _is_table)(features[key]):
                raise _unfit(path, name, features[key])


def _check_known(path: Path, name: str, key: str, features: Mapping[str, Feature]) -> None:
    if key not in features:
        close = difflib.get_close_matches(key, features, n=1)
        raise fault(
            path,
            key,
            f"asked for in {name}, but there is no such feature; known: "
            f"{', '.join(sorted(features))}",
            f"Did you mean '{close[0]}'?" if close else "Name one of those.",
        )


def _is_table(feature: Feature) -> bool:
    plain = feature.kind == TENSOR and feature.encoding in ("none", "") and list_of(feature) != ""
    fixed = -1 not in feature.shape and 1 <= math.prod(feature.shape) <= MAX_COLUMNS
    return plain and feature.per_step and fixed


def _is_camera(feature: Feature) -> bool:
    picture = feature.kind == IMAGE and feature.encoding in ENCODINGS
    bytewise = feature.dtype in ("uint8", "")
    coloured = len(feature.shape) == 3 and feature.shape[2] == 3
    return picture and bytewise and coloured and feature.per_step


def _unfit(path: Path, name: str, feature: Feature) -> DataError:
    need = (
        "jpeg or png pictures of shape (height, width, 3)"
        if name == "cameras"
        else f"1 to {MAX_COLUMNS} plain numbers, of a shape that does not vary,"
    )
    return fault(
        path,
        feature.key,
        f"{feature.kind} of shape {feature.shape}, type '{feature.dtype}', encoding "
        f"'{feature.encoding}'{'' if feature.per_step else ', outside steps'}; {name} needs {need} "
        "at every step",
        "Name another feature.",
    )


def _describe(folder: Path, request: Request, features: Mapping[str, Feature]) -> Attributes:
    observation, action = (
        default_names(keys, [math.prod(features[key].shape) for key in keys])
        for keys in (request.state, request.action)
    )
    return describe(folder, request, Labels(observation), Labels(action))


def _find_words(features: Mapping[str, Feature]) -> Feature | None:
    """The instruction: a text, or numbers that are its bytes; None where the data set has none."""
    there = (features[key] for key in INSTRUCTIONS if key in features)
    return next((feature for feature in there if _is_words(feature)), None)


def _is_words(feature: Feature) -> bool:
    """Not so where only an embedding of the words is kept."""
    return feature.kind == TEXT or (_is_table(feature) and list_of(feature) == WHOLE)
