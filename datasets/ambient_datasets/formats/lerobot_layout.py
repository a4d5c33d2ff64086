"""What a LeRobotDataset v3.0 says of itself: features, types of its columns, info.json, tasks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ambient_datasets.formats.film_write import DEFAULT_CRF, describe_film
from ambient_datasets.formats.sequence import CHUNK_FILES
from ambient_datasets.keys import Keys
from ambient_datasets.layout import NO_INSTRUCTION
from ambient_datasets.store import Store
from ambient_policy.errors import SettingsError

VERSION = "v3.0"
FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
COUNTERS = ("frame_index", "episode_index", "index", "task_index")
NO_TASK = ""  # of an episode without instruction


@dataclass(frozen=True)
class Options:
    """How a data set is written.

    Attributes:
        video: cameras as videos; else as pictures inside the parquet.
        crf: loss of the videos, 0 to 51.
        file_megabytes, video_megabytes: limits of a data file (in memory) and of a video.
    """

    video: bool = False
    crf: int = DEFAULT_CRF
    file_megabytes: int = 100
    video_megabytes: int = 200

    def __post_init__(self) -> None:
        if not 0 <= self.crf <= 51:
            raise SettingsError(
                f"crf = {self.crf}: give 0 (the least loss) to 51 (the smallest video)."
            )
        for name in ("file_megabytes", "video_megabytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} = {getattr(self, name)} must be at least 1.")


def list_features(store: Store, keys: Keys, options: Options) -> dict[str, Any]:
    """The entry "features" of info.json."""
    groups = {**keys.observations, keys.action: store.attributes.action_names}
    return {
        **{
            key: {"dtype": "float32", "shape": [len(names)], "names": list(names)}
            for key, names in groups.items()
        },
        **{key: _camera(store, name, options) for name, key in keys.cameras.items()},
        "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        **{key: {"dtype": "int64", "shape": [1], "names": None} for key in COUNTERS},
    }


def _camera(store: Store, name: str, options: Options) -> dict[str, Any]:
    shape = store.cameras[name].shape
    kind = {"shape": list(shape), "names": ["height", "width", "channels"]}
    if not options.video:
        return {"dtype": "image", **kind}
    film = describe_film((shape[0], shape[1]), store.attributes.control_rate)
    return {"dtype": "video", **kind, "info": film}


def make_schema(features: Mapping[str, Any]) -> pa.Schema:
    """The schema of the data files; Hugging Face's datasets read their types from its metadata."""
    types: dict[str, Any] = {}
    record: dict[str, Any] = {}
    for key, feature in features.items():
        value = {"dtype": feature["dtype"], "_type": "Value"}
        if feature["dtype"] == "image":
            types[key] = pa.struct({"bytes": pa.binary(), "path": pa.string()})
            record[key] = {"_type": "Image"}
        elif feature["dtype"] != "video" and feature["shape"] == [1]:
            types[key], record[key] = pa.type_for_alias(feature["dtype"]), value
        elif feature["dtype"] != "video":
            width = feature["shape"][0]
            types[key] = pa.list_(pa.type_for_alias(feature["dtype"]), width)
            record[key] = {"feature": value, "length": width, "_type": "Sequence"}
    return pa.schema(types, {"huggingface": json.dumps({"info": {"features": record}})})


def describe_set(store: Store, keys: Keys, options: Options, tasks: int) -> dict[str, Any]:
    """The whole of info.json."""
    rate, robot = store.attributes.control_rate, store.attributes.extra.get("robot_type")
    return {
        "codebase_version": VERSION,
        "robot_type": robot if isinstance(robot, str) else None,
        "total_episodes": len(store),
        "total_frames": store.rows,
        "total_tasks": tasks,
        "chunks_size": CHUNK_FILES,
        "data_files_size_in_mb": options.file_megabytes,
        "video_files_size_in_mb": options.video_megabytes,
        "fps": int(rate) if rate == int(rate) else rate,
        "splits": {"train": f"0:{len(store)}"},
        "data_path": f"data/{FILE}.parquet",
        "video_path": f"videos/{{video_key}}/{FILE}.mp4" if options.video else None,
        "features": list_features(store, keys, options),
    }


def list_tasks(store: Store) -> dict[str, int]:
    """The texts of the tasks, in the order in which episodes need them -> their numbers."""
    index = store.instruction_index
    _, firsts = np.unique(index, return_index=True)
    used = [int(index[first]) for first in sorted(firsts)]
    texts = [NO_TASK if i == NO_INSTRUCTION else store.instructions[i] for i in used]
    return {text: number for number, text in enumerate(dict.fromkeys(texts))}


def write_tasks(path: Path, tasks: Mapping[str, int]) -> None:
    """Write the tasks as pandas writes a table indexed by texts: so lerobot looks them up."""
    table = pa.table(
        {"task_index": list(tasks.values()), "__index_level_0__": list(tasks)},
        schema=pa.schema({"task_index": pa.int64(), "__index_level_0__": pa.string()}),
    )
    text = {"pandas_type": "unicode", "numpy_type": "object"}
    number = {"pandas_type": "int64", "numpy_type": "int64"}
    record = {
        "index_columns": ["__index_level_0__"],
        "column_indexes": [
            {"name": None, "field_name": None, **text, "metadata": {"encoding": "UTF-8"}}
        ],
        "columns": [
            {"name": "task_index", "field_name": "task_index", **number, "metadata": None},
            {"name": None, "field_name": "__index_level_0__", **text, "metadata": None},
        ],
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.2.0",
    }
    table = table.replace_schema_metadata({"pandas": json.dumps(record)})
    pq.write_table(table, path, write_page_checksum=True)
