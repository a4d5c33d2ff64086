"""What the two JSON files of a tfds folder say: which features an episode has, where shards lie."""

import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambient_datasets.faults import fault
from ambient_datasets.guards.files import REMEDY, read_json
from ambient_policy.plain_files import is_file, lies_in

FEATURES, INFO = "features.json", "dataset_info.json"
TENSOR, TEXT, IMAGE = "tensor", "text", "image"
TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"
SHARD = r"\.tfrecord-[0-9]{5}-of-[0-9]{5}$"
UNSAFE = r"[/\\{}\x00-\x1f\ud800-\udfff]"  # in a file name


@dataclass(frozen=True)
class Feature:
    """One entry of an episode's record.

    Attributes:
        key: its name in the record, e.g. "steps/observation/state".
        kind: ``TENSOR``, ``TEXT``, ``IMAGE``, or what else features.json calls it.
        shape: of one step's value, -1 where it varies.
        dtype: of its numbers, e.g. "float32".
        encoding: "jpeg" or "png" of pictures, "none" of plain numbers, "" where it is not said.
        per_step: one value for each step, instead of one for the episode.
    """

    key: str
    kind: str
    shape: tuple[int, ...]
    dtype: str
    encoding: str
    per_step: bool


@dataclass(frozen=True)
class Shard:
    """One file of a split and the number of records it holds."""

    path: Path
    split: str
    records: int


def _read_object(path: Path) -> dict[str, Any]:
    """The object in one of the two files.

    Raises:
        DataError: if there is none, or it is no such file.
    """
    if not is_file(path):
        inside = ", ".join(sorted(p.parent.name for p in path.parent.glob(f"*/{path.name}")))
        raise fault(
            path,
            "file",
            f"missing; it lies in {inside}" if inside else "missing",
            f"Give the folder <name>/<version> that holds {INFO} and {FEATURES}.",
        )
    _check_inside(path)
    return _object(path, "top level", read_json(path))


def _check_inside(path: Path) -> None:
    if not lies_in(path, path.parent):
        raise fault(
            path,
            "file",
            "leads out of the data set's folder, and is not followed",
            "Put the file itself there, or give the folder that it lies in.",
        )


def _object(path: Path, place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise fault(path, place, f"a JSON object is needed, not {_short(value)}", REMEDY)
    return value


def _short(value: Any) -> str:
    return repr(value)[:80]


def _list(path: Path, place: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise fault(path, place, f"a JSON list is needed, not {_short(value)}", REMEDY)
    return value


def _text(path: Path, place: str, value: Any) -> str:
    if not isinstance(value, str):
        raise fault(path, place, f"text is needed, not {_short(value)}", REMEDY)
    return value


def _whole(path: Path, place: str, value: Any) -> int:
    """A whole number, which protobuf's JSON writes as text."""
    if isinstance(value, bool) or not re.fullmatch(r"-?[0-9]{1,15}", str(value), re.ASCII):
        raise fault(path, place, f"a whole number is needed, not {_short(value)}", REMEDY)
    return int(value)


def read_features(path: Path) -> dict[str, Feature]:
    """Every feature of an episode by its key.

    Raises:
        DataError: if features.json is not laid out as tfds does.
    """
    root = _read_object(path)
    return {f.key: f for f in _flatten(path, "", root, per_step=False)}


def _flatten(path: Path, key: str, node: dict[str, Any], *, per_step: bool) -> Iterator[Feature]:
    if "featuresDict" in node:
        inner = _object(path, key or "top level", node["featuresDict"]).get("features")
        for name, child in _object(path, f"{key}: features", inner).items():
            below = f"{key}/{name}" if key else name
            child = _object(path, below, child)
            yield from _flatten(path, below, child, per_step=per_step)
    elif "sequence" in node and not per_step and key == "steps":
        child = _object(path, f"{key}: sequence", node["sequence"]).get("feature")
        child = _object(path, f"{key}: feature", child)
        yield from _flatten(path, key, child, per_step=True)
    else:
        yield _leaf(path, key, node, per_step)


def _leaf(path: Path, key: str, node: dict[str, Any], per_step: bool) -> Feature:
    kinds = sorted(node.keys() - {"pythonClassName", "description"})
    if len(kinds) != 1:
        what = f"one kind of feature is needed, but {', '.join(kinds) or 'none'} given"
        raise fault(path, key or "top level", what, REMEDY)
    kind = kinds[0]
    record = _object(path, f"{key}: {kind}", node[kind])
    encoding = record.get("encodingFormat" if kind == IMAGE else "encoding", "")
    shape = _shape(path, key, record)
    dtype = _text(path, f"{key}: dtype", record.get("dtype", ""))
    # many Open-X data sets keep words as a tensor of type string: its record is that of a Text
    kind = TEXT if (kind, dtype) == (TENSOR, "string") and math.prod(shape) == 1 else kind
    return Feature(key, kind, shape, dtype, _text(path, f"{key}: encoding", encoding), per_step)


def _shape(path: Path, key: str, record: dict[str, Any]) -> tuple[int, ...]:
    place = f"{key}: shape"
    dimensions = _object(path, place, record.get("shape", {})).get("dimensions", [])
    shape = tuple(_whole(path, place, d) for d in _list(path, place, dimensions))
    if len(shape) > 8 or any(d < -1 for d in shape):
        raise fault(path, place, f"{_short(shape)} is no shape", REMEDY)
    return shape


def read_shards(folder: Path, split: str | None) -> tuple[list[Shard], dict[str, Any]]:
    """The shards to read, and what is worth keeping about where they come from.

    A split none of whose shards is there is left out unless it is the one asked for; of the others
    all shards must be there.

    Args:
        folder: that holds dataset_info.json.
        split: its name, or None for every one that is there.

    Raises:
        DataError: if the split is unknown or missing, a shard is missing, or the file is broken.
    """
    path = folder / INFO
    info = _read_object(path)
    if _text(path, "fileFormat", info.get("fileFormat", "tfrecord")) != "tfrecord":
        what = f"{info['fileFormat']!r} given; 'tfrecord' alone is read"
        raise fault(path, "fileFormat", what, "Write the data set again as TFRecord.")
    splits = dict(_splits(folder, path, info))
    here = {name: shards for name, shards in splits.items() if any(map(_is_here, shards))}
    if split is not None and split not in here:
        raise fault(
            path,
            f"split '{split}'",
            f"{'its files are not there' if split in splits else 'unknown'}; splits whose files "
            f"are there: {', '.join(here) or 'none'}",
            "Name one of those, or fetch its files.",
        )
    if split is None:
        _check_strays(path, [shard.path.name for shards in splits.values() for shard in shards])
    chosen = [split] if split is not None else list(here)
    shards = [shard for name in chosen for shard in here[name]]
    _check_shards(path, shards)
    shards = [shard for shard in shards if shard.records or _is_here(shard)]
    for shard in shards:
        _check_inside(shard.path)
    return shards, {
        "data_set": _text(path, "name", info.get("name")),
        "version": _text(path, "version", info.get("version", "")),
        "splits": list(chosen),
        "splits_not_there": sorted(splits.keys() - here.keys()),
    }


def _check_strays(path: Path, known: Collection[str]) -> None:
    """Refuse shards that no split tells of, where everything was asked for."""
    files = (file.name for file in path.parent.iterdir())
    strays = sorted({file for file in files if re.search(SHARD, file)}.difference(known))
    if strays:
        raise fault(
            path,
            "splits",
            f"{strays[0]} lies beside it and belongs to no split that it tells of",
            "Move that file away, restore this one, or name the split to read.",
        )


def _is_here(shard: Shard) -> bool:
    return is_file(shard.path)


def _check_shards(path: Path, shards: Sequence[Shard]) -> None:
    if sum(shard.records for shard in shards) == 0:
        raise fault(path, "splits", "no episode in them", "Fetch the .tfrecord files beside it.")
    if len({shard.path for shard in shards}) < len(shards):
        what = "two shards have the same file name"
        raise fault(path, "splits", what, "Give every split and shard a name of its own.")
    missing = [shard.path.name for shard in shards if shard.records and not _is_here(shard)]
    if missing:
        raise fault(
            path,
            "splits",
            f"{len(missing)} of {len(shards)} shards are missing, the first is {missing[0]}",
            "Fetch them, or ask for another split.",
        )


def _splits(folder: Path, path: Path, info: dict[str, Any]) -> Iterator[tuple[str, list[Shard]]]:
    name = _text(path, "name", info.get("name"))
    for i, record in enumerate(_list(path, "splits", info.get("splits"))):
        place = f"splits[{i}]"
        record = _object(path, place, record)
        split = _text(path, f"{place}: name", record.get("name"))
        lengths = _list(path, f"{place}: shardLengths", record.get("shardLengths"))
        template = record.get("filepathTemplate") or TEMPLATE
        template = _text(path, f"{place}: filepathTemplate", template)
        file = _Template(path, place, template, name, split, len(lengths))
        yield (
            split,
            [
                Shard(
                    folder / file.fill(k),
                    split,
                    _records(path, f"{place}: shardLengths[{k}]", length),
                )
                for k, length in enumerate(lengths)
            ],
        )


def _records(path: Path, place: str, value: Any) -> int:
    records = _whole(path, place, value)
    if records < 0:
        raise fault(path, place, f"{records} records cannot be", REMEDY)
    return records


@dataclass(frozen=True)
class _Template:
    """How the shards of one split are named.

    Attributes:
        path, place: of the template, for messages.
        text: with placeholders.
        name, split: of data set and split.
        shards: how many there are.
    """

    path: Path
    place: str
    text: str
    name: str
    split: str
    shards: int

    def fill(self, shard: int) -> str:
        """A plain file name, so that nothing outside the folder is read."""
        parts = {
            "DATASET": self.name,
            "SPLIT": self.split,
            "FILEFORMAT": "tfrecord",
            "SHARD_INDEX": f"{shard:05d}",
            "NUM_SHARDS": f"{self.shards:05d}",
            "SHARD_X_OF_Y": f"{shard:05d}-of-{self.shards:05d}",
        }
        text = re.sub(r"\{(\w+)\}", lambda m: parts.get(m[1], m[0]), self.text)
        if text in ("", ".", "..") or re.search(UNSAFE, text) or len(text) > 255:
            raise fault(
                self.path,
                f"{self.place}: filepathTemplate",
                f"{_short(self.text)} with name {_short(self.name)} and split "
                f"{_short(self.split)} gives {_short(text)}, which is no file of this folder",
                f"Give a plain file name made of {', '.join(f'{{{part}}}' for part in parts)}.",
            )
        return text
