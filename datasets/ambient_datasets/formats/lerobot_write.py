"""Writes LeRobotDataset v3.0 (github.com/huggingface/lerobot), an episode in memory at a time.

    meta/info.json  meta/stats.json  meta/tasks.parquet  meta/episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet  videos/<key>/chunk-000/file-000.mp4
    meta/ambient_policy.json  meta/ambient_policy_thresholds.csv     what lerobot has no place for

Cameras are PNG inside the parquet (exact), or videos (lossy, see ``film_write.py``). The task of an
episode is its instruction; an episode without one has the task "".
"""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from ambient_datasets.formats.film_write import FilmSequence, Span, check_film
from ambient_datasets.formats.lerobot_layout import (
    COUNTERS,
    NO_TASK,
    Options,
    describe_set,
    list_features,
    list_tasks,
    make_schema,
    write_tasks,
)
from ambient_datasets.formats.lerobot_stats import Counter, Numbers, Pixels, Tally
from ambient_datasets.formats.parquet_write import ParquetSequence
from ambient_datasets.formats.sidecar import (
    SIDECAR,
    THRESHOLDS,
    declare,
    describe,
    write_thresholds,
)
from ambient_datasets.keys import Keys
from ambient_datasets.records import Episode
from ambient_datasets.store import Store

STATE, CAMERA = "observation.state", "observation.images."
# names of lerobot's own columns and items
TAKEN = ("timestamp", *COUNTERS, "task", "subtask", "subtask_index")
Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class LeRobotTarget:
    """LeRobotDataset v3.0 as something to export to; see ``Target``."""

    options: Options

    def keys(
        self,
        store: Store,
        groups: Mapping[str, Sequence[str]],
        cameras: Mapping[str, str],
    ) -> Keys:
        """The features of a store's columns and cameras.

        Raises:
            SettingsError: for keys that do not fit, or frames that cannot become a video.
        """
        for name, frames in store.cameras.items() if self.options.video else ():
            check_film(name, frames.shape[:2])
        return Keys.of(
            store, state=STATE, camera=CAMERA, groups=groups, cameras=cameras, taken=TAKEN
        )

    def write(self, folder: Path, store: Store, episodes: Iterable[Episode], keys: Keys) -> None:
        """Write a whole data set.

        Args:
            folder: new; it is made.
            store: what is written.
            episodes: all of its episodes, in order.
            keys: the features its columns and cameras become.

        Raises:
            DataError: naming the episode of the store that cannot be read.
        """
        (folder / "meta").mkdir(parents=True)
        tasks = list_tasks(store)
        with ExitStack() as stack:
            files = _Files(folder, store, keys, self.options, stack)
            for i, episode in enumerate(episodes):
                task = episode.instruction or NO_TASK
                files.add(i, episode, task, tasks[task])
        write_tasks(folder / "meta/tasks.parquet", tasks)
        _write_json(folder / "meta/stats.json", files.statistics())
        info = describe_set(store, keys, self.options, len(tasks))
        _write_json(folder / "meta/info.json", info)
        _write_sidecar(folder, store, keys)


class _Files:
    """The open files of a data set, and the statistics of what has been written to them.

    Args:
        folder: of the data set.
        store, keys, options: as of ``LeRobotTarget``.
        stack: closes the files when it is closed.
    """

    def __init__(
        self, folder: Path, store: Store, keys: Keys, options: Options, stack: ExitStack
    ) -> None:
        self._folder, self._store, self._keys, self._options = folder, store, keys, options
        self._schema = make_schema(list_features(store, keys, options))
        data = ParquetSequence(folder / "data", self._schema, options.file_megabytes)
        self._data, self._stack = stack.enter_context(data), stack
        films = keys.cameras if options.video else {}
        self._films = {
            key: stack.enter_context(self._film(name, key)) for name, key in films.items()
        }
        self._list: ParquetSequence | None = None
        self._whole: dict[str, Tally] = {}
        self._first = 0

    def _film(self, camera: str, key: str) -> FilmSequence:
        height, width, _ = self._store.cameras[camera].shape
        rate, options = self._store.attributes.control_rate, self._options
        folder = self._folder / "videos" / key
        return FilmSequence(folder, (height, width), rate, options.crf, options.video_megabytes)

    def add(self, number: int, episode: Episode, task: str, task_index: int) -> None:
        """One episode, after the others."""
        attributes, stop = self._store.attributes, self._first + len(episode)
        tables = self._keys.split(episode.observations, attributes.observation_names)
        tables[self._keys.action] = episode.actions
        frames = {key: episode.images[name] for name, key in self._keys.cameras.items()}
        steps = np.arange(len(episode))
        counters = {
            "frame_index": steps,
            "episode_index": np.full(len(episode), number),
            "index": self._first + steps,
            "task_index": np.full(len(episode), task_index),
        }
        tables["timestamp"] = (steps / attributes.control_rate).astype(np.float32)[:, None]
        spans = {key: film.add(frames[key]) for key, film in self._films.items()}
        self._write(tables, {} if self._options.video else frames, counters)
        tallies = _tally(tables, frames, counters)
        self._list_episode(
            {
                "episode_index": number,
                "tasks": [task],
                "length": len(episode),
                **_place("data", self._data.place),
                "dataset_from_index": self._first,
                "dataset_to_index": stop,
                **{name: value for key in spans for name, value in _span(key, spans[key]).items()},
                **self._count(tallies),
            }
        )
        self._first = stop

    def _write(self, tables: Columns, pictures: Columns, counters: Columns) -> None:
        arrays = {
            **{key: _vectors(table) for key, table in tables.items()},
            **{k: _pictures(frames, self._schema.field(k).type) for k, frames in pictures.items()},
            **{key: pa.array(values) for key, values in counters.items()},
        }
        table = pa.table([arrays[key] for key in self._schema.names], schema=self._schema)
        self._data.make_room(table.nbytes)
        self._data.add(table)

    def _count(self, tallies: Mapping[str, Tally]) -> dict[str, Any]:
        """Add an episode's statistics to those of the whole; and as they stand in its list."""
        for key, tally in tallies.items():
            self._whole[key] = self._whole[key].merge(tally) if key in self._whole else tally
        records = {key: tally.record() for key, tally in tallies.items()}
        return {f"stats/{key}/{n}": value for key in records for n, value in records[key].items()}

    def _list_episode(self, row: dict[str, Any]) -> None:
        """Into the list of episodes; the first decides its schema, all have the same shapes."""
        full = {**row, **_place("meta/episodes", (0, 0))}
        table = pa.Table.from_pylist([full])
        if self._list is None:
            folder, limit = self._folder / "meta/episodes", self._options.file_megabytes
            self._list = self._stack.enter_context(ParquetSequence(folder, table.schema, limit))
        self._list.make_room(table.nbytes)
        full |= _place("meta/episodes", self._list.place)
        self._list.add(pa.Table.from_pylist([full], table.schema))

    def statistics(self) -> dict[str, Any]:
        """The statistics of every feature, over the whole data set."""
        return {key: tally.record() for key, tally in self._whole.items()}


def _tally(tables: Columns, frames: Columns, counters: Columns) -> dict[str, Tally]:
    return {
        **{key: Numbers.of(table) for key, table in tables.items()},
        **{key: Pixels.of(pixels) for key, pixels in frames.items()},
        **{key: Counter.of(values) for key, values in counters.items()},
    }


def _place(folder: str, place: tuple[int, int]) -> dict[str, int]:
    return {f"{folder}/chunk_index": place[0], f"{folder}/file_index": place[1]}


def _span(key: str, span: Span) -> dict[str, float]:
    return {
        **_place(f"videos/{key}", (span.chunk, span.file)),
        f"videos/{key}/from_timestamp": span.start,
        f"videos/{key}/to_timestamp": span.stop,
    }


def _vectors(table: NDArray[np.float32]) -> pa.Array:
    """(T,D) as lists of D, or as plain numbers where D is 1."""
    flat = pa.array(np.ascontiguousarray(table).reshape(-1))
    width = table.shape[1]
    return flat if width == 1 else pa.FixedSizeListArray.from_arrays(flat, width)


def _pictures(frames: NDArray[np.uint8], kind: pa.DataType) -> pa.Array:
    names = (f"frame-{step:06d}.png" for step in range(len(frames)))
    cells = [
        {"bytes": _png(pixels), "path": name} for name, pixels in zip(names, frames, strict=True)
    ]
    return pa.array(cells, kind)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def _write_sidecar(folder: Path, store: Store, keys: Keys) -> None:
    record, annotation = describe(store, keys), store.annotation
    record["annotation"] = None if annotation is None else declare(annotation, THRESHOLDS)
    _write_json(folder / SIDECAR, record)
    if annotation is not None:
        write_thresholds(folder / THRESHOLDS, annotation)


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    text = json.dumps(record, indent=4, ensure_ascii=False, allow_nan=False)
    path.write_text(text, encoding="utf-8")
